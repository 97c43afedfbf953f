"""The sampled patches are what the filters of a layer are multiplied with."""

import keras
import numpy as np
import pytest

from kerasbnn import QuantConv1D, QuantConv2D, QuantConv3D, QuantDense
from kerasbnn.quantizers.patches import layer_patches
from tests.helpers import references
from tests.helpers.gradients import array, tensor


def float_outputs(layer, x, pad_value=0):
    """Outputs of Keras' own convolution with the kernel of a layer, `(n, filters)`."""
    config = layer.get_config()
    for name in ("kernel_quantizer", "input_quantizer", "pad_values"):
        config.pop(name, None)
    twin = getattr(keras.layers, type(layer).__name__.removeprefix("Quant"))
    config["name"] = "twin"
    if pad_value:
        # A pad value of p is a padding with 0 of inputs from which p is subtracted,
        # but for a constant of each filter.
        x = x - pad_value
    twin = twin.from_config(config)
    twin.build(x.shape)
    twin.kernel.assign(layer.kernel)
    outputs = array(twin(tensor(x)))
    if pad_value:
        window = tuple(range(len(layer.kernel.shape) - 1))
        outputs = outputs + pad_value * array(layer.kernel.value).sum(axis=window)
    return outputs.reshape(-1, outputs.shape[-1])


CONVOLUTIONS = [
    (QuantConv1D, {"kernel_size": 3}, (4, 9, 2)),
    (QuantConv1D, {"kernel_size": 3, "padding": "causal"}, (4, 9, 2)),
    (
        QuantConv1D,
        {"kernel_size": 2, "padding": "causal", "dilation_rate": 3, "pad_values": 1},
        (4, 9, 2),
    ),
    (QuantConv2D, {"kernel_size": (3, 2)}, (3, 7, 8, 3)),
    (QuantConv2D, {"kernel_size": 3, "padding": "same"}, (3, 7, 8, 3)),
    (
        QuantConv2D,
        {"kernel_size": (2, 3), "padding": "same", "strides": 2, "pad_values": -1},
        (3, 7, 8, 3),
    ),
    (
        QuantConv2D,
        {"kernel_size": 2, "padding": "same", "dilation_rate": (2, 3)},
        (3, 7, 8, 3),
    ),
    (QuantConv2D, {"kernel_size": 3, "strides": (3, 1)}, (3, 7, 8, 3)),
    (
        QuantConv3D,
        {"kernel_size": (2, 3, 2), "padding": "same", "strides": (1, 2, 2)},
        (2, 4, 5, 4, 2),
    ),
]


@pytest.mark.parametrize(("layer_class", "arguments", "shape"), CONVOLUTIONS)
def test_patches_are_what_filters_are_multiplied_with(
    layer_class, arguments, shape, rng
):
    layer = layer_class(filters=4, use_bias=False, **arguments)
    layer.build(shape)
    x = rng.normal(size=shape).astype("float32")
    patches = layer_patches(layer, x, max_patches=10**6)
    products = patches @ array(layer.kernel.value).reshape(-1, 4)
    expected = float_outputs(layer, x, arguments.get("pad_values", 0))
    np.testing.assert_allclose(products, expected, atol=1e-5)
    # A sample is some of them, each at most once.
    some = layer_patches(layer, x, max_patches=11, seed=1)
    assert some.shape == (11, patches.shape[1])
    rows = {row.tobytes() for row in patches}
    assert len({row.tobytes() for row in some} & rows) == 11


def test_patches_of_groups(rng):
    layer = QuantConv2D(4, 2, groups=2, use_bias=False)
    layer.build((3, 5, 6, 6))
    x = rng.normal(size=(3, 5, 6, 6)).astype("float32")
    patches = layer_patches(layer, x, max_patches=10**6)
    assert patches.shape == (3 * 4 * 5 * 2, 2 * 2 * 3)
    kernel = array(layer.kernel.value).reshape(12, 4)
    by_group = patches.reshape(-1, 2, 12)
    products = np.concatenate(
        [by_group[:, 0] @ kernel[:, :2], by_group[:, 1] @ kernel[:, 2:]], axis=1
    )
    np.testing.assert_allclose(products, float_outputs(layer, x), atol=1e-5)
    assert layer_patches(layer, x, max_patches=5).shape == (5, 12)


def test_patches_of_channels_first_inputs(rng):
    x = rng.normal(size=(2, 3, 6, 5)).astype("float32")
    layers = [QuantConv2D(2, 3, data_format=f"channels_{e}") for e in ("first", "last")]
    last = np.moveaxis(x, 1, -1)
    for layer, inputs in zip(layers, (x, last), strict=True):
        layer.build(inputs.shape)
    np.testing.assert_array_equal(
        layer_patches(layers[0], x, 1000), layer_patches(layers[1], last, 1000)
    )


def test_patches_of_dense_layers_are_rows_of_quantized_inputs(rng):
    x = rng.normal(size=(3, 4, 5)).astype("float32")
    layer = QuantDense(2, input_quantizer="ste_sign")
    layer.build(x.shape)
    np.testing.assert_array_equal(
        layer_patches(layer, x, 1000), references.sign(x).reshape(12, 5)
    )
    plain = keras.layers.Dense(2)
    plain.build(x.shape)
    np.testing.assert_array_equal(layer_patches(plain, x, 1000), x.reshape(12, 5))

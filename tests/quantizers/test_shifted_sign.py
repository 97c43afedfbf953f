"""ReActNet's sign with a learned shift per channel."""

import keras
import numpy as np
import pytest

from kerasbnn import QuantConv2D, QuantDense, QuantDepthwiseConv2D
from kerasbnn.quantizers import RSign
from tests.helpers import references
from tests.helpers.gradients import (
    array,
    tensor,
    value_and_gradient,
    weight_gradients,
)


@pytest.mark.parametrize("shape", [(4, 3), (2, 5, 3), (2, 4, 4, 3), (2, 4, 4, 1)])
def test_forward_and_gradients(shape, rng):
    x, upstream = rng.normal(size=shape), rng.normal(size=shape)
    shift = 0.5 * rng.normal(size=shape[-1])
    x.flat[0] = -shift[0]
    quantizer = RSign()
    quantizer.build(shape)
    np.testing.assert_array_equal(array(quantizer.shift.value), np.zeros(shape[-1]))
    quantizer.shift.assign(shift)
    x, shift = array(tensor(x)), array(tensor(shift))
    broadcast = shift.reshape((1,) * (len(shape) - 1) + (-1,))
    expected, to_inputs, to_shift = references.shifted_sign(x, broadcast, upstream)
    outputs, gradient = value_and_gradient(quantizer, tensor(x), upstream)
    np.testing.assert_array_equal(array(outputs), expected)
    np.testing.assert_allclose(array(gradient), to_inputs, rtol=1e-5, atol=1e-6)
    (gradient,) = weight_gradients(quantizer, tensor(x), upstream)
    np.testing.assert_allclose(gradient, to_shift.ravel(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("data_format", "shape", "broadcast"),
    [
        ("channels_last", (2, 5, 6, 3), (1, 1, 1, 3)),
        ("channels_first", (2, 3, 5, 6), (1, 3, 1, 1)),
    ],
)
def test_channel_axis_of_inputs(data_format, shape, broadcast, rng):
    layer = QuantConv2D(2, 3, data_format=data_format, input_quantizer=RSign())
    layer.build(shape)
    shift = rng.normal(size=3)
    layer.input_quantizer.shift.assign(shift)
    x = rng.normal(size=shape)
    expected = references.sign(x + shift.reshape(broadcast))
    np.testing.assert_array_equal(array(layer.quantize_inputs(tensor(x))), expected)


def test_channel_axes_of_kernels(rng):
    dense = QuantDense(4, kernel_quantizer=RSign(), kernel_constraint="weight_clip")
    dense.build((None, 5))
    assert dense.kernel_quantizer.shift.shape == (4,)
    depthwise = QuantDepthwiseConv2D(
        3,
        depth_multiplier=2,
        depthwise_quantizer=RSign(),
        depthwise_constraint="weight_clip",
    )
    depthwise.build((None, 8, 8, 3))
    shift = rng.normal(size=(3, 2))
    depthwise.depthwise_quantizer.shift.assign(shift)
    expected = references.sign(array(depthwise.kernel.value) + shift)
    np.testing.assert_array_equal(array(depthwise.quantize_kernel()), expected)


def test_half_precision_inputs(rng):
    quantizer = RSign()
    quantizer.build((None, 3))
    quantizer.shift.assign([0.5, -0.5, 0.0])
    inputs = tensor(rng.normal(size=(9, 3)), "bfloat16")
    outputs = quantizer(inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    expected = references.sign(array(inputs) + [0.5, -0.5, 0.0])
    np.testing.assert_array_equal(array(outputs), expected)


def test_the_shift_is_saved_with_its_layer(tmp_path, rng):
    model = keras.Sequential(
        [keras.Input((5,)), RSign(), QuantDense(2, input_quantizer=RSign())]
    )
    shift = rng.normal(size=5).astype("float32")
    model.layers[0].shift.assign(shift)
    model.layers[1].input_quantizer.shift.assign(-shift)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(loaded.layers[0].shift.value), shift)
    inner = loaded.layers[1].input_quantizer
    np.testing.assert_array_equal(array(inner.shift.value), -shift)


def test_an_unknown_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="one shift per channel"):
        RSign().build((None, None))

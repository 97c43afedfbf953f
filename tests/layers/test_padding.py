"""Padding with -1, 0 or 1: exact at the borders, for every window and stride."""

import keras
import numpy as np
import pytest

from kerasbnn import QuantConv1D, QuantConv2D
from tests.helpers import convolutions, references
from tests.helpers.channels_first import (
    call_channels_first,
    skip_unless_supported,
    to_first,
)
from tests.helpers.gradients import array, tensor
from tests.helpers.layer_cases import BY_NAME, CASES

PADDED = [c.name for c in CASES if "Conv" in c.name and "Transpose" not in c.name]


def pad_test(case, rng, *, spatial, pad_value, padding="same", **options):
    """Compare a layer of binary inputs and weights with numpy, the border in full."""
    rank = len(spatial)
    shape = (2, *spatial, case.input_shape[-1])
    layer = case.make(
        input_quantizer="ste_sign", padding=padding, pad_values=pad_value, **options
    )
    layer.build(shape)
    x = rng.normal(size=shape)
    kernels = [references.sign(latent) for latent in case.latents(layer)]
    arguments = (
        (options.get("strides", 1),) * rank,
        padding,
        (options.get("dilation_rate", 1),) * rank,
    )
    if case.name.startswith("QuantDepthwise"):
        operation = convolutions.depthwise_conv
    elif case.name.startswith("QuantSeparable"):
        operation = convolutions.separable_conv
    else:
        operation = convolutions.conv
    binary = references.sign(x)
    expected = operation(binary, *kernels, *arguments, pad_value=pad_value)
    outputs = array(layer(tensor(x)))
    np.testing.assert_array_equal(outputs, expected)
    assert outputs.shape == tuple(layer.compute_output_shape(shape))
    return layer, x, expected


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize("pad_value", [-1, 0, 1])
def test_every_layer(name, pad_value, rng):
    case = BY_NAME[name]
    pad_test(case, rng, spatial=case.input_shape[1:-1], pad_value=pad_value)


@pytest.mark.parametrize("pad_value", [-1, 0, 1])
@pytest.mark.parametrize("strides", [1, 2, 3])
@pytest.mark.parametrize("kernel_size", [(1, 1), (2, 3), (3, 3), (4, 5)])
@pytest.mark.parametrize("spatial", [(5, 6), (7, 4)])
def test_windows_and_strides(pad_value, strides, kernel_size, spatial, rng):
    pad_test(
        BY_NAME["QuantConv2D"],
        rng,
        spatial=spatial,
        pad_value=pad_value,
        strides=strides,
        kernel_size=kernel_size,
    )


@pytest.mark.parametrize("pad_value", [-1, 1])
@pytest.mark.parametrize("size", range(1, 9))
@pytest.mark.parametrize(("kernel_size", "strides"), [(3, 2), (2, 3), (1, 3), (5, 4)])
def test_every_remainder_of_size_and_stride(pad_value, size, kernel_size, strides, rng):
    pad_test(
        BY_NAME["QuantConv1D"],
        rng,
        spatial=(size,),
        pad_value=pad_value,
        strides=strides,
        kernel_size=(kernel_size,),
    )


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize("pad_value", [-1, 1])
@pytest.mark.parametrize("options", [{"strides": 2}, {"dilation_rate": 2}])
def test_strides_and_dilation(name, pad_value, options, rng):
    case = BY_NAME[name]
    spatial = case.input_shape[1:-1]
    pad_test(case, rng, spatial=spatial, pad_value=pad_value, **options)


@pytest.mark.parametrize("pad_value", [-1, 0, 1])
@pytest.mark.parametrize("options", [{}, {"dilation_rate": 2}, {"strides": 2}])
def test_causal(pad_value, options, rng):
    layer, x, _ = pad_test(
        BY_NAME["QuantConv1D"],
        rng,
        spatial=(7,),
        pad_value=pad_value,
        padding="causal",
        **options,
    )
    before = array(layer(tensor(x)))
    x[:, -1] *= -1
    after = array(layer(tensor(x)))
    # The last input is seen by the last output alone.
    np.testing.assert_array_equal(before[:, :-1], after[:, :-1])


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize("options", [{}, {"strides": 2}])
def test_valid_padding_pads_nothing(name, options, rng):
    case = BY_NAME[name]
    pad_test(
        case,
        rng,
        spatial=case.input_shape[1:-1],
        pad_value=1,
        padding="valid",
        **options,
    )


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize("pad_value", [-1, 1])
@pytest.mark.parametrize("strides", [1, 2])
def test_channels_first(name, pad_value, strides, rng):
    case = BY_NAME[name]
    skip_unless_supported(case, padding="valid", strides=strides)
    options = {"pad_value": pad_value, "strides": strides}
    last, x, expected = pad_test(case, rng, spatial=case.input_shape[1:-1], **options)
    first = type(last).from_config(
        {**last.get_config(), "data_format": "channels_first"}
    )
    first.build(to_first(x).shape)
    first.set_weights(last.get_weights())
    np.testing.assert_array_equal(call_channels_first(first, x), expected)


def test_causal_channels_first(rng):
    x = rng.normal(size=(2, 7, 3))
    options = {"padding": "causal", "pad_values": 1, "input_quantizer": "ste_sign"}
    skip_unless_supported(BY_NAME["QuantConv1D"], padding="valid", strides=1)
    last = QuantConv1D(4, 3, **options)
    first = QuantConv1D(4, 3, data_format="channels_first", **options)
    expected = array(last(tensor(x)))
    first.build((2, 3, 7))
    first.set_weights(last.get_weights())
    np.testing.assert_allclose(call_channels_first(first, x), expected, atol=1e-5)


@pytest.mark.parametrize("name", PADDED)
@pytest.mark.parametrize("strides", [1, 2])
def test_sizes_that_are_known_at_run_time_only(name, strides, rng):
    case = BY_NAME[name]
    spatial = case.input_shape[1:-1]
    layer = case.make(
        input_quantizer="ste_sign", padding="same", pad_values=-1, strides=strides
    )
    inputs = keras.Input((None,) * len(spatial) + case.input_shape[-1:])
    model = keras.Model(inputs, layer(inputs))
    # predict runs a compiled graph; each size is a trace or a run of its own.
    for extra in (0, 1):
        shape = (2, *(size + extra for size in spatial), case.input_shape[-1])
        x = rng.normal(size=shape).astype("float32")
        known = case.make(
            input_quantizer="ste_sign", padding="same", pad_values=-1, strides=strides
        )
        known.build(shape)
        known.set_weights(layer.get_weights())
        np.testing.assert_array_equal(
            model.predict(x, verbose=0), array(known(tensor(x)))
        )


def test_training_with_sizes_that_are_known_at_run_time_only(rng):
    model = keras.Sequential(
        [
            keras.Input((None, None, 2)),
            QuantConv2D(
                3,
                3,
                strides=2,
                padding="same",
                pad_values=1,
                input_quantizer="ste_sign",
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
            ),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    # XLA needs the sizes, so this is the plain graph.
    model.compile("sgd", "mse", jit_compile=False)
    before = array(model.layers[0].kernel.value)
    x = rng.normal(size=(4, 5, 7, 2)).astype("float32")
    model.fit(x, rng.normal(size=(4, 3)).astype("float32"), verbose=0)
    assert not np.array_equal(before, array(model.layers[0].kernel.value))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half_precision(policy, rng):
    x = rng.normal(size=(2, 5, 5, 2))
    options = {
        "padding": "same",
        "pad_values": -1,
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
    }
    half = QuantConv2D(3, 3, dtype=policy, **options)
    full = QuantConv2D(3, 3, **options)
    outputs = half(tensor(x))
    full.build(x.shape)
    full.set_weights(half.get_weights())
    # Sums of 18 signs are exact in half precision.
    np.testing.assert_array_equal(array(outputs), array(full(tensor(x))))


@pytest.mark.parametrize("value", [2, 0.5, -2, True, "same", None, float("nan"), [1]])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match="`pad_values` must be 0, 1 or -1"):
        QuantConv2D(3, 3, pad_values=value)


@pytest.mark.parametrize("value", [1, 1.0, -1.0, np.int64(-1), np.float32(0)])
def test_the_value_is_kept_in_the_config(value):
    layer = QuantConv2D(3, 3, padding="same", pad_values=value)
    assert layer.pad_values == value
    config = layer.get_config()
    assert type(config["pad_values"]) is int
    assert QuantConv2D.from_config(config).pad_values == value

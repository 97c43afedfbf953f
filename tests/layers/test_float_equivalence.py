"""Without quantizers each layer is Keras' own, bit for bit."""

import keras
import numpy as np
import pytest

from tests.helpers.channels_first import (
    call_channels_first,
    skip_unless_supported,
    to_first,
)
from tests.helpers.gradients import array, tensor, value_and_gradient, weight_gradients
from tests.helpers.layer_cases import BY_NAME, CASES

CONVOLUTIONS = [c.name for c in CASES if "Conv" in c.name]
FORWARD = [name for name in CONVOLUTIONS if "Transpose" not in name]


def options_of(name):
    """Configurations that Keras' layer has, besides the plain one."""
    yield {}
    yield {"use_bias": False, "activation": "relu"}
    if name == "QuantDense":
        return
    yield {"padding": "same"}
    yield {"strides": 2, "padding": "same"}
    yield {"strides": 3}
    if "Transpose" in name:
        yield {"strides": 2, "output_padding": 1}
    else:
        yield {"dilation_rate": 2, "padding": "same"}
    if name == "QuantConv1D":
        yield {"padding": "causal", "dilation_rate": 2}
    if name in ("QuantConv1D", "QuantConv2D", "QuantConv3D"):
        yield {"groups": 3, "filters": 6}
    if "Depthwise" in name or "Separable" in name:
        yield {"depth_multiplier": 3}


CONFIGURATIONS = [
    pytest.param(case.name, options, id=f"{case.name}-{i}")
    for case in CASES
    for i, options in enumerate(options_of(case.name))
]


def pair(case, options, shape):
    """Make our layer and Keras' with the same weights."""
    arguments = {**case.arguments, **options}
    ours, theirs = case.layer_class(**arguments), case.keras_class(**arguments)
    ours.build(shape)
    theirs.build(shape)
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def shape_of(case, options):
    channels = 3 if "groups" in options else case.input_shape[-1]
    return (*case.input_shape[:-1], channels)


@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS)
def test_outputs_and_gradients(name, options, rng):
    case = BY_NAME[name]
    shape = shape_of(case, options)
    ours, theirs = pair(case, options, shape)
    x = tensor(rng.normal(size=shape))
    expected, to_inputs = value_and_gradient(theirs, x)
    outputs, gradient = value_and_gradient(ours, x)
    np.testing.assert_array_equal(array(outputs), array(expected))
    np.testing.assert_array_equal(array(gradient), array(to_inputs))
    upstream = rng.normal(size=outputs.shape)
    for found, wanted in zip(
        weight_gradients(ours, x, upstream),
        weight_gradients(theirs, x, upstream),
        strict=True,
    ):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("strides", [1, 2])
def test_channels_first(name, strides, rng):
    case = BY_NAME[name]
    options = {"strides": strides, "padding": "same", "data_format": "channels_first"}
    skip_unless_supported(case, strides=strides, padding="same")
    x = rng.normal(size=case.input_shape)
    ours, theirs = pair(case, options, to_first(x).shape)
    np.testing.assert_array_equal(
        call_channels_first(ours, x), call_channels_first(theirs, x)
    )


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16", "float64"])
def test_dtype_policies(name, policy, rng):
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 unless it is switched on for the process")
    case = BY_NAME[name]
    ours, theirs = pair(case, {"dtype": policy}, case.input_shape)
    x = tensor(rng.normal(size=case.input_shape))
    outputs, expected = ours(x), theirs(x)
    assert outputs.dtype == expected.dtype
    np.testing.assert_array_equal(array(outputs), array(expected))


@pytest.mark.parametrize("name", BY_NAME)
def test_compiled_predictions(name, rng):
    case = BY_NAME[name]
    ours, theirs = pair(case, {}, case.input_shape)
    x = rng.normal(size=case.input_shape).astype("float32")
    predictions = []
    for layer in (ours, theirs):
        model = keras.Sequential([keras.Input(case.input_shape[1:]), layer])
        predictions.append(model.predict(x, verbose=0))
    np.testing.assert_array_equal(*predictions)


@pytest.mark.parametrize("name", BY_NAME)
def test_same_config_and_shapes(name):
    case = BY_NAME[name]
    ours, theirs = pair(case, {}, case.input_shape)
    added = {"input_quantizer", "pad_values", *(kernel[1] for kernel in case.kernels)}
    config = ours.get_config()
    assert {k for k in config if k not in added} == set(theirs.get_config())
    shape = (None,) * (len(case.input_shape) - 1) + case.input_shape[-1:]
    assert ours.compute_output_shape(shape) == theirs.compute_output_shape(shape)
    assert [w.shape for w in ours.weights] == [w.shape for w in theirs.weights]
    assert [w.name for w in ours.weights] == [w.name for w in theirs.weights]


@pytest.mark.parametrize("name", FORWARD)
def test_pad_values_alone_change_the_border_alone(name, rng):
    case = BY_NAME[name]
    ours, theirs = pair(case, {"padding": "same"}, case.input_shape)
    padded = case.layer_class(**case.arguments, padding="same", pad_values=1)
    padded.build(case.input_shape)
    padded.set_weights(ours.get_weights())
    x = tensor(rng.normal(size=case.input_shape))
    inner = (slice(None), *[slice(2, -2)] * (len(case.input_shape) - 2))
    np.testing.assert_allclose(
        array(padded(x))[inner], array(theirs(x))[inner], atol=1e-5
    )
    assert not np.allclose(array(padded(x)), array(theirs(x)))


def test_positional_arguments_are_those_of_keras():
    clip = keras.constraints.MaxNorm(2.0)
    arguments = (4, "relu", True, "zeros", "ones", None, None, None, clip)
    layer = BY_NAME["QuantDense"].layer_class(*arguments)
    assert layer.kernel_constraint is clip
    assert layer.activation is keras.activations.relu
    conv = BY_NAME["QuantConv2D"].layer_class(4, 3, 2, "same")
    assert (conv.strides, conv.padding) == ((2, 2), "same")

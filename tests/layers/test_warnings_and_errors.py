"""The warning of starving weights, and errors before any training."""

import warnings

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn import QuantDense, QuantSeparableConv2D
from kerasbnn.quantizers import (
    DoReFa,
    IRNetSign,
    NoOp,
    RSign,
    SteHeaviside,
    SteSign,
    SteTern,
)
from tests.helpers.gradients import array
from tests.helpers.layer_cases import BY_NAME


def unclipped(case, quantizer):
    arguments = dict(case.arguments)
    for _, name, _, _ in case.kernels:
        arguments[name] = quantizer
    return case.layer_class(**arguments)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_binary_kernel_without_a_clip_constraint_warns_once(name):
    case = BY_NAME[name]
    constraint = case.kernels[0][2]
    fix = f'Pass {constraint}="weight_clip"'
    with pytest.warns(UserWarning, match=fix) as caught:
        unclipped(case, "ste_sign")
    (warning,) = caught
    assert "SteSign" in str(warning.message)
    # The line of the user, not one of the library.
    assert warning.filename == __file__
    # Any further warning would be an error.
    unclipped(case, "ste_sign")
    QuantDense(3, kernel_quantizer="approx_sign")


@pytest.mark.parametrize(
    "quantizer",
    ["approx_sign", "swish_sign", "magnitude_aware_sign", SteHeaviside, RSign],
)
def test_quantizers_that_starve(quantizer):
    with pytest.warns(UserWarning, match="without a clip constraint"):
        QuantDense(3, kernel_quantizer=quantizer)


def test_the_second_kernel_of_a_separable_layer():
    with pytest.warns(UserWarning, match='Pass pointwise_constraint="weight_clip"'):
        QuantSeparableConv2D(
            3,
            3,
            depthwise_quantizer="ste_sign",
            depthwise_constraint="weight_clip",
            pointwise_quantizer="ste_sign",
        )


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"input_quantizer": "ste_sign"},
        {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"},
        {"kernel_quantizer": "ste_sign", "kernel_constraint": "max_norm"},
        {"kernel_quantizer": NoOp(precision=1)},
        {"kernel_quantizer": "irnet_sign"},
        {"kernel_quantizer": IRNetSign(scale=False)},
        {"kernel_quantizer": "ste_tern"},
        {"kernel_quantizer": SteTern(optimal_threshold=True)},
        {"kernel_quantizer": DoReFa(2, mode="weights")},
        {"kernel_quantizer": SteSign(clip_value=None)},
        {"kernel_quantizer": keras.ops.tanh},
    ],
)
def test_no_warning_without_need(arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        QuantDense(3, **arguments)


@pytest.mark.parametrize("name", BY_NAME)
def test_arguments_of_keras_are_still_checked(name):
    case = BY_NAME[name]
    with pytest.raises((TypeError, ValueError)):
        case.layer_class(**case.arguments, unknown=1)
    if name == "QuantDense":
        with pytest.raises(ValueError, match="units"):
            QuantDense(0)


def test_unknown_constraint():
    with pytest.raises(ValueError, match="Did you mean 'weight_clip'"):
        QuantDense(3, kernel_constraint="weigt_clip")


def test_unknown_metric():
    with pytest.raises(ValueError, match="The known one is 'flip_ratio'"):
        QuantDense(3, metrics=["flips"])


@pytest.mark.parametrize("argument", ["kernel_quantizer", "input_quantizer"])
def test_a_quantized_dtype_policy_is_refused(argument):
    # Keras would multiply with its own int8 kernel and never call ours.
    with pytest.raises(ValueError, match=f"would ignore `{argument}`"):
        QuantDense(
            3,
            dtype="int8_from_float32",
            kernel_constraint="weight_clip",
            **{argument: "ste_sign"},
        )


def test_quantize_of_keras_is_refused():
    layer = QuantDense(3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
    layer.build((None, 4))
    with pytest.raises(NotImplementedError):
        layer.quantize("int8")


def test_int8_for_the_float_layers_beside_ours(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(5, name="float"),
            QuantDense(3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"),
        ]
    )
    model.quantize("int8", filters="float")
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    expected = model.predict(x, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), expected)
    assert set(np.unique(array(loaded.layers[1].quantize_kernel()))) == {-1.0, 1.0}


@pytest.mark.parametrize("name", BY_NAME)
def test_kernels_are_read_after_building_only(name):
    case = BY_NAME[name]
    with pytest.raises(ValueError, match="has no weights yet"):
        case.make().quantize_kernel(case.kernels[0][0])


def test_an_unknown_kernel_names_the_known_ones():
    layer = QuantSeparableConv2D(3, 3)
    layer.build((None, 5, 5, 2))
    with pytest.raises(ValueError, match="depthwise_kernel, pointwise_kernel"):
        layer.quantize_kernel("kernel")


def test_public_names():
    assert sorted(BY_NAME) == sorted(n for n in kerasbnn.__all__ if n[0] == "Q")

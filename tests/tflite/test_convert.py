"""Converted models against Keras: the same signs everywhere, logits within rounding."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import (
    QuantConv1D,
    QuantConv2D,
    QuantDense,
    QuantDepthwiseConv1D,
    QuantDepthwiseConv2D,
    QuantSeparableConv1D,
    QuantSeparableConv2D,
    quantizers,
)
from tests.helpers.converting import (
    BINARY,
    ROUNDING,
    SIGNS,
    after,
    conv_net,
    converted,
    dense_net,
    keras_outputs,
    outputs_of,
    trained,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)


@pytest.mark.parametrize("decomposition", ["int8", "float"])
def test_dense_net(tmp_path, decomposition):
    report = converted(dense_net(), tmp_path, decomposition=decomposition)
    assert [layer.packed for layer in report.layers] == [True] * 3
    assert [layer.inputs for layer in report.layers] == ["floats", "bits", "bits"]
    assert [layer.outputs for layer in report.layers] == ["bits", "bits", "floats"]
    assert report.verification.decisions == 4 * (70 + 33)


@pytest.mark.parametrize("channels", [32, 40])
@pytest.mark.parametrize("pool_first", [True, False])
@pytest.mark.parametrize("pad_values", [0, 1, -1])
def test_conv_net_stays_in_bits(tmp_path, pad_values, pool_first, channels):
    report = converted(conv_net(pad_values, pool_first, channels), tmp_path)
    assert all(layer.packed for layer in report.layers)
    assert {layer.outputs for layer in report.layers[:-1]} == {"bits"}
    assert {layer.inputs for layer in report.layers[1:]} == {"bits"}


CONVOLUTIONS = {
    "valid, strides": {"strides": 2},
    "same, strides": {"strides": 2, "padding": "same"},
    "unequal strides": {"strides": (2, 1), "padding": "same"},
    "unequal window": {"kernel_size": (1, 4), "padding": "same", "pad_values": -1},
    "dilation": {"dilation_rate": 2, "padding": "same", "pad_values": 1},
    "dilation, valid": {"dilation_rate": (1, 2)},
    "groups": {"groups": 2, "padding": "same"},
    "groups of a word": {"groups": 2, "padding": "same", "channels": 64},
    "groups, padded with -1": {"groups": 4, "padding": "same", "pad_values": -1},
    "bias": {"use_bias": True},
    "magnitudes": {"kernel_quantizer": "magnitude_aware_sign"},
    "ternary": {"kernel_quantizer": "ste_tern", "padding": "same"},
    "ternary weight networks": {
        "kernel_quantizer": quantizers.SteTern(ternary_weight_networks=True)
    },
    "powers of two": {"kernel_quantizer": "irnet_sign", "padding": "same"},
    "activation": {"activation": "relu"},
    "heaviside kernel": {"kernel_quantizer": "ste_heaviside"},
    "approximated sign": {"input_quantizer": "approx_sign"},
    "swish sign": {"input_quantizer": "swish_sign"},
    "learned shift": {"input_quantizer": "r_sign"},
    "one bit of DoReFa": {"kernel_quantizer": quantizers.DoReFa(1, mode="weights")},
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("input_kind", ["floats", "bits"])
def test_convolutions(tmp_path, case, input_kind):
    arguments = {"kernel_size": 3, **SIGNS, **CONVOLUTIONS[case]}
    channels = arguments.pop("channels", 8)
    before = [QuantConv2D(channels, 1, **BINARY), layers.BatchNormalization()]
    if input_kind == "floats":
        arguments["input_quantizer"] = None
        before[0] = layers.Conv2D(channels, 1)
    layer = QuantConv2D(12, name="layer", **arguments)
    if input_kind == "floats":
        model = after(layer, (9, 10, channels))
    else:
        model = after(layer, (9, 10, 3), before=before)
    report = converted(model, tmp_path)
    assert report["layer"].packed
    is_ternary = "ternary" in case or "heaviside" in case
    assert report["layer"].weight_bits == (2 if is_ternary else 1)
    expected = input_kind
    if case == "learned shift" and input_kind == "bits":
        # Batch normalization and shift of floats are rounded one by one.
        expected = "signs"
    assert report["layer"].inputs == expected


OTHERS = {
    "QuantConv1D": (QuantConv1D, {"filters": 6, "kernel_size": 3}, (12, 5)),
    "QuantConv1D, same": (
        QuantConv1D,
        {
            "filters": 6,
            "kernel_size": 4,
            "padding": "same",
            "pad_values": -1,
            "strides": 2,
        },
        (12, 5),
    ),
    "QuantConv1D, causal": (
        QuantConv1D,
        {"filters": 6, "kernel_size": 3, "padding": "causal", "pad_values": 1},
        (12, 5),
    ),
    "QuantDepthwiseConv1D": (QuantDepthwiseConv1D, {"kernel_size": 3}, (12, 5)),
    "QuantDepthwiseConv2D": (
        QuantDepthwiseConv2D,
        {"kernel_size": 3, "padding": "same", "pad_values": 1},
        (9, 8, 40),
    ),
    "QuantDepthwiseConv2D, multiplier": (
        QuantDepthwiseConv2D,
        {"kernel_size": 3, "strides": 2, "padding": "same", "depth_multiplier": 3},
        (9, 8, 7),
    ),
    "QuantSeparableConv1D": (
        QuantSeparableConv1D,
        {"filters": 6, "kernel_size": 3},
        (12, 5),
    ),
    "QuantSeparableConv2D": (
        QuantSeparableConv2D,
        {"filters": 6, "kernel_size": 3, "padding": "same", "pad_values": -1},
        (9, 8, 7),
    ),
    "QuantDense of sequences": (QuantDense, {"units": 6}, (5, 7)),
}


@pytest.mark.parametrize("case", OTHERS)
@pytest.mark.parametrize("takes_signs", [True, False])
def test_other_packed_layers(tmp_path, case, takes_signs):
    layer_class, arguments, shape = OTHERS[case]
    arguments = {"use_bias": True, "name": "layer", **arguments}
    if "Depthwise" in case or "Separable" in case:
        arguments |= {
            "depthwise_quantizer": "ste_sign",
            "depthwise_constraint": "weight_clip",
        }
    if "Separable" in case:
        arguments |= {
            "pointwise_quantizer": "ste_sign",
            "pointwise_constraint": "weight_clip",
        }
    if "Depthwise" not in case and "Separable" not in case:
        arguments |= {
            "kernel_quantizer": "ste_sign",
            "kernel_constraint": "weight_clip",
        }
    if takes_signs:
        arguments["input_quantizer"] = "ste_sign"
    report = converted(after(layer_class(**arguments), shape), tmp_path)
    packed = [layer for layer in report.layers if layer.name.startswith("layer")]
    assert all(layer.packed for layer in packed)
    assert len(packed) == (2 if "Separable" in case else 1)


@pytest.mark.parametrize("quantizer", ["ste_heaviside", "dorefa_quantizer", "ste_tern"])
def test_inputs_of_other_levels_are_floats(tmp_path, quantizer):
    layer = QuantDense(5, name="layer", **{**BINARY, "input_quantizer": quantizer})
    report = converted(after(layer, (40,)), tmp_path)
    assert report["layer"].packed
    assert report["layer"].inputs == "floats"


def test_custom_quantizers_are_told_by_their_values(tmp_path):
    def my_sign(x):
        return keras.ops.where(x >= 0, 1.0, -1.0)

    def half_sign(x):
        return 0.5 * my_sign(x)

    layer = QuantDense(
        6, input_quantizer=my_sign, kernel_quantizer=half_sign, name="layer"
    )
    report = converted(after(layer, (30,)), tmp_path)
    assert report["layer"].packed
    assert report["layer"].inputs == "signs"


@keras.saving.register_keras_serializable("tests")
class NotBuilt(keras.Model):
    """A subclass that makes its layers, and no weights of them."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first = QuantDense(40, name="first", **BINARY)
        self.normalization = layers.BatchNormalization()
        self.last = QuantDense(3, name="last", **SIGNS)

    def call(self, inputs):
        return self.last(self.normalization(self.first(inputs)))


@pytest.mark.parametrize("is_subclass", [True, False])
def test_models_that_are_not_built_need_a_shape_only(tmp_path, is_subclass):
    model = NotBuilt() if is_subclass else keras.Sequential([QuantDense(3, **BINARY)])
    path = tmp_path / "model.tflite"
    report = kerasbnn.convert(model, path, input_shape=(20,))
    assert report.has_packed
    x = np.random.default_rng(0).integers(-9, 9, (5, 20)).astype(np.float32)
    np.testing.assert_allclose(outputs_of(path, x), keras_outputs(model, x), **ROUNDING)
    if is_subclass:
        assert report["first"].fused == ("batch_normalization", "sign")


def test_no_warning_of_numpy_or_tensorflow(tmp_path):
    model = trained(dense_net())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        kerasbnn.convert(model, tmp_path / "model.tflite")
    assert [str(one.message) for one in said] == []

"""Converted models against Keras: the same signs everywhere, logits within rounding."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import (
    QuantConv1D,
    QuantConv2D,
    QuantConv2DTranspose,
    QuantConv3D,
    QuantDense,
    QuantDepthwiseConv1D,
    QuantDepthwiseConv2D,
    QuantSeparableConv1D,
    QuantSeparableConv2D,
    quantizers,
)
from tests.helpers.converting import (
    BINARY,
    SIGNS,
    conv_net,
    dense_net,
    keras_outputs,
    outputs_of,
    samples_for,
    trained,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)

# Of the values of one layer, which rounding may not move.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


def converted(model, tmp_path, **options):
    """Convert, compare on inputs of our own, and return the report."""
    report = kerasbnn.convert(trained(model), tmp_path / "model.tflite", **options)
    x = samples_for(model)
    for batch in (x, x[:1]):
        np.testing.assert_allclose(
            outputs_of(tmp_path / "model.tflite", batch),
            keras_outputs(model, batch),
            **ROUNDING,
        )
    assert report.verification.near_ties == 0
    return report


def after(layer, shape, *, before=(), normalized=True):
    """A network with a layer between two others."""
    model = keras.Sequential([keras.Input(shape), *before, layer])
    if normalized:
        model.add(layers.BatchNormalization())
    return model


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


LEFT_FLOAT = {
    "QuantConv3D": (
        QuantConv3D,
        {"filters": 4, "kernel_size": 2, **SIGNS},
        (4, 5, 6, 2),
        "no packed form of QuantConv3D",
    ),
    "QuantConv2DTranspose": (
        QuantConv2DTranspose,
        {"filters": 4, "kernel_size": 3, "strides": 2, **SIGNS},
        (4, 5, 3),
        "no packed form of QuantConv2DTranspose",
    ),
    "two bits of DoReFa": (
        QuantConv2D,
        {
            "filters": 4,
            "kernel_size": 3,
            **SIGNS,
            "kernel_quantizer": quantizers.DoReFa(2, mode="weights"),
        },
        (5, 6, 3),
        "more than one magnitude",
    ),
    "float kernel": (
        QuantConv2D,
        {"filters": 4, "kernel_size": 3, "input_quantizer": "ste_sign"},
        (5, 6, 3),
        "its kernel has no quantizer",
    ),
}


@pytest.mark.parametrize("case", LEFT_FLOAT)
def test_what_is_not_packed_is_right_and_says_why(tmp_path, case):
    layer_class, arguments, shape, reason = LEFT_FLOAT[case]
    layer = layer_class(name="layer", **arguments)
    model = after(layer, shape, normalized=False)
    report = converted(model, tmp_path)
    assert not report["layer"].packed
    assert reason in report["layer"].reason
    assert "Not packed" in str(report)


@pytest.mark.parametrize("quantizer", ["ste_heaviside", "dorefa_quantizer", "ste_tern"])
def test_inputs_of_other_levels_are_floats(tmp_path, quantizer):
    layer = QuantDense(5, name="layer", **{**BINARY, "input_quantizer": quantizer})
    report = converted(after(layer, (40,)), tmp_path)
    assert report["layer"].packed
    assert report["layer"].inputs == "floats"


def test_residual_connections_are_fused(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, padding="same")(inputs)
    for _ in range(3):
        y = QuantConv2D(16, 3, padding="same", pad_values=1, **SIGNS)(x)
        y = layers.BatchNormalization()(y)
        x = layers.Add()([y, x])
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(4)(x))
    report = converted(model, tmp_path)
    packed = [layer for layer in report.layers if layer.packed]
    assert [layer.fused[-1] for layer in packed] == ["residual"] * 3


def test_signs_with_several_uses(tmp_path):
    inputs = keras.Input((6, 6, 5))
    x = QuantConv2D(40, 3, **BINARY)(inputs)
    x = layers.BatchNormalization()(x)
    # One sign feeds two layers, one of another kind, and one that is not binary.
    signs = quantizers.SteSign(name="signs")(x)
    a = QuantConv2D(8, 1, **BINARY)(signs)
    b = QuantConv2D(8, 1, **BINARY)(signs)
    c = layers.Conv2D(8, 1)(signs)
    model = keras.Model(inputs, layers.Concatenate()([a, b, c]))
    converted(model, tmp_path)


def test_one_sign_to_two_binary_layers_is_bits(tmp_path):
    inputs = keras.Input((6, 6, 5))
    x = QuantConv2D(40, 3, name="first", **BINARY)(inputs)
    x = layers.BatchNormalization()(x)
    a = QuantConv2D(8, 1, **SIGNS)(x)
    b = QuantConv2D(8, 1, **SIGNS)(x)
    model = keras.Model(inputs, layers.Concatenate()([a, b]))
    report = converted(model, tmp_path)
    assert report["first"].outputs == "bits"


def test_nested_and_shared_layers(tmp_path):
    block = keras.Sequential(
        [
            keras.Input((16,)),
            QuantDense(16, name="dense", **SIGNS),
            layers.BatchNormalization(name="bn"),
        ],
        name="block",
    )
    inputs = keras.Input((16,))
    model = keras.Model(inputs, block(block(inputs)))
    report = converted(model, tmp_path)
    assert report["block/dense"].packed
    assert len(report.layers) == 1


def test_subclassed_models(tmp_path):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = QuantDense(16, **SIGNS)
            self.norm = layers.BatchNormalization()

        def call(self, inputs, training=False):
            return self.norm(self.dense(inputs), training=training)

    model = Net()
    x = np.ones((2, 7), np.float32)
    model(x)
    trained(model)
    report = kerasbnn.convert(model, tmp_path / "model.tflite", sample_inputs=x)
    assert [layer.packed for layer in report.layers] == [True]
    np.testing.assert_allclose(
        outputs_of(tmp_path / "model.tflite", x), keras_outputs(model, x), **ROUNDING
    )


def test_layers_that_others_run_are_reported(tmp_path):
    wrapped = layers.TimeDistributed(QuantDense(4, name="inner", **SIGNS), name="outer")
    model = keras.Sequential([keras.Input((3, 5)), wrapped])
    report = converted(model, tmp_path)
    (layer,) = (layer for layer in report.layers if "inner" in layer.name)
    assert not layer.packed
    assert "inside another layer" in layer.reason


def test_recurrent_layers_pass_through(tmp_path):
    # Converted wrongly by Larq Compute Engine.
    model = keras.Sequential(
        [
            keras.Input((6, 5)),
            layers.LSTM(8, unroll=True, name="lstm"),
            QuantDense(4, name="quant_dense", **SIGNS),
        ]
    )
    report = converted(model, tmp_path)
    assert not report["lstm/lstm_cell"].packed
    assert report["quant_dense"].packed


def test_dropout_on_signs(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((20,)),
            QuantDense(40, **BINARY),
            layers.BatchNormalization(),
            quantizers.SteSign(),
            layers.Dropout(0.5),
            QuantDense(6, name="last", **BINARY),
        ]
    )
    assert converted(model, tmp_path)["last"].inputs == "bits"


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


def test_shifts_between_binary_layers_are_thresholds(tmp_path):
    shifted = {**SIGNS, "input_quantizer": "r_sign"}
    model = keras.Sequential(
        [
            keras.Input((9, 9, 3)),
            QuantConv2D(20, 3, name="first", **{**SIGNS, "use_bias": True}),
            layers.BatchNormalization(),
            QuantConv2D(20, 3, name="second", **shifted),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),
            QuantConv2D(5, 1, name="third", **shifted),
        ]
    )
    report = converted(model, tmp_path)
    assert [layer.outputs for layer in report.layers] == ["bits", "bits", "floats"]


def test_half_precision_is_refused(tmp_path):
    layer = QuantDense(4, dtype="mixed_bfloat16", name="layer", **SIGNS)
    model = trained(after(layer, (6,), normalized=False))
    path = tmp_path / "model.tflite"
    with pytest.raises(kerasbnn.tflite.ConversionError, match="float32"):
        kerasbnn.convert(model, path)
    assert not path.exists()


def test_same_model_same_bytes(tmp_path):
    model = trained(conv_net())
    kerasbnn.convert(model, tmp_path / "a.tflite", labels=list("0123456789"))
    model.save(tmp_path / "model.keras")
    keras.backend.clear_session()
    again = keras.models.load_model(tmp_path / "model.keras")
    kerasbnn.convert(again, tmp_path / "b.tflite", labels=list("0123456789"))
    a, b = ((tmp_path / f"{name}.tflite").read_bytes() for name in "ab")
    assert a == b

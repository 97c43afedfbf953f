"""What TensorFlow converts stays right, and the report says why it is not packed."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import (
    QuantConv2D,
    QuantConv2DTranspose,
    QuantConv3D,
    QuantDense,
    quantizers,
)
from tests.helpers.converting import (
    SIGNS,
    after,
    converted,
    keras_outputs,
    outputs_of,
    trained,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)


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


def test_half_precision_is_refused(tmp_path):
    layer = QuantDense(4, dtype="mixed_bfloat16", name="layer", **SIGNS)
    model = trained(after(layer, (6,), normalized=False))
    path = tmp_path / "model.tflite"
    with pytest.raises(kerasbnn.tflite.ConversionError, match="float32"):
        kerasbnn.convert(model, path)
    assert not path.exists()


LAYERS_OF_KERAS = {
    "LSTM": (layers.LSTM(8, name="it"), (6, 5)),
    "GRU": (layers.GRU(8, name="it"), (6, 5)),
    "Bidirectional": (layers.Bidirectional(layers.LSTM(4), name="it"), (6, 5)),
    "RNN": (layers.RNN(layers.GRUCell(5), name="it"), (6, 5)),
    "ConvLSTM2D": (layers.ConvLSTM2D(3, 3, name="it"), (3, 5, 6, 2)),
    "LayerNormalization": (layers.LayerNormalization(name="it"), (6, 8)),
    "GroupNormalization": (layers.GroupNormalization(2, name="it"), (5, 6, 8)),
    "EinsumDense": (layers.EinsumDense("abc,cd->abd", (6, 7), name="it"), (6, 8)),
    "Conv1D": (layers.Conv1D(4, 3, padding="causal", name="it"), (8, 3)),
    "Conv2D": (layers.Conv2D(4, 3, strides=2, name="it"), (8, 7, 3)),
    "Conv2DTranspose": (layers.Conv2DTranspose(4, 3, strides=2, name="it"), (5, 6, 3)),
    "DepthwiseConv2D": (layers.DepthwiseConv2D(3, name="it"), (8, 7, 3)),
    "SeparableConv2D": (layers.SeparableConv2D(4, 3, name="it"), (8, 7, 3)),
    "Dense": (layers.Dense(7, activation="gelu", name="it"), (6,)),
    "PReLU": (layers.PReLU(name="it"), (6,)),
    "normalization over another axis": (
        layers.BatchNormalization(axis=1, name="it"),
        (4, 5, 6),
    ),
}


@pytest.mark.parametrize("case", LAYERS_OF_KERAS)
def test_layers_of_keras_pass_through(tmp_path, case):
    layer, shape = LAYERS_OF_KERAS[case]
    layer = layer.__class__.from_config(layer.get_config())
    model = keras.Sequential([keras.Input(shape), layer, layers.Flatten()])
    path = tmp_path / "model.tflite"
    report = kerasbnn.convert(trained(model), path)
    x = np.random.default_rng(0).normal(size=(3, *shape)).astype(np.float32)
    np.testing.assert_allclose(
        outputs_of(path, x), keras_outputs(model, x), rtol=1e-4, atol=1e-5
    )
    assert report.layers
    for found in report.layers:
        assert found.name.split("/")[0] == "it"
        assert not found.packed
        reason = "a layer of Keras, converted by TensorFlow"
        if case == "normalization over another axis":
            reason = "it normalizes axis 1, not the last"
        assert found.reason == reason
        assert found.float32_bytes > 0
    if hasattr(layer, "unroll"):
        assert not layer.unroll


def test_integers_become_vectors(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            layers.Embedding(10, 8),
            layers.Flatten(),
            QuantDense(4, name="dense", **SIGNS),
        ]
    )
    report = kerasbnn.convert(trained(model), tmp_path / "model.tflite")
    assert report["dense"].packed
    x = np.random.default_rng(0).integers(0, 10, (5, 6)).astype(np.int32)
    np.testing.assert_array_equal(
        outputs_of(tmp_path / "model.tflite", x), keras_outputs(model, x)
    )


def test_attention_around_binary_layers(tmp_path):
    inputs = keras.Input((6, 8))
    x = layers.MultiHeadAttention(2, 4)(inputs, inputs)
    x = QuantDense(8, name="dense", **SIGNS)(layers.LayerNormalization()(x + inputs))
    model = trained(keras.Model(inputs, x))
    report = kerasbnn.convert(model, tmp_path / "model.tflite")
    assert report["dense"].packed
    assert report["dense"].inputs == "signs"


def test_operations_that_no_interpreter_has(tmp_path):
    class Determinant(layers.Layer):
        def call(self, inputs):
            return keras.ops.det(inputs)[:, None]

    model = keras.Sequential([keras.Input((3, 3)), Determinant()])
    with pytest.raises(kerasbnn.tflite.ConversionError, match="Determinant"):
        kerasbnn.convert(model, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())

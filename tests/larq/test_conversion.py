"""Models of Larq's layers in the rest of kerasbnn: conversion, commands, audit."""

import keras
import numpy as np
import pytest

import kerasbnn
import kerasbnn.larq as lq
from tests.helpers.converting import converted
from tests.helpers.processes import run_python

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)
BOTH = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
}
SEPARABLE = {
    "input_quantizer": "ste_sign",
    "depthwise_quantizer": "ste_sign",
    "depthwise_constraint": "weight_clip",
    "pointwise_quantizer": "ste_sign",
    "pointwise_constraint": "weight_clip",
}


def network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 2)),
            lq.layers.QuantConv2D(8, 3, padding="same", pad_values=1.0, **BOTH),
            keras.layers.BatchNormalization(),
            lq.layers.QuantLocallyConnected2D(3, 2, strides=2, **BOTH),
            keras.layers.Flatten(),
            lq.layers.QuantDense(5, **BOTH),
        ]
    )


@needs_tensorflow
def test_a_file_packs_all_but_locally_connected_layers(tmp_path):
    report = converted(network(), tmp_path)
    packed = {layer.type: layer.packed for layer in report.layers}
    assert packed == {
        "QuantConv2D": True,
        # Alone, since a layer of floats comes next.
        "BatchNormalization": False,
        "QuantLocallyConnected2D": False,
        "QuantDense": True,
    }


@needs_tensorflow
def test_a_causal_separable_convolution_is_padded_once(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((9, 4)),
            lq.layers.QuantSeparableConv1D(
                6, 3, padding="causal", dilation_rate=2, pad_values=1.0, **SEPARABLE
            ),
        ]
    )
    report = converted(model, tmp_path)
    assert all(layer.packed for layer in report.layers)


@needs_tensorflow
def test_larqs_own_quantizers_are_packed(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((12,)),
            lq.layers.QuantDense(
                8, input_quantizer="ste_sign", kernel_quantizer="ste_tern"
            ),
            lq.layers.QuantDense(
                4, input_quantizer="ste_sign", kernel_quantizer="magnitude_aware_sign"
            ),
        ]
    )
    report = converted(model, tmp_path)
    assert [layer.weight_bits for layer in report.layers] == [2, 1]


def test_commands_load_what_these_layers_saved(tmp_path):
    model = network()
    model.save(tmp_path / "model.keras")
    printed = run_python(
        *("-m", "kerasbnn", "summary", "model.keras"),
        folder=tmp_path,
        KERAS_BACKEND=keras.backend.backend(),
        COLUMNS="120",
    )
    assert "quant_locally_connected2d" in printed


def test_kerasbnns_own_tools_know_the_layers():
    model = network()
    totals = kerasbnn.models.summary(model, print_fn=lambda line: None)["totals"]
    assert totals["weights"]["1"] == 2 * 9 * 8 + 16 * 32 * 3 + 48 * 5
    weights = kerasbnn.models.quantized_weights(model, dtype="int8")
    with lq.context.quantized_scope(True):
        for layer in model.layers:
            if hasattr(layer, "kernel"):
                np.testing.assert_array_equal(
                    weights[f"{layer.name}/kernel"], layer.get_weights()[0]
                )
    x = np.random.default_rng(0).normal(size=(16, 8, 8, 2)).astype("float32")
    report = kerasbnn.audit(model, x, verbose=0)
    audited = " ".join(layer.name for layer in report.layers)
    assert "quant_conv2d" in audited
    assert "quant_dense" in audited

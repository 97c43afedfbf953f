"""Batch normalization between binary layers, with whatever training may leave in it."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasbnn import QuantConv2D, QuantDense, convert
from kerasbnn.runtime import Interpreter
from tests.helpers.converting import (
    BINARY,
    ROUNDING,
    SIGNS,
    keras_outputs,
    samples_for,
    trained,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)

FAN_IN = 40
TINY = np.finfo(np.float32).tiny
# gamma, beta, mean, variance.
CHANNELS = {
    "as at the start": (1, 0, 0, 1),
    "negative gamma": (-0.7, 0.3, 1.5, 9),
    "zero gamma, positive beta": (0, 0.5, 3, 2),
    "zero gamma, negative beta": (0, -0.5, 3, 2),
    "zero gamma, zero beta": (0, 0, 3, 2),
    "negative zero gamma": (-0.0, 0, -3, 2),
    "gamma that vanishes beside beta": (1e-12, -1, 0, 1),
    "gamma that vanishes to a tie": (1e-30, 0, 0, 1),
    "negative gamma that vanishes to a tie": (-1e-30, 0, 0, 1),
    "smallest normal gamma": (TINY, 0, 3, 0.5),
    "subnormal gamma": (1e-40, 0, 3, 1e-6),
    "negative subnormal gamma": (-1e-40, 0, 3, 1e-6),
    "smallest subnormal gamma": (1e-45, 1e-40, 0, 1),
    "huge gamma": (1e30, 1, 5, 4),
    "zero variance": (1, 0.25, 7, 0),
    "zero variance, negative gamma": (-1, 0.25, 7, 0),
    "huge variance": (1, 1e-3, -4, 1e30),
    "tie at an integer": (0.5, 0, 6, 1),
    "tie at an integer, falling": (-0.5, 0, 6, 1),
    "tie that rounding makes": (0.1, 0.3, 3, 1 - 1e-3),
    "never negative": (1, 1e6, 0, 1),
    "always negative": (1, -1e6, 0, 1),
    "first integer": (1, 0, -FAN_IN, 1),
    "last integer": (1, 0, FAN_IN, 1),
    "half an integer": (1, 0, 2.5, 1),
}


def every_product():
    """Signs of inputs whose dot products with ones are all that there can be."""
    columns = np.arange(FAN_IN)
    return np.where(columns < np.arange(FAN_IN + 1)[:, None], -1, 1).astype(np.float32)


def spoilt(normalization):
    values = np.array(list(CHANNELS.values()), np.float64).T
    for name, array in zip(("gamma", "beta", "mean", "var"), values, strict=True):
        name = {"mean": "moving_mean", "var": "moving_variance"}.get(name, name)
        weight = getattr(normalization, name, None)
        if weight is not None:
            weight.assign(array.astype(np.float32))
    return normalization


def check_outputs(model, path, x):
    with Interpreter(path, delegate=False) as interpreter:
        found = interpreter.predict(x)
    np.testing.assert_allclose(found, keras_outputs(model, x), **ROUNDING)
    return found


@pytest.mark.parametrize("options", [{}, {"scale": False}, {"center": False}])
@pytest.mark.parametrize("negated", [False, True])
def test_signs_at_every_integer(tmp_path, options, negated):
    # The last layer shows each sign that the one before has decided on.
    units = len(CHANNELS)
    normalization = layers.BatchNormalization(name="bn", **options)
    model = keras.Sequential(
        [
            keras.Input((FAN_IN,)),
            QuantDense(units, name="first", **SIGNS),
            normalization,
            QuantDense(units, name="last", **{**SIGNS, "kernel_quantizer": "ste_tern"}),
        ]
    )
    sign = -1.0 if negated else 1.0
    model.get_layer("first").kernel.assign(np.full((FAN_IN, units), sign))
    model.get_layer("last").kernel.assign(np.eye(units))
    spoilt(normalization)
    x = every_product()
    path = tmp_path / "model.tflite"
    report = convert(model, path, sample_inputs=x)
    assert report["first"].fused == ("bn", "sign")
    assert report.verification.near_ties == 0
    found = check_outputs(model, path, x)
    # All values are signs, and not all are the same.
    assert set(np.unique(found)) == {-1, 1}


@pytest.mark.parametrize("pool_first", [True, False])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_pooling_before_and_after(tmp_path, pool_first, padding):
    units = len(CHANNELS)
    between = [spoiling := layers.BatchNormalization(), layers.MaxPooling2D(2)]
    model = keras.Sequential(
        [
            keras.Input((9, 9, 3)),
            QuantConv2D(40, 1, **BINARY),
            layers.BatchNormalization(),
            QuantConv2D(units, 1, padding=padding, name="first", **SIGNS),
            *(between[::-1] if pool_first else between),
            QuantConv2D(7, 2, name="last", **SIGNS),
        ]
    )
    trained(model)
    spoilt(spoiling)
    path = tmp_path / "model.tflite"
    report = convert(model, path)
    assert report["first"].outputs == "bits"
    assert report.verification.near_ties == 0
    check_outputs(model, path, samples_for(model, 20))


def test_a_first_layer_of_floats_and_a_last_one(tmp_path):
    units = len(CHANNELS)
    model = keras.Sequential([keras.Input((9,)), QuantDense(units, **BINARY)])
    model.add(first := layers.BatchNormalization())
    model.add(QuantDense(units, **SIGNS))
    model.add(last := layers.BatchNormalization())
    trained(model)
    spoilt(first), spoilt(last)
    # Values of 1e30 say nothing of the others.
    for normalization in (first, last):
        values = np.array(normalization.gamma)
        normalization.gamma.assign(np.where(np.abs(values) > 1e9, 1, values))
    path = tmp_path / "model.tflite"
    assert convert(model, path).verification.near_ties == 0
    check_outputs(model, path, samples_for(model, 30))


@pytest.mark.parametrize("kind", ["nested", "subclassed"])
def test_in_models_in_models(tmp_path, kind):
    class Block(keras.Model):
        def __init__(self):
            super().__init__(name="block")
            self.dense = QuantDense(len(CHANNELS), name="dense", **SIGNS)
            self.bn = layers.BatchNormalization(name="bn")

        def call(self, inputs, training=False):
            return self.bn(self.dense(inputs), training=training)

    block = Block()
    if kind == "nested":
        dense = QuantDense(len(CHANNELS), name="dense", **SIGNS)
        bn = layers.BatchNormalization(name="bn")
        block = keras.Sequential([keras.Input((FAN_IN,)), dense, bn], name="block")
    inputs = keras.Input((FAN_IN,))
    model = keras.Model(inputs, QuantDense(6, name="last", **SIGNS)(block(inputs)))
    trained(model)
    spoilt(block.get_layer("bn"))
    path = tmp_path / "model.tflite"
    report = convert(model, path)
    assert report["block/dense"].fused == ("block/bn", "sign")
    check_outputs(model, path, samples_for(model, 30))


def test_several_in_a_row_are_one_threshold(tmp_path):
    model = keras.Sequential([keras.Input((FAN_IN,))])
    model.add(QuantDense(33, name="first", **{**SIGNS, "use_bias": True}))
    for number in range(3):
        model.add(layers.BatchNormalization(name=f"bn_{number}"))
    model.add(QuantDense(6, name="last", **SIGNS))
    path = tmp_path / "model.tflite"
    report = convert(trained(model), path)
    assert report["first"].fused == ("bn_0", "bn_1", "bn_2", "sign")
    assert report["last"].inputs == "bits"
    check_outputs(model, path, samples_for(model, 30))


@pytest.mark.parametrize("gamma", [1e-40, -1e-40, 1e-45])
def test_subnormal_gammas_behind_a_layer_of_floats(tmp_path, gamma):
    # TensorFlow takes them for 0, so that all signs are +1; the delegate does not.
    model = keras.Sequential(
        [
            keras.Input((20,)),
            QuantDense(12, **BINARY),
            layers.BatchNormalization(epsilon=1e-3),
            QuantDense(3, **SIGNS),
        ]
    )
    trained(model)
    model.layers[1].set_weights([np.full(12, gamma), *np.zeros((2, 12)), np.ones(12)])
    convert(model, tmp_path / "model.tflite")
    x = samples_for(model)
    expected = keras_outputs(model, x)
    for delegate in (False, True):
        found = Interpreter(tmp_path / "model.tflite", delegate=delegate).predict(x)
        np.testing.assert_array_equal(found, expected)

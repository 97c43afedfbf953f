"""Activations with the levels of 8-bit quantizers: the values of Keras, to the bit."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import Interpreter, QuantConv2D, QuantDense
from kerasbnn.tfmot import (
    AllValuesQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
)
from tests.helpers.converting import SIGNS, keras_outputs, outputs_of
from tests.helpers.delegates import needs_delegate

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)

# All pixels of an image between -1 and 1.
PIXELS = (2 * np.arange(256) / 255 - 1).astype("float32")


def quantizer_with(ends, bits=8, cls=MovingAverageQuantizer, **arguments):
    """Make a quantizer with a range."""
    quantizer = cls(bits, **arguments)
    quantizer.build((None, 4))
    quantizer.min_value.assign(ends[0])
    quantizer.max_value.assign(ends[1])
    return quantizer


def activations(ends, seed=0):
    """Make values in and beyond a range, at its levels and between them."""
    rng = np.random.default_rng(seed)
    low, high = np.min(ends[0]), np.max(ends[1])
    spread = max(high - low, 1)
    steps = low + spread * np.arange(-20, 532) / 510
    values = [
        PIXELS,
        steps,
        rng.uniform(low - spread / 5, high + spread / 5, 2000),
        [0, -0.0, 1e-30, -1e-30, 1e30, -1e30, low, high],
    ]
    return np.concatenate(values).astype("float32").reshape(-1, 4)


RANGES = {
    # Every pixel lies half-way between two levels.
    "of images": (-1, 1),
    "from 0": (0, 2.7),
    "to 0": (-0.3, 0),
    "any": (-0.731, 1.913),
    "of exact levels": (-2, 127 / 64),
    "before training": (-6, 6),
    "empty": (0, 0),
}


@pytest.mark.parametrize("bits", [2, 7, 8, 16])
@pytest.mark.parametrize("ends", RANGES)
def test_the_values_are_those_of_keras(ends, bits, tmp_path):
    ends = RANGES[ends]
    model = keras.Sequential([keras.Input((4,)), quantizer_with(ends, bits)])
    x = activations(ends)
    samples = x[np.abs(x).max(axis=1) < 100]
    report = kerasbnn.convert(model, tmp_path / "model.tflite", sample_inputs=samples)
    assert report.verification.largest_difference == 0
    for batch in (x[:1], x, x[:3]):
        found = outputs_of(tmp_path / "model.tflite", batch)
        np.testing.assert_array_equal(found, keras_outputs(model, batch))
    levels = np.unique(found)
    assert len(levels) <= 2**bits
    (row,) = report.layers
    assert "rounds activations" in row.reason


@pytest.mark.parametrize("narrow_range", [False, True])
def test_a_range_for_each_channel(narrow_range, tmp_path):
    ends = np.array([-1, 0, -3, -0.2]), np.array([1, 2, 0, 5])
    quantizer = quantizer_with(ends, per_axis=True, narrow_range=narrow_range)
    model = keras.Sequential([keras.Input((4,)), quantizer])
    kerasbnn.convert(model, tmp_path / "model.tflite")
    x = activations(ends)
    found = outputs_of(tmp_path / "model.tflite", x)
    np.testing.assert_array_equal(found, keras_outputs(model, x))
    assert found.max(axis=0)[2] == 0
    assert found.min(axis=0)[1] == 0


@pytest.mark.parametrize("cls", [LastValueQuantizer, AllValuesQuantizer])
def test_other_quantizers(cls, tmp_path):
    quantizer = quantizer_with((-1, 1), cls=cls)
    model = keras.Sequential([keras.Input((4,)), quantizer])
    kerasbnn.convert(model, tmp_path / "model.tflite")
    x = activations((-1, 1))
    found = outputs_of(tmp_path / "model.tflite", x)
    np.testing.assert_array_equal(found, keras_outputs(model, x))


@needs_delegate
@pytest.mark.parametrize("pad_values", [0, 1])
def test_inputs_of_layers(pad_values, tmp_path):
    """The pixels are rounded as in Keras, so the signs behind them are the same."""
    eight_bits = LastValueQuantizer(8, True, True, True)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            QuantConv2D(
                16,
                3,
                padding="same",
                pad_values=pad_values,
                input_quantizer=MovingAverageQuantizer(8),
                kernel_quantizer=eight_bits,
            ),
            layers.BatchNormalization(),
            QuantConv2D(33, 3, **SIGNS),
            layers.BatchNormalization(),
            # Rounded inputs of a binary kernel, too.
            QuantConv2D(
                8, 3, **{**SIGNS, "input_quantizer": MovingAverageQuantizer(4)}
            ),
            layers.Flatten(),
            QuantDense(5, input_quantizer=MovingAverageQuantizer(8)),
        ]
    )
    rng = np.random.default_rng(0)
    x = rng.choice(PIXELS, (20, 8, 8, 3))
    for _ in range(20):
        model(x, training=True)
    model.layers[0].input_quantizer.min_value.assign(-1)
    model.layers[0].input_quantizer.max_value.assign(1)
    report = kerasbnn.convert(model, tmp_path / "model.tflite", sample_inputs=x)
    assert report.verification.left_out == 0
    assert [
        row.weight_bits for row in report.layers if row.type != "BatchNormalization"
    ] == [8, 1, 1, 32]
    expected = keras_outputs(model, x)
    for delegate in (False, True):
        with Interpreter(tmp_path / "model.tflite", delegate=delegate) as interpreter:
            found = interpreter.predict(x)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

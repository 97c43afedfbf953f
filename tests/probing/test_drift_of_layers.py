"""Drift of models with continuous layers, several inputs, or many channels."""

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn import QuantDense
from kerasbnn.probing import Drift, Observation, Probe, Reference
from kerasbnn.probing.figures import MOST_CHANNELS
from tests.helpers.converting import SIGNS
from tests.helpers.probing import randomized, samples, sequential

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)


def probed(model, path):
    kerasbnn.tflite.probe(model, path)
    return Probe(path)


def test_continuous_weights_have_no_signs_to_warn_of(tmp_path):
    layers = [QuantDense(40, **SIGNS), keras.layers.Dense(40)]
    probe = probed(sequential((40,), *layers), tmp_path / "p.tflite")
    x = np.random.default_rng(0).normal(size=(512, 40))
    reference = Reference.measure(probe, x)
    # Along one direction hardly anything is left of most correlations.
    narrow = x[:256] * 0.01 + np.sign(x[:256, :1]) * np.linspace(-1, 1, 40)
    drift = Drift.of(Observation.measure(probe, reference, narrow.astype("float32")))
    quantized, continuous = drift.layers
    for layer in (quantized, continuous):
        least = min(layer.drift[f].change for f in ("correlation", "mean_correlation"))
        most = layer.drift["raw_flips"].change
        assert least < -0.03 or most > 0.05
    assert "correlation" in quantized.kinds
    assert "correlation" not in continuous.kinds


def test_two_inputs(tmp_path):
    a, b = keras.Input((20,), name="a"), keras.Input((6, 6, 2), name="b")
    flat = keras.layers.Flatten()(b)
    joined = keras.layers.Concatenate()([keras.layers.Dense(8)(a), flat])
    model = randomized(keras.Model([a, b], keras.layers.Dense(5)(joined)))
    probe = probed(model, tmp_path / "p.tflite")
    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(300, 20)), "b": rng.normal(size=(300, 6, 6, 2))}
    reference = Reference.measure(probe, x)
    again = Reference.from_dict(reference.to_dict())
    changed = {"a": x["a"][:100], "b": x["b"][:100] + 4}
    drift = Drift.of(Observation.measure(probe, again, changed))
    kinds = {part.name: part.kinds for part in drift.inputs}
    assert kinds == {"a": (), "b": ("covariance",)}
    texts = [text for layer in drift.warnings.values() for text in layer]
    assert any("training covariance" in text for text in texts)
    same = Drift.of(Observation.measure(probe, again, [x["a"], x["b"]]))
    assert same.warnings == {}


def test_many_channels(tmp_path):
    width = 3 * MOST_CHANNELS + 1
    model = sequential((width,), QuantDense(3, **SIGNS))
    probe = probed(model, tmp_path / "p.tflite")
    x = samples(model, 256)
    reference = Reference.measure(probe, x)
    (layer,) = reference.layers.values()
    assert MOST_CHANNELS / 2 <= len(layer.channel_means) <= MOST_CHANNELS
    drift = Drift.of(Observation.measure(probe, reference, x + 2))
    assert "input_mean" in drift.layers[0].kinds
    assert Drift.of(Observation.measure(probe, reference, x)).warnings == {}

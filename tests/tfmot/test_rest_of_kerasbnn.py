"""Layers of 8 bits in all that kerasbnn does with a model."""

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn import Interpreter, models
from tests.helpers.eight_bit_networks import network
from tests.helpers.gradients import BACKEND

EIGHT = ("stem", "head")


@pytest.fixture(scope="module")
def trained():
    """A network after a few steps, with its data."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 16, 16, 1)).astype("float32")
    y = rng.integers(0, 5, 64)
    model = network((16, 16, 1), 5, has_eight_bits=True, filters=(8, 32, 33))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(x, y, epochs=1, verbose=0)
    return model, x, y


@pytest.fixture
def unchanged(trained):
    """Check that the weights are afterwards what they were."""
    model = trained[0]
    before = model.get_weights()
    yield
    for mine, other in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(mine, other)


def test_summary(trained, unchanged):
    found = models.summary(trained[0])
    rows = {row["name"]: row for row in found["layers"]}
    for name, weights in zip(EIGHT, (9 * 8, 2 * 2 * 33 * 5), strict=True):
        assert rows[name]["input_bits"] == 8
        assert rows[name]["weights"]["8"] == weights
        assert list(rows[name]["macs"]) == ["8x8"]


def test_audit(trained, unchanged):
    model, x, _ = trained
    report = kerasbnn.audit(model, x, verbose=0)
    for name in EIGHT:
        layer = report[name]
        assert layer.bits == 8
        assert layer.products.pooled > 0.999
        assert "keep_quantized" in [verdict.kind for verdict in layer.verdicts]


def test_swap(trained, unchanged):
    model, x, y = trained
    report = models.swap_test(model, x, y, layers=list(EIGHT), verbose=0)
    for row in report.rows:
        assert row.agreement > 0.9


def test_refit(trained, unchanged):
    model, x, _ = trained
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    models.refit_batchnorm(copy, 3 * x)
    for name in EIGHT:
        for mine, other in zip(
            copy.get_layer(name).weights, model.get_layer(name).weights, strict=True
        ):
            np.testing.assert_array_equal(mine.numpy(), other.numpy())


def test_quantized_scope(trained, unchanged):
    model = trained[0]
    expected = models.quantized_weights(model)["stem/kernel"]
    with models.quantized_scope(model):
        found = keras.ops.convert_to_numpy(model.get_layer("stem").kernel)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow converts")
def test_export_with_the_probe(trained, unchanged, tmp_path):
    model, x, _ = trained
    kerasbnn.export(model, tmp_path / "served", x, verbose=0)
    (path,) = (tmp_path / "served").rglob("model.tflite")
    with Interpreter(path) as interpreter:
        found = interpreter.predict(x)
    expected = model.predict(x, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow converts")
def test_benchmark(trained, unchanged):
    model, x, _ = trained
    report = kerasbnn.benchmark(model, x, seconds=0.2, verbose=0)
    assert report.to_dict()

"""The callback that logs the geometry of each epoch."""

import csv

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn import QuantDense
from kerasbnn.callbacks import GeometryLogger
from tests.helpers.gradients import array

FIGURES = ("angle", "correlation", "flip_ratio", "saturation")


def make_model(**first):
    binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    model = keras.Sequential(
        [
            keras.Input((12,)),
            QuantDense(8, **{**binary, **first}, name="first"),
            keras.layers.BatchNormalization(),
            QuantDense(3, input_quantizer="ste_sign", **binary, name="second"),
            keras.layers.Dense(2, name="head"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "mse")
    return model


@pytest.fixture
def data(rng):
    return rng.normal(size=(96, 12)).astype("float32"), rng.normal(size=(96, 2))


class Weights(keras.callbacks.Callback):
    """Keeps the latent weights of each epoch."""

    def on_epoch_end(self, epoch, logs=None):
        self.kept = getattr(self, "kept", [])
        self.kept.append([array(layer.kernel) for layer in self.model.layers[::2]])


def test_the_figures_are_those_of_the_weights(data):
    model, (x, y) = make_model(), data
    start = array(model.layers[0].kernel)
    logger, weights = GeometryLogger(x, every=1), Weights()
    history = model.fit(x, y, epochs=4, verbose=0, callbacks=[logger, weights]).history
    assert {f"{layer}/{f}" for layer in ("first", "second") for f in FIGURES} == {
        name for name in history if "/" in name
    }
    before = start
    for epoch, (kernel, *_) in enumerate(weights.kept):
        cosines = np.abs(kernel).mean(0) / np.sqrt(np.square(kernel).mean(0))
        angle = np.degrees(np.arccos(cosines)).mean()
        assert history["first/angle"][epoch] == pytest.approx(angle, abs=1e-4)
        flips = np.mean((kernel < 0) != (before < 0))
        assert history["first/flip_ratio"][epoch] == pytest.approx(flips)
        saturated = np.mean(np.abs(kernel) >= 1)
        assert history["first/saturation"][epoch] == pytest.approx(saturated)
        signs = np.where(kernel < 0, -1.0, 1.0)
        q, c = x[:32] @ signs, x[:32] @ kernel
        each = [np.corrcoef(q[:, f], c[:, f])[0, 1] for f in range(8)]
        assert history["first/correlation"][epoch] == pytest.approx(
            np.median(each), abs=1e-4
        )
        before = kernel
    assert max(history["first/flip_ratio"]) > 0
    np.testing.assert_array_equal(
        logger.start["first/kernel"], np.where(start < 0, -1, 1)
    )
    report = kerasbnn.audit(model, start=logger.start)
    changed = np.mean((array(model.layers[0].kernel) < 0) != (start < 0))
    assert report["first"].weights.flips_since_start == pytest.approx(changed)


def test_other_callbacks_see_the_figures(data, tmp_path):
    model, (x, y) = make_model(), data
    path = tmp_path / "log.csv"
    callbacks = [
        GeometryLogger(x, layers="second", every=1),
        keras.callbacks.CSVLogger(path),
    ]
    history = model.fit(x, y, epochs=2, verbose=0, callbacks=callbacks).history
    assert not any(name.startswith("first/") for name in history)
    with path.open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["second/angle"]) for row in rows] == history["second/angle"]


def test_without_data_there_is_no_correlation(data):
    model, (x, y) = make_model(), data
    history = model.fit(
        x, y, epochs=3, verbose=0, callbacks=[GeometryLogger(every=2)]
    ).history
    assert "first/correlation" not in history
    angles = history["first/angle"]
    assert angles[0] == angles[1] != angles[2]


def test_by_default_it_takes_little_of_the_time(data, monkeypatch):
    model, (x, y) = make_model(), data
    logger = GeometryLogger(x)
    clock = iter(range(1000))
    # Every reading of the clock is a second later: measuring takes as long as an epoch.
    monkeypatch.setattr("time.perf_counter", lambda: float(next(clock)))
    angles = model.fit(x, y, epochs=30, verbose=0, callbacks=[logger]).history[
        "first/angle"
    ]
    assert len(angles) == 30
    assert 1 < len(set(angles)) <= 3


def test_a_kernel_in_another_basis_has_no_flip_ratio(data):
    model = make_model(kernel_quantizer="rotated_sign", kernel_constraint=None)
    x, y = data
    history = model.fit(x, y, verbose=0, callbacks=[GeometryLogger(x)]).history
    assert "first/flip_ratio" not in history
    assert "second/flip_ratio" in history


def test_a_kernel_without_clip_value_has_no_saturation(data):
    model = make_model(kernel_quantizer="irnet_sign", kernel_constraint=None)
    x, y = data
    history = model.fit(x, y, verbose=0, callbacks=[GeometryLogger(x)]).history
    assert "first/saturation" not in history
    assert "second/saturation" in history


def test_a_filter_that_does_not_vary_is_nan(data):
    model, (x, y) = make_model(), data
    logger = GeometryLogger(np.ones((8, 12)))
    history = model.fit(x, y, verbose=0, callbacks=[logger]).history
    assert np.isnan(history["first/correlation"][0])


def test_what_cannot_be_logged_is_refused(data):
    x, y = data
    with pytest.raises(ValueError, match="`samples` must be at least 1"):
        GeometryLogger(samples=0)
    with pytest.raises(ValueError, match="no samples"):
        GeometryLogger(np.zeros((0, 12)))
    with pytest.raises(ValueError, match="Did you mean 'first'"):
        make_model().fit(x, y, verbose=0, callbacks=[GeometryLogger(layers="frst")])
    with pytest.raises(ValueError, match="no quantized kernel"):
        make_model().fit(x, y, verbose=0, callbacks=[GeometryLogger(layers="head")])

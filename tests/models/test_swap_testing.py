"""The swap test against numpy and on a trained network, and all comes back."""

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

from kerasbnn import QuantConv2D, QuantDense
from kerasbnn.models.swap_testing import binarization_cost, swap_test
from tests.helpers.gradients import array
from tests.helpers.swap_networks import BINARY, network


def sign(values):
    return np.where(values >= 0, 1.0, -1.0)


def forward(model, x, weights, activate, fit_from=None):
    """Outputs in float64; the statistics are those of `fit_from`, where given."""
    fit = None if fit_from is None else np.float64(fit_from)
    z = np.float64(x)
    for name, w in zip(("first", "second"), weights, strict=True):
        z = activate(z) @ w
        gamma, beta, mean, variance = map(
            array, model.get_layer(f"{name}_norm").variables
        )
        if fit is not None:
            fit = activate(fit) @ w
            mean, variance = fit.mean(axis=0), fit.var(axis=0)
            fit = gamma * (fit - mean) / np.sqrt(variance + 1e-3) + beta
        z = gamma * (z - mean) / np.sqrt(variance + 1e-3) + beta
    return z


def check_row(row, outputs, refitted, reference, y):
    for found, suffix in ((outputs, ""), (refitted, "_refit")):
        classes = found.argmax(axis=1)
        accuracy = np.mean(classes == y)
        agreement = np.mean(classes == reference.argmax(axis=1))
        assert getattr(row, f"accuracy{suffix}") == pytest.approx(accuracy, abs=1e-12)
        assert getattr(row, f"agreement{suffix}") == pytest.approx(agreement, abs=1e-12)
        correlation = np.corrcoef(found.ravel(), reference.ravel())[0, 1]
        np.testing.assert_allclose(
            getattr(row, f"correlation{suffix}"), correlation, rtol=1e-5
        )
    assert row.note is None


@pytest.mark.parametrize("direction", ["continuous", "binary"])
def test_equals_the_network_written_out_in_numpy(direction, rng):
    if direction == "continuous":
        model, activate = network(**BINARY), sign
    else:
        model, activate = network(layers.Dense, use_bias=False), lambda z: z
    x, fit_from = rng.normal(size=(301, 6)), rng.normal(size=(200, 6)) + 1
    y = rng.integers(0, 4, size=301)
    variables = [array(v) for v in model.variables]
    report = swap_test(model, x, y, refit_data=fit_from, verbose=0, batch_size=200)
    latent = [array(model.get_layer(name).kernel) for name in ("first", "second")]
    used, other = latent, list(map(sign, latent))
    if direction == "continuous":
        used, other = other, used

    def both(*weights):
        plain = forward(model, x, weights, activate)
        return plain, forward(model, x, weights, activate, fit_from)

    reference, refitted = both(*used)
    check_row(report.baseline, reference, refitted, reference, y)
    first, second = report.rows
    check_row(first, *both(other[0], used[1]), reference, y)
    check_row(second, *both(used[0], other[1]), reference, y)
    check_row(report.together, *both(*other), reference, y)
    assert (report.model, report.direction, report.samples) == ("net", direction, 301)
    assert [row.layer for row in report.rows] == ["first", "second"]
    assert {row.direction for row in report.rows} == {direction}
    assert report.baseline.direction is None
    assert report.refitted
    for before, after in zip(variables, model.variables, strict=True):
        np.testing.assert_array_equal(before, array(after))
    lost = report.accuracy_lost()
    assert list(lost) == ["first", "second"]
    expected = report.baseline.accuracy_refit - second.accuracy_refit
    assert lost["second"] == pytest.approx(expected)
    if direction == "binary":
        cost = binarization_cost(model, x, y, fit_from, verbose=0, batch_size=200)
        assert cost == lost


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    x = (data.images[..., None] / 8 - 1).astype("float32")
    return x[:1400], data.target[:1400], x[1400:], data.target[1400:]


@pytest.fixture(scope="module")
def trained(digits):
    """A small binary convolutional network with most digits right."""
    keras.utils.set_random_seed(0)
    norm = {"scale": False, "momentum": 0.9}
    hidden = [
        (QuantConv2D(16, 3, **{**BINARY, "input_quantizer": None}, name="conv_1"), 0),
        (QuantConv2D(32, 3, **BINARY, name="conv_2"), 1),
        (QuantDense(64, **BINARY, name="dense_1"), 2),
        (QuantDense(64, **BINARY, name="dense_2"), 3),
        (QuantDense(10, **BINARY, name="head"), 4),
    ]
    model = keras.Sequential([keras.Input((8, 8, 1))], name="digits")
    for layer, number in hidden:
        if number == 2:
            model.add(layers.Flatten())
        model.add(layer)
        model.add(layers.BatchNormalization(**norm, name=f"norm_{number}"))
    x, y, _, _ = digits
    targets = 2 * np.eye(10)[y] - 1
    model.compile(keras.optimizers.Adam(3e-3), "squared_hinge")
    model.fit(x, targets, epochs=15, batch_size=50, verbose=0)
    return model


def test_refitting_shows_that_middle_layers_lose_little(trained, digits):
    x_train, _, x, y = digits
    report = swap_test(trained, x, y, refit_data=x_train, batch_size=500, verbose=0)
    assert report.direction == "continuous"
    assert report.baseline.accuracy > 0.8
    assert report.baseline.agreement == 1
    assert report.baseline.correlation == pytest.approx(1)
    rows = {row.layer: row for row in report.rows}
    assert list(rows) == ["conv_1", "conv_2", "dense_1", "dense_2", "head"]
    for name in ("conv_2", "dense_1", "dense_2"):
        row = rows[name]
        assert row.accuracy_refit > row.accuracy - 0.02
        assert row.accuracy_refit > report.baseline.accuracy_refit - 0.1
        assert row.agreement_refit > 0.75
        assert row.correlation_refit > 0.8
    # Without it the middle layers seem to be lost.
    assert min(rows[name].accuracy for name in ("conv_2", "dense_1", "dense_2")) < 0.5
    assert report.together.accuracy_refit <= max(
        r.accuracy_refit for r in rows.values()
    )


class Failing(layers.Layer):
    """Raises at one of its calls."""

    def __init__(self, at, **kwargs):
        super().__init__(**kwargs)
        self.calls, self.at = 0, at

    def call(self, inputs):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        return inputs


def test_everything_comes_back_wherever_it_stops(rng):
    x = rng.normal(size=(20, 6))
    for at in range(1, 100):
        failing = Failing(10**6)
        model = network(**BINARY)
        model.add(failing)
        model.predict(x, verbose=0)
        before, outputs = model.get_weights(), array(model(x))
        function = model.predict_function
        failing.calls, failing.at = 0, at
        try:
            swap_test(model, x, verbose=0)
        except KeyboardInterrupt:
            pass
        else:
            break
        for kept, after in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(kept, after)
        assert model.predict_function is function
        np.testing.assert_array_equal(array(model(x)), outputs)
    # A look; a refit of four; the reference; and seven trials, as the baseline is the
    # reference.
    assert at == 1 + 4 + 1 + 7 + 1


def test_the_directions(rng):
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(6, name="float"),
            QuantDense(3, **BINARY, name="binary"),
        ]
    )
    x = rng.normal(size=(10, 5))

    def found(*arguments, **keywords):
        report = swap_test(model, x, None, *arguments, verbose=0, **keywords)
        return report.direction, [row.layer for row in report.rows]

    assert found() == ("continuous", ["binary"])
    assert found(["float"]) == ("binary", ["float"])
    assert found(direction="binary") == ("binary", ["float"])
    with pytest.raises(ValueError, match="binary are quantized, those of float are"):
        found(["binary", "float"])
    with pytest.raises(ValueError, match="mean 'continuous'"):
        found(direction="continous")
    ternary = swap_test(
        model, x, direction="binary", quantizer="ste_tern", verbose=0
    ).rows[0]
    assert (
        ternary.correlation
        != swap_test(model, x, direction="binary", verbose=0).rows[0].correlation
    )

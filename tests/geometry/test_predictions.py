"""Predicted correlations against tables, samples and sums written out."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry import LIMIT_ANGLE_DEGREES
from kerasbnn.geometry.dot_products import filter_correlations
from kerasbnn.geometry.predictions import (
    predicted_correlations,
    quadratic_correlations,
    quadratic_correlations_from_samples,
)

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("rho", "expected"),
    [
        (0.01, 0.131216385202754),
        (0.05, 0.2837987203456619),
        (0.1, 0.38610432112705273),
        (0.25, 0.5518897170071169),
        (0.5, 0.6833316961214808),
        (1, 0.7978845608028654),
        (2, 0.882025543449103),
        (5, 0.9473846894718466),
        (20, 0.9860284496551517),
        (100, 0.9971581783558422),
    ],
)
def test_predictions_are_as_tabulated(rho, expected):
    # Only the ratio counts: here the filter is of length 3, the mean variance 0.25.
    measured = predicted_correlations(LIMIT_ANGLE_DEGREES, rho * 9 * 0.25, 9, 0.25)
    assert measured == pytest.approx(expected, abs=1e-12)


@given(
    angle=st.floats(0.1, 89.9),
    logs=st.tuples(*[st.floats(-30, 30)] * 3),
)
def test_predictions_are_the_formula(angle, logs):
    variance, norm, element = (math.exp(log) for log in logs)
    rho = variance / norm / element
    expected = 1 / math.sqrt(1 + math.tan(math.radians(angle)) ** 2 / rho)
    assert predicted_correlations(angle, variance, norm, element) == pytest.approx(
        expected, rel=1e-9
    )


def test_ends_of_the_predictions():
    def one(*arguments):
        return float(predicted_correlations(*arguments))

    assert one(0, 2.0, 1.0, 1.0) == 1
    assert one(90, 2.0, 1.0, 1.0) == 0
    assert one(180, 2.0, 1.0, 1.0) == pytest.approx(-1)
    assert one(120, 1.0, 1.0, 1.0) == pytest.approx(-0.5)
    assert one(37, 0.0, 1.0, 1.0) == 0
    for nan in (
        (0, 0.0, 1.0, 1.0),
        (37, 1.0, 0.0, 1.0),
        (37, 0.0, 1.0, 0.0),
        (0, 1.0, 1.0, 0.0),
        (np.nan, 1.0, 1.0, 1.0),
        (37, np.inf, 1.0, 1.0),
        (37, 1.0, np.inf, 1.0),
        (37, 1.0, 1.0, np.inf),
    ):
        assert math.isnan(one(*nan))
    assert one(45, 1e300, 1e300, 1.0) == pytest.approx(math.sqrt(0.5))
    assert one(45, 1e-300, 1e-150, 1e-150) == pytest.approx(math.sqrt(0.5))


def test_bad_arguments_of_the_predictions():
    for angle in (-1, 181):
        with pytest.raises(ValueError, match="from 0 to 180"):
            predicted_correlations(angle, 1.0, 1.0, 1.0)
    for name, position in (
        ("projected_variance", 1),
        ("squared_norm", 2),
        ("mean_element_variance", 3),
    ):
        arguments = [37.0, 1.0, 1.0, 1.0]
        arguments[position] = -1.0
        with pytest.raises(ValueError, match=f"`{name}` must not be negative"):
            predicted_correlations(*arguments)
    with pytest.raises(ValueError, match=r"angle_degrees \(3,\).*squared_norm \(2,\)"):
        predicted_correlations(np.ones(3), 1.0, np.ones(2), 1.0)


def test_predictions_follow_measurements_of_filters_with_a_preferred_direction(rng):
    # Many directions of unequal variance, filters that look along the stronger ones.
    d = 400
    spread = np.linspace(2, 0.2, d)
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    x = (rng.normal(size=(20_000, d)) * spread) @ basis.T
    weights = basis @ (rng.normal(size=(d, 200)) * spread[:, np.newaxis] ** 2)
    signs = np.sign(weights)
    lengths = np.linalg.norm(weights, axis=0)
    cosines = np.sum(np.abs(weights), axis=0) / (math.sqrt(d) * lengths)
    predicted = predicted_correlations(
        np.degrees(np.arccos(cosines)),
        np.var(x @ weights, axis=0),
        lengths**2,
        np.mean(np.var(x, axis=0)),
    )
    measured = filter_correlations(x @ signs, x @ weights)
    assert np.median(measured) > 0.87
    assert np.median(predicted) == pytest.approx(np.median(measured), abs=0.01)


@given(d=st.integers(1, 12), filters=st.integers(1, 4), seed=SEEDS)
def test_quadratic_form_written_out(d, filters, seed):
    random = np.random.default_rng(seed)
    root = random.normal(size=(d, d + 2))
    covariance = root @ root.T
    weights = random.normal(size=(d, filters)) * random.lognormal(sigma=4)
    signs = np.where(weights < 0, -1, 1)
    measured = quadratic_correlations(weights, signs, 5 * covariance)
    for f in range(filters):
        w, s = weights[:, f].tolist(), signs[:, f].tolist()

        def form(u, v):
            return sum(
                u[i] * covariance[i, j] * v[j] for i in range(d) for j in range(d)
            )

        expected = form(w, s) / math.sqrt(form(w, w) * form(s, s))
        assert measured[f] == pytest.approx(expected, abs=1e-9)


@given(
    n=st.integers(2, 30), d=st.integers(1, 12), offset=st.floats(-50, 50), seed=SEEDS
)
def test_samples_give_what_their_covariance_gives(n, d, offset, seed):
    random = np.random.default_rng(seed)
    patches = random.normal(size=(n, d)) + offset
    weights = random.normal(size=(d, 3))
    signs = np.sign(weights)
    covariance = np.atleast_2d(np.cov(patches.T))
    measured = quadratic_correlations_from_samples(weights, signs, patches)
    np.testing.assert_allclose(
        measured, quadratic_correlations(weights, signs, covariance), atol=1e-7
    )
    np.testing.assert_allclose(
        measured, filter_correlations(patches @ signs, patches @ weights), atol=1e-7
    )


@pytest.mark.parametrize(
    ("spatial", "colour", "top", "pooled", "median"),
    [
        (0.95, 0.9, 0.867, 0.44, 0.54),
        (0.9, 0.8, 0.746, 0.56, 0.64),
        (0.99, 0.95, 0.953, 0.28, 0.36),
    ],
)
def test_first_layers_on_correlated_inputs_are_as_tabulated(
    spatial, colour, top, pooled, median, rng
):
    # Correlated as the pixels of images: by distance on a 3x3 grid, times by colour.
    places = np.stack(np.mgrid[:3, :3], axis=-1).reshape(9, 2)
    distance = np.linalg.norm(places[:, np.newaxis] - places, axis=-1)
    colours = np.full((3, 3), colour) + (1 - colour) * np.eye(3)
    covariance = np.kron(spatial**distance, colours)
    assert np.linalg.eigvalsh(covariance)[-1] / 27 == pytest.approx(top, abs=6e-4)
    weights = rng.normal(size=(27, 20_000))
    weights -= weights.mean(axis=0)
    signs = np.sign(weights)
    measured = quadratic_correlations(weights, signs, covariance)
    assert np.median(measured) == pytest.approx(median, abs=0.01)
    spread = [np.sum(a * (covariance @ a)) for a in (weights, signs)]
    joint = np.sum(weights * (covariance @ signs)) / math.sqrt(spread[0] * spread[1])
    assert joint == pytest.approx(pooled, abs=0.01)


def test_independent_inputs_leave_the_cosine(rng):
    weights = rng.normal(size=(27, 20_000))
    measured = quadratic_correlations(weights, np.sign(weights), np.eye(27))
    cosines = np.mean(np.abs(weights), axis=0) / np.sqrt(np.mean(weights**2, axis=0))
    np.testing.assert_allclose(measured, cosines)
    assert np.median(measured) == pytest.approx(0.808, abs=2e-3)


def test_what_does_not_vary_is_nan_without_a_warning(rng):
    # The inputs vary along (1, 1) only, up to rounding.
    patches = 0.1 + rng.normal(size=(20, 1)) * [0.3, 0.3] / 7
    weights = np.array([[1.0, 1.0, 0.0, np.nan, np.inf], [1.0, -1.0, 0.0, 1.0, 1.0]])
    signs = np.array([[1, 1, 1, 1, 1], [1, -1, 1, 1, 1]])
    for measured in (
        quadratic_correlations_from_samples(weights, signs, patches),
        quadratic_correlations(weights, signs, np.cov(patches.T)),
    ):
        assert measured[0] == pytest.approx(1)
        assert np.isnan(measured[1:]).all()
    assert np.isnan(
        quadratic_correlations_from_samples(weights, signs, patches[:1])
    ).all()
    constant = np.full((5, 2), 0.1)
    assert np.isnan(quadratic_correlations_from_samples(weights, signs, constant)).all()
    assert np.isnan(quadratic_correlations(weights, signs, np.zeros((2, 2)))).all()
    assert quadratic_correlations([[-2.0]], [[-1]], [[0.5]])[0] == 1


@given(d=st.integers(2, 40), seed=SEEDS)
def test_filters_in_the_null_space_of_a_covariance_are_nan(d, seed):
    random = np.random.default_rng(seed)
    basis = np.linalg.qr(random.normal(size=(d, d)))[0]
    covariance = (basis[:, 1:] * random.lognormal(size=d - 1)) @ basis[:, 1:].T
    # By rounding the form along the first direction may be small and of either sign.
    measured = quadratic_correlations(basis, np.sign(basis), covariance)
    assert np.isnan(measured).tolist() == [True] + [False] * (d - 1)
    patches = random.normal(size=(30, d - 1)) @ basis[:, 1:].T
    measured = quadratic_correlations_from_samples(basis, np.sign(basis), patches)
    assert np.isnan(measured).tolist() == [True] + [False] * (d - 1)


def test_bad_arrays_are_refused():
    weights, signs = np.ones((3, 2)), np.ones((3, 2))
    covariance, patches = np.eye(3), np.random.default_rng(0).normal(size=(9, 3))
    for function, third in (
        (quadratic_correlations, covariance),
        (quadratic_correlations_from_samples, patches),
    ):
        with pytest.raises(ValueError, match=r"\(3, 2\) and \(3, 1\)"):
            function(weights, signs[:, :1], third)
        with pytest.raises(ValueError, match=r"`continuous`.*\(3, filters\).*\(2, 3\)"):
            function(weights.T, signs.T, third)
        with pytest.raises(TypeError, match="must hold real numbers"):
            function(weights + 1j, signs, third)
        with pytest.raises(ValueError, match="must be finite"):
            function(weights, signs, np.where(third == third[1, 1], np.nan, third))
        with pytest.raises(ValueError, match="must have the shape"):
            function(weights, signs, third[0])
    with pytest.raises(ValueError, match=r"\(fan_in, fan_in\).*\(3, 2\)"):
        quadratic_correlations(weights, signs, covariance[:, :2])
    with pytest.raises(ValueError, match="must be symmetric"):
        quadratic_correlations(weights, signs, np.triu(np.ones((3, 3))))
    with pytest.raises(ValueError, match="variances from 0 on"):
        quadratic_correlations(weights, signs, np.diag([1.0, -1.0, 1.0]))
    bad = patches.copy()
    bad[[2, 5], 1] = np.inf
    with pytest.raises(ValueError, match="2 bad patches of 9"):
        quadratic_correlations_from_samples(weights, signs, bad)

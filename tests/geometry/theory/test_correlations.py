"""Correlations of dot products against tables, definitions and samples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry import angle_degrees, theory

# Relative variance along the weights, correlation.
TABLE = [
    (0.01, 0.131216385202754),
    (0.05, 0.2837987203456619),
    (0.1, 0.38610432112705273),
    (0.2, 0.5093838594933688),
    (0.25, 0.5518897170071169),
    (0.5, 0.6833316961214808),
    (1, 0.7978845608028654),
    (2, 0.882025543449103),
    (4, 0.9354790389493548),
    (5, 0.9473846894718466),
    (10, 0.9726266104974371),
    (20, 0.9860284496551517),
    (50, 0.9943404476702834),
    (100, 0.9971581783558422),
]


def test_table():
    rho, r = np.array(TABLE).T.reshape(2, 7, 2)
    np.testing.assert_allclose(theory.dot_product_correlation(rho), r, rtol=1e-13)


@given(st.floats(1e-6, 1e6), st.floats(0, 89.9))
def test_central_formula(rho, angle):
    expected = 1 / math.sqrt(1 + math.tan(math.radians(angle)) ** 2 / rho)
    assert theory.dot_product_correlation(rho, angle) == pytest.approx(expected)
    # Inputs without a preferred direction: the cosine itself.
    assert theory.dot_product_correlation(1.0, angle) == pytest.approx(
        math.cos(math.radians(angle))
    )


def test_ends_of_the_range_and_broadcasting():
    r = theory.dot_product_correlation([[0.0], [1.0], [math.inf]], [0.0, 60.0])
    np.testing.assert_allclose(r, [[1, 0], [1, 0.5], [1, 1]], atol=1e-15)
    assert theory.dot_product_correlation(2.0, 90.0) == pytest.approx(0, abs=1e-15)
    assert np.ndim(theory.dot_product_correlation(2.0)) == 0


def test_formula_holds_for_random_error_directions(rng):
    # A covariance of many directions, and a filter along those that vary more.
    d = 400
    eigenvalues = rng.uniform(0.2, 2, size=d)
    basis = np.linalg.qr(rng.normal(size=(d, d)))[0]
    covariance = (basis * eigenvalues) @ basis.T
    weights = basis @ (rng.normal(size=(d, 300)) * eigenvalues[:, None] ** 2)
    w = weights.T
    signs = np.where(w < 0, -1.0, 1.0)
    exact = theory.quadratic_form_correlation(w, signs, covariance)
    rho = np.sum((w @ covariance) * w, 1) / np.sum(w * w, 1) / (eigenvalues.mean())
    predicted = theory.dot_product_correlation(rho, angle_degrees(w, signs))
    assert rho.mean() > 1.3
    # The scatter of single filters is of the order of 1 / sqrt(d).
    assert np.median(predicted) == pytest.approx(np.median(exact), abs=0.01)
    assert np.std(predicted - exact) < 0.03


def test_quadratic_form_is_the_correlation_of_samples(rng):
    d, n = 6, 200_000
    mixing = rng.normal(size=(d, d))
    x = rng.normal(size=(n, d)) @ mixing.T
    w = rng.normal(size=(3, d))
    signs = np.where(w < 0, -1.0, 1.0)
    exact = theory.quadratic_form_correlation(w, signs, mixing @ mixing.T)
    for i in range(3):
        r = np.corrcoef(x @ w[i], x @ signs[i])[0, 1]
        assert r == pytest.approx(exact[i], abs=4 * (1 - r * r) / math.sqrt(n))
    # From the covariance of the same samples it is an identity.
    same = theory.quadratic_form_correlation(w[0], signs[0], np.cov(x.T))
    r = np.corrcoef(x @ w[0], x @ signs[0])[0, 1]
    assert same == pytest.approx(r, abs=1e-12)


def test_quadratic_form_of_isotropic_inputs_is_the_cosine(rng):
    w = rng.normal(size=(4, 1, 27))
    others = rng.normal(size=(5, 27))
    r = theory.quadratic_form_correlation(w, others, 3 * np.eye(27))
    assert r.shape == (4, 5)
    np.testing.assert_allclose(
        r, np.cos(np.radians(angle_degrees(w, others))), atol=1e-13
    )


def test_quadratic_form_where_nothing_varies():
    r = theory.quadratic_form_correlation(
        [[1.0, -1.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]], np.ones((2, 2))
    )
    assert np.isnan(r[0])
    assert r[1] == 1
    assert np.isnan(theory.quadratic_form_correlation([0, 0], [1, 1], np.eye(2)))


def test_both_operands(rng):
    assert theory.both_quantized_correlation() == pytest.approx(2 / math.pi)
    assert theory.both_quantized_correlation(0) == pytest.approx(theory.LIMIT_COSINE)
    assert theory.both_quantized_correlation(0, 0) == 1
    best = theory.ternary_angle_degrees(theory.optimal_ternary_threshold_sigmas())
    assert theory.both_quantized_correlation(best, best) == pytest.approx(
        0.8098, abs=5e-5
    )
    x, w = rng.normal(size=(20_000, 1000)), rng.normal(size=1000)
    signs = np.where(w < 0, -1, 1)
    both = np.corrcoef(x @ w, np.where(x < 0, -1, 1) @ signs)[0, 1]
    # One filter: its own angle, of a deviation of 0.64 degrees, and the samples.
    assert both == pytest.approx(2 / math.pi, abs=0.03)
    one = np.corrcoef(x @ signs, np.where(x < 0, -1, 1) @ signs)[0, 1]
    assert one == pytest.approx(theory.LIMIT_COSINE, abs=4 * 0.36 / math.sqrt(20_000))


def test_xnor_scale_is_a_slope(rng):
    w = 0.2 * rng.normal(size=(27, 5))
    scale = theory.xnor_scale(w, axis=0)
    np.testing.assert_allclose(scale, np.mean(np.abs(w), axis=0))
    x = rng.normal(size=(100_000, 27))
    continuous, binary = x @ w, x @ np.where(w < 0, -1, 1)
    slope = np.mean(continuous * binary, axis=0) / np.mean(binary**2, axis=0)
    np.testing.assert_allclose(slope, scale, atol=4 * 0.2 / math.sqrt(100_000))


def test_bad_arguments():
    for rho in (-0.1, math.nan):
        with pytest.raises(ValueError, match=r"`rho` must be in \[0, inf\]"):
            theory.dot_product_correlation([1.0, rho])
    with pytest.raises(ValueError, match=r"`angle_degrees` must be in \[0, 90\]"):
        theory.dot_product_correlation(1.0, 91.0)
    with pytest.raises(ValueError, match="`weight_angle_degrees`"):
        theory.both_quantized_correlation(-1)
    with pytest.raises(ValueError, match="`input_angle_degrees`"):
        theory.both_quantized_correlation(0, 100)
    form = theory.quadratic_form_correlation
    for covariance in (np.eye(3), np.ones((2, 3)), 1.0, np.zeros((0, 0))):
        with pytest.raises(ValueError, match="Received shapes"):
            form([1, 1], [1, 1], covariance)
    with pytest.raises(ValueError, match="must be symmetric"):
        form([1, 1], [1, 1], [[1, 0.5], [0, 1]])
    with pytest.raises(ValueError, match="negative eigenvalues"):
        form([1, -1], [1, 1], [[1, 2], [2, 1]])
    with pytest.raises(ValueError, match="`covariance` must be in"):
        form([1, 1], [1, 1], [[1, math.nan], [0, 1]])
    with pytest.raises(ValueError, match="no weights in shape"):
        theory.xnor_scale(np.zeros((3, 0)))
    with pytest.raises(ValueError, match="`weights`"):
        theory.xnor_scale([math.inf])

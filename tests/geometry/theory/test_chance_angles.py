"""The angle between random vectors against tables, integrals and samples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry import theory

# Dimensions; standard deviation in degrees; log10 of the probability of 37.07 degrees.
TABLE = [
    (3, 39.17, -1.00),
    (10, 19.06, -2.79),
    (27, 11.23, -6.74),
    (64, 7.22, -15.1),
    (100, 5.76, -23.1),
    (128, 5.08, -29.3),
    (256, 3.588, -57.6),
    (500, 2.565, -111.3),
    (576, 2.389, -128.1),
    (1000, 1.813, -221.4),
    (1152, 1.689, -254.8),
    (2304, 1.194, -508.2),
    (4608, 0.8441, -1014.8),
]


@pytest.mark.parametrize(("d", "deviation", "log_p"), TABLE)
def test_table(d, deviation, log_p):
    assert theory.chance_angle_standard_deviation_degrees(d) == pytest.approx(
        deviation, abs=0.5 * 10 ** -(4 if d == 4608 else 3 if d >= 256 else 2)
    )
    measured = theory.chance_angle_log10_probability(d, theory.LIMIT_ANGLE_DEGREES)
    assert measured == pytest.approx(log_p, abs=0.051 if d >= 64 else 0.0051)


def log10_integral(d, theta):
    """Integral of the density by panels that shrink towards its upper end."""
    theta = math.radians(theta)
    edges = np.append(theta * (1 - 0.5 ** np.arange(50)), theta)
    x, weights = np.polynomial.legendre.leggauss(40)
    half = np.diff(edges)[:, None] / 2
    points = edges[:-1, None] + half * (1 + x)
    logs = (d - 2) * np.log(np.sin(points)) + np.log(half * weights)
    # Gamma functions as logarithms, whose difference has few digits for large d.
    beta = math.lgamma((d - 1) / 2) + math.lgamma(0.5) - math.lgamma(d / 2)
    largest = logs.max()
    total = largest + math.log(np.sum(np.exp(logs - largest))) - beta
    return total / math.log(10)


@pytest.mark.parametrize("d", [2, 3, 4, 7, 27, 128, 1000, 4608, 100_000])
def test_probability_is_the_integral_of_the_density(d):
    angles = np.array([0.01, 0.5, 5, 20, 37.07, 59, 61, 75, 85, 88, 89.5, 89.99, 90])
    expected = [log10_integral(d, angle) for angle in angles]
    measured = theory.chance_angle_log10_probability(d, angles)
    np.testing.assert_allclose(measured, expected, rtol=2e-10)
    beyond = theory.chance_angle_log10_probability(d, 180 - angles)
    np.testing.assert_allclose(
        beyond, np.log1p(-(10 ** np.array(expected))) / math.log(10), rtol=2e-9
    )


def test_closed_forms_of_few_dimensions():
    angles = np.linspace(0.1, 179.9, 57).reshape(3, 19)
    p = 10 ** theory.chance_angle_log10_probability(2, angles)
    np.testing.assert_allclose(p, angles / 180, rtol=1e-12)
    p = 10 ** theory.chance_angle_log10_probability(3, angles)
    np.testing.assert_allclose(p, np.sin(np.radians(angles) / 2) ** 2, rtol=1e-12)
    p = 10 ** theory.chance_angle_log10_probability(1, [0, 1, 179.9, 180])
    np.testing.assert_allclose(p, [0.5, 0.5, 0.5, 1], rtol=1e-15)
    np.testing.assert_allclose(
        theory.chance_angle_density_per_degree(2, angles), 1 / 180, rtol=1e-13
    )
    assert theory.chance_angle_standard_deviation_degrees(1) == pytest.approx(90)
    assert theory.chance_angle_standard_deviation_degrees(2) == pytest.approx(
        180 / math.sqrt(12), rel=1e-14
    )


def test_ends_of_the_range():
    for d in (2, 3, 27, 4608):
        p = theory.chance_angle_log10_probability(d, [0, 90, 180])
        assert p[0] == -math.inf
        assert p[1] == pytest.approx(-math.log10(2), rel=1e-12)
        assert p[2] == 0
        assert not np.signbit(p[2])


@given(st.integers(2, 10**8), st.lists(st.floats(0.01, 179.99), min_size=2, max_size=9))
def test_probability_rises_with_the_angle(d, angles):
    log_p = theory.chance_angle_log10_probability(d, np.sort(angles))
    assert np.all(np.isfinite(log_p))
    assert np.all(log_p <= 0)
    assert np.all(np.diff(log_p) >= -1e-8 * np.abs(log_p[1:]))


@pytest.mark.parametrize("d", [10**4, 10**6, 10**8])
def test_many_dimensions_are_normal(d):
    for z in (0.01, 1.0, 1.9, 2.1, 5.0):
        angle = 90 - math.degrees(z / math.sqrt(d))
        expected = math.log10(math.erfc(z / math.sqrt(2)) / 2)
        # The correction is of the order of z^4 / d.
        assert theory.chance_angle_log10_probability(d, angle) == pytest.approx(
            expected, rel=1e-8 + (1 + z**4) / d
        )
    assert theory.chance_angle_log10_probability(10**8, 37.07) < -1e7


@pytest.mark.parametrize("d", [3, 10, 27, 1000])
def test_density_integrates_to_one_and_to_the_deviation(d):
    angles = np.linspace(0, 180, 100_001)
    step = angles[1]
    density = theory.chance_angle_density_per_degree(d, angles)
    assert density.sum() * step == pytest.approx(1, abs=1e-7)
    variance = np.sum(density * (angles - 90) ** 2) * step
    assert math.sqrt(variance) == pytest.approx(
        theory.chance_angle_standard_deviation_degrees(d), rel=1e-6
    )


@given(st.integers(1, 10**6))
def test_deviation_recursion(d):
    first, second = (
        math.radians(theory.chance_angle_standard_deviation_degrees(n)) ** 2
        for n in (d, d + 2)
    )
    assert first - second == pytest.approx(2 / d**2, abs=1e-14)


@pytest.mark.parametrize("d", [3, 10, 27])
def test_samples(d, rng):
    n = 100_000
    u, v = rng.normal(size=(2, n, d))
    cosines = np.sum(u * v, 1) / np.linalg.norm(u, axis=1) / np.linalg.norm(v, axis=1)
    angles = np.degrees(np.arccos(cosines))
    deviation = theory.chance_angle_standard_deviation_degrees(d)
    assert abs(np.mean(angles) - theory.CHANCE_ANGLE_DEGREES) < 4 * deviation / n**0.5
    assert np.std(angles) == pytest.approx(deviation, rel=4 / math.sqrt(2 * n))
    for sample in (cosines, np.mean(np.sign(u) * np.sign(v), axis=1)):
        assert np.mean(sample) == pytest.approx(0, abs=4 / math.sqrt(d * n))
        assert np.std(sample) == pytest.approx(
            theory.chance_cosine_standard_deviation(d), rel=4 / math.sqrt(2 * n)
        )
    for angle in (60.0, 90.0, 100.0):
        p = float(10 ** theory.chance_angle_log10_probability(d, angle))
        error = math.sqrt(p * (1 - p) / n)
        assert abs(np.mean(angles <= angle) - p) < 4 * error


def test_bad_arguments():
    for function in (
        theory.chance_angle_standard_deviation_degrees,
        theory.chance_cosine_standard_deviation,
        lambda d: theory.chance_angle_log10_probability(d, 37.0),
    ):
        with pytest.raises(ValueError, match="from 1 on. Received: 0"):
            function(0)
        with pytest.raises(TypeError):
            function(2.5)
    with pytest.raises(ValueError, match="from 2 on. Received: 1"):
        theory.chance_angle_density_per_degree(1, 90.0)
    for angle in (-1.0, 180.5, math.nan):
        with pytest.raises(ValueError, match=r"`angle_degrees` must be in \[0, 180\]"):
            theory.chance_angle_log10_probability(3, angle)
        with pytest.raises(ValueError, match=r"`angle_degrees` must be in \[0, 180\]"):
            theory.chance_angle_density_per_degree(3, [90.0, angle])

"""The closed forms against tabulated values and against samples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn import geometry
from kerasbnn.geometry import theory

# Dimensions; mean and standard deviation of the cosine (exact); mean and standard
# deviation of the angle in degrees (from 4e4 to 4e6 samples). Computed apart from this
# code, by numerical integration and by sampling.
TABLE = [
    (1, 1.0, 0.0, 0.0, 0.0),
    (2, 0.9003163161571062, 0.08797963994634458, 22.5035, 12.9884),
    (3, 0.8660254037844386, 0.08801428811119857, 28.1243, 10.9073),
    (4, 0.8488263631567752, 0.08341843013224608, 30.6094, 9.5222),
    (5, 0.8385254915624212, 0.07855455361762957, 32.0114, 8.5591),
    (8, 0.8231463462007828, 0.06687595650108362, 33.9969, 6.8615),
    (9, 0.8203125, 0.06389644402764422, 34.3531, 6.4875),
    (10, 0.8180494157935668, 0.06126131283793415, 34.6385, 6.17),
    (16, 0.8104412082727632, 0.05016058739679227, 35.5637, 4.9333),
    (27, 0.8053049875438608, 0.03952437670491863, 36.1841, 3.8299),
    (32, 0.8041414256481518, 0.03649619209797565, 36.3238, 3.5232),
    (64, 0.801007265399208, 0.026171534193103377, 36.701, 2.5074),
    (100, 0.7998817343488253, 0.021042473690631, 36.834, 2.0079),
    (128, 0.7994444360386121, 0.0186352913276143, 36.887, 1.7784),
    (256, 0.7986641235456123, 0.013222864398055905, 36.9768, 1.2598),
    (288, 0.7985774682336895, 0.012471427286140426, 36.99, 1.1881),
    (500, 0.7982836025693779, 0.0094774834055127, 37.0252, 0.9025),
    (576, 0.7982309398554724, 0.00883218408895777, 37.0312, 0.8417),
    (1000, 0.7980840568461591, 0.006707518407758982, 37.0473, 0.6377),
    (1152, 0.7980577316023816, 0.006250089808782912, 37.0513, 0.5936),
    (2304, 0.7979711415129214, 0.004421175503666883, 37.0608, 0.4212),
    (4608, 0.7979278499854358, 0.003126842104288779, 37.0658, 0.2976),
    (8192, 0.7979089106760375, 0.0023453292527764514, 37.07, 0.223),
]


@pytest.mark.parametrize(("d", "mean", "deviation"), [row[:3] for row in TABLE])
def test_moments_of_the_cosine_are_exact(d, mean, deviation):
    assert geometry.expected_cosine(d) == pytest.approx(mean, rel=1e-11)
    # The tabulated deviation is itself a difference of close numbers.
    assert geometry.cosine_standard_deviation(d) == pytest.approx(deviation, abs=2e-9)


@pytest.mark.parametrize(("d", "mean", "deviation"), [(r[0], *r[3:]) for r in TABLE])
def test_moments_of_the_angle_are_as_close_as_documented(d, mean, deviation):
    error = {1: 0.0, 2: 0.9, 3: 0.35, 4: 0.2, 5: 0.1, 8: 0.04, 9: 0.03, 10: 0.02}
    relative = {1: 0.0, 2: 0.11, 3: 0.08, 4: 0.055, 5: 0.04, 8: 0.017, 9: 0.015}
    # 0.003 degrees and 0.2 % on top for the sampling of the table.
    assert abs(geometry.expected_angle_degrees(d) - mean) <= error.get(d, 0.005) + 0.003
    assert geometry.angle_standard_deviation_degrees(d) == pytest.approx(
        deviation, rel=(0.012 if d < 27 else 0.003) if d > 9 else relative[d] + 0.002
    )


def test_limits():
    assert pytest.approx(37.071435021042824, abs=1e-12) == geometry.LIMIT_ANGLE_DEGREES
    assert pytest.approx(math.sqrt(2 / math.pi)) == geometry.LIMIT_COSINE
    d = 10**9
    assert geometry.expected_cosine(d) == pytest.approx(geometry.LIMIT_COSINE, abs=1e-9)
    # The asymptotic forms; differences of Gamma functions would give noise here.
    assert geometry.cosine_standard_deviation(d) * math.sqrt(d) == pytest.approx(
        math.sqrt(1 - 3 / math.pi), rel=1e-6
    )
    assert geometry.angle_standard_deviation_degrees(d) * math.sqrt(d) == pytest.approx(
        20.178, abs=1e-3
    )
    # At a million dimensions 23.66 / d is still well above rounding.
    shortfall = geometry.LIMIT_ANGLE_DEGREES - geometry.expected_angle_degrees(10**6)
    assert shortfall * 10**6 == pytest.approx(23.662, abs=2e-3)


@pytest.mark.parametrize("d", [100, 127, 128, 129, 200, 300])
def test_gamma_functions_and_series_meet(d):
    ratio = math.exp(math.lgamma(d / 2) - math.lgamma((d + 1) / 2))
    assert geometry.expected_cosine(d) == pytest.approx(
        math.sqrt(d / math.pi) * ratio, rel=1e-13
    )


@pytest.mark.parametrize("d", [2, 5, 27, 129])
def test_samples_agree(d):
    samples = np.random.default_rng(d).normal(size=(40_000, d))
    cosines = np.mean(np.abs(samples), axis=1) / np.sqrt(np.mean(samples**2, axis=1))
    error = np.std(cosines) / math.sqrt(len(cosines))
    assert abs(np.mean(cosines) - geometry.expected_cosine(d)) < 4 * error
    assert np.std(cosines) == pytest.approx(
        geometry.cosine_standard_deviation(d), rel=0.02
    )


@pytest.mark.parametrize("d", [row[0] for row in TABLE if row[0] >= 8])
def test_asymptotic_forms(d):
    shape = theory.component_shape("gaussian")
    mean = shape.limit_angle_degrees + shape.angle_shift_degrees / d
    deviation = shape.angle_deviation_degrees / math.sqrt(d)
    tabulated = {row[0]: row[3:] for row in TABLE}[d]
    # As close as the specification says, and 0.003 degrees for its sampling.
    assert abs(mean - tabulated[0]) < (0.02 if d >= 27 else 0.13) + 0.003
    assert deviation == pytest.approx(tabulated[1], rel=0.016 if d >= 27 else 0.042)


# Filters of a layer and three standard errors of the mean of their angles, in degrees.
@pytest.mark.parametrize(
    ("d", "filters", "tolerance"),
    [(27, 128, 1.03), (1152, 128, 0.158), (2304, 256, 0.079), (4608, 512, 0.039)],
)
def test_mean_over_the_filters_of_a_layer(d, filters, tolerance):
    deviation = geometry.angle_standard_deviation_degrees(d)
    assert 3 * deviation / math.sqrt(filters) == pytest.approx(tolerance, rel=0.02)


@given(st.integers(1, 10**7))
def test_moments_of_the_cosine_fit_each_other(d):
    mean, square = theory.expected_cosine(d), theory.expected_squared_cosine(d)
    assert theory.cosine_variance(d) == pytest.approx(square - mean**2, abs=1e-14)
    assert theory.cosine_standard_deviation(d) == math.sqrt(theory.cosine_variance(d))
    assert 2 / math.pi < square <= 1 + 1e-15


NAMES = ["gaussian", "uniform", "truncated_normal", "laplace", "triangular", "arcsine"]


@given(st.integers(1, 10**6), st.sampled_from(NAMES))
def test_angles_of_any_shape_rise_to_their_limit(d, name):
    shape = theory.component_shape(name)
    angle = theory.expected_angle_degrees(d, name)
    assert 0 <= angle < shape.limit_angle_degrees
    assert angle < theory.expected_angle_degrees(2 * d, name)
    assert theory.expected_cosine(d, name) > shape.limit_cosine
    assert theory.angle_standard_deviation_degrees(d, name) >= 0


@pytest.mark.parametrize(
    "function",
    [
        theory.expected_cosine,
        theory.cosine_variance,
        theory.cosine_standard_deviation,
        theory.expected_angle_degrees,
        theory.angle_standard_deviation_degrees,
    ],
)
def test_the_gaussian_is_the_default_and_has_the_integral_of_the_others(function):
    # Points of its own, so that the integral and not the closed form is computed.
    gaussian = theory.component_shape("gaussian")
    copy = theory.ComponentShape(gaussian.magnitudes, gaussian.probabilities)
    # Two dimensions reach into the last point before 0, a million have an expansion.
    tolerances = {2: 1e-6, 3: 1e-8, 999_999: 1e-7, 10**6: 2e-6}
    for d in (1, 2, 3, 7, 27, 1000, 4608, 99_999, 999_999, 10**6):
        assert function(d, "gaussian") == function(d) == function(d, gaussian)
        assert function(d, copy) == pytest.approx(
            function(d), rel=tolerances.get(d, 1e-9)
        )
    assert theory.expected_cosine(27, copy) == pytest.approx(
        theory.expected_cosine(27), rel=1e-13
    )


@pytest.mark.parametrize("d", [8, 27, 288])
@pytest.mark.parametrize("name", NAMES)
def test_samples_of_other_shapes_agree(d, name, rng):
    n = 40_000 if d < 100 else 10_000
    draw = {
        "gaussian": lambda: rng.normal(size=(n, d)),
        "uniform": lambda: rng.uniform(-1, 1, size=(n, d)),
        "truncated_normal": lambda: truncated_normal(rng, (n, d)),
        "laplace": lambda: rng.laplace(size=(n, d)),
        "triangular": lambda: rng.triangular(-1, 0, 1, size=(n, d)),
        "arcsine": lambda: np.cos(rng.uniform(0, 2 * math.pi, size=(n, d))),
    }
    samples = np.abs(draw[name]())
    cosines = np.mean(samples, axis=1) / np.sqrt(np.mean(samples**2, axis=1))
    angles = np.degrees(np.arccos(cosines))
    # Exact moments: four standard errors, of which that of a deviation is one part in
    # the square root of twice the number of samples (and more for its long tails).
    assert abs(np.mean(cosines) - theory.expected_cosine(d, name)) < 4 * np.std(
        cosines
    ) / math.sqrt(n)
    assert np.std(cosines) == pytest.approx(
        theory.cosine_standard_deviation(d, name), rel=5 / math.sqrt(2 * n)
    )
    # The angle as close as documented.
    error = abs(np.mean(angles) - theory.expected_angle_degrees(d, name))
    allowed = {8: 0.07, 27: 0.01}.get(d, 0.0)
    assert error < allowed + 4 * np.std(angles) / math.sqrt(n)
    assert np.std(angles) == pytest.approx(
        theory.angle_standard_deviation_degrees(d, name),
        rel={8: 0.035, 27: 0.01}.get(d, 0.0) + 5 / math.sqrt(2 * n),
    )


def test_a_heavy_tail_is_exact_where_its_expansion_is_not(rng):
    # Student's distribution of five degrees of freedom: kurtosis 9.
    law = theory.sample_shape(rng.standard_t(5, size=400_000))
    n, d = 100_000, 27
    samples = np.abs(rng.standard_t(5, size=(n, d)))
    cosines = np.mean(samples, axis=1) / np.sqrt(np.mean(samples**2, axis=1))
    angles = np.degrees(np.arccos(cosines))
    assert abs(np.mean(angles) - theory.expected_angle_degrees(d, law)) < 0.06
    assert theory.angle_standard_deviation_degrees(d, law) == pytest.approx(
        np.std(angles), rel=0.04
    )
    first_order = law.limit_angle_degrees + law.angle_shift_degrees / d
    assert np.mean(angles) - first_order > 1


def test_vectors_of_zeros_are_left_out(rng):
    law = theory.ComponentShape([0, 1], [0.7, 0.3])
    samples = (rng.random((400_000, 3)) < 0.3).astype(float)
    cosines = np.mean(samples, axis=1) / np.sqrt(
        np.mean(samples**2, axis=1), where=samples.any(1), out=np.full(400_000, np.nan)
    )
    assert np.nanmean(cosines) == pytest.approx(
        theory.expected_cosine(3, law), abs=4 * np.nanstd(cosines) / math.sqrt(260_000)
    )
    assert np.nanvar(cosines) == pytest.approx(theory.cosine_variance(3, law), rel=0.01)


@pytest.mark.parametrize("d", [2, 27, 10**6, 10**7])
def test_magnitudes_that_are_nearly_alike(d):
    two_points = theory.ComponentShape([1.0], [1.0])
    assert theory.expected_angle_degrees(d, two_points) == pytest.approx(0, abs=1e-6)
    assert theory.expected_angle_degrees(d, "two_point") == 0
    assert theory.angle_standard_deviation_degrees(d, "two_point") == 0
    # Magnitudes 1 - e and 1 + e: the angle is e sqrt(share of both signs of e).
    for e in (1e-3, 1e-5, 1e-9):
        shape = theory.ComponentShape([1 - e, 1 + e], [0.5, 0.5])
        assert shape.limit_angle_degrees == pytest.approx(math.degrees(e), rel=1e-6)
        angle = theory.expected_angle_degrees(d, shape)
        if d > 2:
            assert angle == pytest.approx(math.degrees(e), rel=0.03)
        assert 0 <= angle <= math.degrees(e) * 1.01


def truncated_normal(rng, size):
    samples = rng.normal(size=size)
    while (outside := np.abs(samples) > 2).any():
        samples[outside] = rng.normal(size=outside.sum())
    return samples


@pytest.mark.parametrize(
    "function",
    [
        theory.expected_squared_cosine,
        theory.cosine_variance,
        geometry.expected_cosine,
        geometry.cosine_standard_deviation,
        geometry.expected_angle_degrees,
        geometry.angle_standard_deviation_degrees,
    ],
)
def test_bad_dimensions(function):
    for dimensions in (0, -3):
        with pytest.raises(ValueError, match=f"from 1 on. Received: {dimensions}"):
            function(dimensions)
    with pytest.raises(TypeError):
        function(2.5)
    assert function(np.int64(27)) == function(27)

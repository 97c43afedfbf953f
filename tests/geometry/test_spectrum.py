"""Spectra against numpy's covariance, and ratios against what is known of samples."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry.spectrum import covariance_spectrum, variance_along

SEEDS = st.integers(0, 2**32 - 1)


def written_out(patches):
    """Eigenvalues, descending, of the covariance that numpy makes."""
    return np.linalg.eigvalsh(np.atleast_2d(np.cov(patches.T)))[::-1]


@given(
    n=st.integers(2, 25), d=st.integers(1, 25), offset=st.floats(-100, 100), seed=SEEDS
)
def test_eigenvalues_are_those_of_the_covariance(n, d, offset, seed):
    random = np.random.default_rng(seed)
    patches = random.normal(size=(n, d)) * random.lognormal(size=d) + offset
    spectrum = covariance_spectrum(patches)
    expected = written_out(patches)
    assert spectrum.eigenvalues.shape == (min(n - 1, d),)
    np.testing.assert_allclose(
        spectrum.eigenvalues, expected[: n - 1], atol=1e-9 * expected[0]
    )
    # The others are zero.
    np.testing.assert_allclose(expected[n - 1 :], 0, atol=1e-9 * expected[0])
    assert spectrum.total_variance == pytest.approx(np.var(patches, 0, ddof=1).sum())
    assert np.all(np.diff(spectrum.eigenvalues) <= 0)
    assert np.all(spectrum.eigenvalues >= 0)
    fractions = expected[: n - 1] / expected.sum()
    np.testing.assert_allclose(spectrum.fractions, fractions, atol=1e-9)
    for k in (1, 2, 30):
        assert spectrum.top_fraction(k) == pytest.approx(fractions[:k].sum())
    ratio = expected.sum() ** 2 / np.sum(expected**2)
    assert spectrum.participation_ratio == pytest.approx(ratio)
    assert (spectrum.samples, spectrum.fan_in) == (n, d)


def of_different_samples(patches):
    """Estimate `(tr C)^2` and `tr C^2` from all choices of four different samples."""
    products, squares = [], []
    for a, b, c, e in itertools.permutations(patches, 4):
        first, second = a - b, c - e
        products.append((first @ first) * (second @ second) / 4)
        squares.append((first @ second) ** 2 / 4)
    return np.mean(products), np.mean(squares)


@given(n=st.integers(4, 7), d=st.integers(2, 9), seed=SEEDS)
def test_the_corrected_ratio_is_that_of_different_samples(n, d, seed):
    random = np.random.default_rng(seed)
    patches = random.exponential(size=(n, d)) * random.lognormal(size=d)
    product, square = of_different_samples(patches)
    expected = min(product / square, d)
    assert covariance_spectrum(patches).corrected_participation_ratio == pytest.approx(
        expected, rel=1e-6
    )


def test_the_sums_over_different_samples_have_no_bias():
    # All samples of size 4 that three points can give, with their probabilities.
    points = np.array([[0.0, 1.0], [2.0, -1.0], [5.0, 0.5]])
    chances = np.array([0.2, 0.5, 0.3])
    centred = points - chances @ points
    covariance = (centred.T * chances) @ centred
    product, square = 0.0, 0.0
    for sample in itertools.product(range(3), repeat=4):
        chance = np.prod(chances[list(sample)])
        estimates = of_different_samples(points[list(sample)])
        product += chance * estimates[0]
        square += chance * estimates[1]
    assert product == pytest.approx(np.trace(covariance) ** 2)
    assert square == pytest.approx(np.trace(covariance @ covariance))


@pytest.mark.parametrize(("n", "d"), [(50, 200), (100, 100), (400, 100)])
@pytest.mark.parametrize("law", ["normal", "signs", "exponential"])
def test_samples_of_independent_elements(n, d, law, rng):
    shape = (n, d)
    patches = {
        "normal": lambda: rng.normal(size=shape),
        "signs": lambda: rng.choice([-1, 1], size=shape),
        "exponential": lambda: rng.exponential(size=shape),
    }[law]()
    spectrum = covariance_spectrum(patches)
    # For laws with heavy tails the plain ratio is a little lower still.
    assert spectrum.participation_ratio == pytest.approx(n * d / (n + d), rel=0.06)
    assert spectrum.corrected_participation_ratio == pytest.approx(d, rel=0.04)


def test_the_correction_holds_for_unequal_variances(rng):
    # Standard deviations falling as exp(-i / 10): about ten directions of 300.
    deviations = np.exp(-0.1 * np.arange(300))
    truth = np.sum(deviations**2) ** 2 / np.sum(deviations**4)
    spectra = [
        covariance_spectrum(rng.normal(size=(20, 300)) * deviations) for _ in range(200)
    ]
    assert np.mean([s.participation_ratio for s in spectra]) < 0.8 * truth
    corrected = [s.corrected_participation_ratio for s in spectra]
    # A ratio of two estimates has a bias of its own, of second order.
    assert np.median(corrected) == pytest.approx(truth, rel=0.08)


def test_a_spectrum_of_pixels_is_as_tabulated(rng):
    places = np.stack(np.mgrid[:3, :3], axis=-1).reshape(9, 2)
    distance = np.linalg.norm(places[:, np.newaxis] - places, axis=-1)
    covariance = np.kron(0.95**distance, np.full((3, 3), 0.9) + 0.1 * np.eye(3))
    patches = rng.multivariate_normal(np.zeros(27), covariance, size=20_000)
    spectrum = covariance_spectrum(patches)
    assert spectrum.top_fraction(1) == pytest.approx(0.867, abs=0.005)
    ratio = 27**2 / np.sum(covariance**2)
    assert spectrum.corrected_participation_ratio == pytest.approx(ratio, rel=0.01)


@pytest.mark.parametrize(("n", "d"), [(4, 4), (5, 5), (6, 9)])
def test_orthogonal_samples_look_isotropic(n, d):
    # All differences of two pairs are orthogonal, so that `tr C^2` is estimated as 0.
    patches = np.eye(n, d)
    assert of_different_samples(patches)[1] == 0.0
    assert covariance_spectrum(patches).corrected_participation_ratio == d


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_ratios_of_inputs_of_any_magnitude(scale, rng):
    patches = rng.normal(size=(12, 20))
    expected, scaled = (
        covariance_spectrum(patches),
        covariance_spectrum(scale * patches),
    )
    assert scaled.participation_ratio == pytest.approx(expected.participation_ratio)
    assert scaled.corrected_participation_ratio == pytest.approx(
        expected.corrected_participation_ratio
    )
    weights = rng.normal(size=(20, 3))
    np.testing.assert_allclose(
        variance_along(weights, scale * patches), variance_along(weights, patches)
    )


@given(n=st.integers(2, 20), d=st.integers(1, 12), seed=SEEDS)
def test_variance_along_written_out(n, d, seed):
    random = np.random.default_rng(seed)
    patches = random.normal(size=(n, d)) * random.lognormal(size=d) + 3
    weights = random.normal(size=(d, 3)) * [1e-200, 1.0, 1e100]
    measured = variance_along(weights, patches)
    for f in range(3):
        unit = weights[:, f] / np.max(np.abs(weights[:, f]))
        along = np.var(patches @ unit) / np.sum(unit**2)
        assert measured[f] == pytest.approx(along / np.mean(np.var(patches, axis=0)))
    assert np.all(measured <= d * (1 + 1e-12))


def test_principal_directions_bound_the_variance_along_filters(rng):
    patches = rng.normal(size=(500, 6)) * [5, 3, 2, 1, 1, 0.1]
    values, vectors = np.linalg.eigh(np.cov(patches.T))
    np.testing.assert_allclose(
        variance_along(vectors, patches), values / np.mean(values), atol=1e-9
    )


def test_what_does_not_vary_is_nan_without_a_warning():
    one = covariance_spectrum([[1.0, 2.0, 3.0]])
    assert one.eigenvalues.shape == one.fractions.shape == (0,)
    assert math.isnan(one.total_variance)
    assert math.isnan(one.participation_ratio)
    assert math.isnan(one.corrected_participation_ratio)
    assert math.isnan(one.top_fraction(1))
    # The means of seven equal numbers differ from them by rounding, 0 has no scale.
    for value in ([0.1, 0.3, 0.7], [0.0, 0.0, 0.0]):
        patches = np.tile(value, (7, 1))
        constant = covariance_spectrum(patches)
        assert constant.eigenvalues.tolist() == [0.0, 0.0, 0.0]
        assert constant.total_variance == 0.0
        assert np.isnan(constant.fractions).all()
        assert math.isnan(constant.participation_ratio)
        assert math.isnan(constant.corrected_participation_ratio)
        assert math.isnan(constant.top_fraction(2))
        assert np.isnan(variance_along(np.ones((3, 2)), patches)).all()
    few = covariance_spectrum([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    assert few.participation_ratio > 1
    assert math.isnan(few.corrected_participation_ratio)
    single = covariance_spectrum([[1.0], [2.0], [4.0], [3.0]])
    assert single.participation_ratio == pytest.approx(1)
    assert single.corrected_participation_ratio == pytest.approx(1)
    assert single.fractions.tolist() == [1.0]
    assert np.isnan(variance_along(np.ones((3, 2)), [[1.0, 2.0, 3.0]])).all()
    weights = np.array([[1.0, 0.0, np.nan, np.inf], [1.0, 0.0, 1.0, 1.0]])
    measured = variance_along(weights, [[1.0, 1.0], [2.0, 2.0], [0.0, 0.0]])
    assert measured[0] == pytest.approx(2)
    assert np.isnan(measured[1:]).all()


def test_bad_arrays_are_refused():
    patches = np.random.default_rng(0).normal(size=(5, 3))
    for bad, error, message in (
        (patches[0], ValueError, r"\(samples, fan_in\). Received: shape \(3,\)"),
        (patches[:0], ValueError, r"`patches` must not be empty.*\(0, 3\)"),
        (patches + 1j, TypeError, "`patches` must hold real numbers.*complex128"),
        (patches > 0, TypeError, r"Write bits as -1 and \+1"),
        (np.where(patches == patches[2, 1], np.nan, patches), ValueError, "1 bad"),
    ):
        with pytest.raises(error, match=message):
            covariance_spectrum(bad)
        with pytest.raises(error, match=message):
            variance_along(np.ones((3, 2)), bad)
    with pytest.raises(ValueError, match=r"`weights`.*\(3, filters\).*\(2, 3\)"):
        variance_along(np.ones((2, 3)), patches)
    with pytest.raises(ValueError, match="from 1 on. Received: 0"):
        covariance_spectrum(patches).top_fraction(0)
    with pytest.raises(TypeError):
        covariance_spectrum(patches).top_fraction(1.5)

"""Correlations and sign flips of products against numpy's own and known laws."""

import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry.dot_products import (
    batchnorm_thresholds,
    filter_correlations,
    filter_sign_flips,
    permuted,
    pooled_correlation,
    sign_flips,
)

SEEDS = st.integers(0, 2**32 - 1)


@given(
    shape=st.sampled_from([(2, 1), (5, 3), (2, 3, 4, 5), (40, 2)]),
    offset=st.floats(-100, 100),
    seed=SEEDS,
)
def test_correlations_are_those_of_numpy(shape, offset, seed):
    random = np.random.default_rng(seed)
    binary = random.normal(size=shape) + offset
    continuous = 0.3 * binary + random.normal(size=shape)
    pooled = pooled_correlation(binary, continuous)
    assert pooled.correlation == pytest.approx(
        np.corrcoef(binary.ravel(), continuous.ravel())[0, 1], abs=1e-9
    )
    slope, intercept = np.polyfit(binary.ravel(), continuous.ravel(), 1)
    # numpy solves an ill-conditioned system where the offset is large.
    assert pooled.slope == pytest.approx(slope, rel=1e-6, abs=1e-6)
    assert pooled.intercept == pytest.approx(intercept, rel=1e-5, abs=1e-4)
    assert pooled.count == binary.size
    filters = filter_correlations(binary, continuous)
    assert filters.shape == shape[-1:]
    for f, measured in enumerate(filters):
        expected = np.corrcoef(binary[..., f].ravel(), continuous[..., f].ravel())[0, 1]
        assert measured == pytest.approx(expected, abs=1e-9)


@given(scale=st.sampled_from([-3e-200, 1e-12, 1.0, -7e180]), seed=SEEDS)
def test_scale_and_offset_of_products_do_not_matter(scale, seed):
    binary, continuous = np.random.default_rng(seed).normal(size=(2, 30, 4))
    expected = filter_correlations(binary, continuous)
    scaled = filter_correlations(scale * (binary + 2), continuous)
    np.testing.assert_allclose(scaled, np.sign(scale) * expected, atol=1e-9)
    regression = pooled_correlation(scale * binary, continuous)
    reference = pooled_correlation(binary, continuous)
    assert regression.slope * scale == pytest.approx(reference.slope)
    assert regression.intercept == pytest.approx(reference.intercept)


def test_the_slope_is_the_mean_magnitude_for_inputs_without_direction(rng):
    weights = 0.2 * rng.normal(size=(500, 1))
    x = rng.normal(size=(40_000, 500))
    regression = pooled_correlation(x @ np.sign(weights), x @ weights)
    assert regression.slope == pytest.approx(np.mean(np.abs(weights)), rel=0.02)
    rms = np.sqrt(np.mean(weights**2))
    assert regression.correlation == pytest.approx(
        np.mean(np.abs(weights)) / rms, abs=0.01
    )


def test_random_filters_pool_to_the_limit_cosine_for_inputs_of_any_law(rng):
    # Inputs that are sparse, of one sign and of very unequal variances.
    x = np.maximum(rng.normal(size=(300, 200)) - 1, 0) * rng.lognormal(size=200)
    weights = rng.normal(size=(200, 4000))
    regression = pooled_correlation(x @ np.sign(weights), x @ weights)
    assert regression.correlation == pytest.approx(math.sqrt(2 / math.pi), abs=0.01)


def test_what_does_not_vary_is_nan_without_a_warning():
    nothing, zeros = np.full((6, 2), 0.1), np.zeros((6, 2))
    varying = np.arange(12.0).reshape(6, 2)
    for pair in (
        (nothing, varying),
        (varying, nothing),
        (nothing, nothing),
        (zeros, varying),
        (varying, zeros),
        (zeros, zeros),
    ):
        assert np.isnan(filter_correlations(*pair)).all()
        regression = pooled_correlation(*pair)
        assert math.isnan(regression.correlation)
        assert math.isnan(regression.slope)
        assert math.isnan(regression.intercept)
        assert regression.count == 12
    assert np.isnan(filter_correlations(varying[:1], varying[:1])).all()
    assert math.isnan(pooled_correlation([[2.0]], [[3.0]]).correlation)
    # The last digit of float32 differs by the order of a sum, not by the input.
    rounded = np.float32([[1000.0], [np.nextafter(np.float32(1000), np.float32(2000))]])
    assert np.isnan(filter_correlations(rounded, rounded)).all()
    exact = rounded.astype(np.float64)
    assert filter_correlations(exact, exact)[0] == pytest.approx(1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_products_that_are_not_finite_make_nan_of_their_filter_only(bad):
    binary, continuous = np.random.default_rng(0).normal(size=(2, 8, 3))
    expected = filter_correlations(binary, continuous)
    flips = filter_sign_flips(binary, continuous)
    for spoiled in (binary, continuous):
        pair = [spoiled.copy(), continuous if spoiled is binary else binary]
        pair[0][4, 1] = bad
        measured = filter_correlations(*pair)
        assert np.isnan(measured).tolist() == [False, True, False]
        np.testing.assert_allclose(measured[[0, 2]], expected[[0, 2]])
        assert math.isnan(pooled_correlation(*pair).correlation)
        assert math.isnan(sign_flips(*pair))
        np.testing.assert_allclose(
            filter_sign_flips(*pair), [flips[0], np.nan, flips[2]]
        )


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.int8, np.uint8, np.int64, ml_dtypes.bfloat16]
)
def test_every_real_dtype_is_computed_in_float64(dtype):
    values = (np.arange(24).reshape(6, 4) * 37 % 29).astype(dtype)
    others = (np.arange(24).reshape(6, 4) * 23 % 19).astype(dtype)
    expected = np.corrcoef(values.astype(float).ravel(), others.astype(float).ravel())
    assert pooled_correlation(values, others).correlation == pytest.approx(
        expected[0, 1]
    )
    assert permuted(values, np.random.default_rng(0)).dtype == values.dtype


@pytest.mark.parametrize(
    "function",
    [pooled_correlation, filter_correlations, sign_flips, filter_sign_flips],
)
def test_bad_arrays_are_refused(function):
    good = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(2, 3\)"):
        function(good, good.T)
    for bad in (good.astype(complex), good > 0, np.full((3, 2), "a"), good.astype("O")):
        with pytest.raises(TypeError, match="`continuous` must hold real numbers"):
            function(good, bad)
    with pytest.raises(ValueError, match=r"must not be empty.*\(0, 2\)"):
        function(good[:0], good[:0])
    if function in (filter_correlations, filter_sign_flips):
        with pytest.raises(ValueError, match=r"reshape to \(-1, 1\)"):
            function(good[:, 0], good[:, 0])


@pytest.mark.parametrize(
    ("r", "expected"),
    [
        (0.3, 0.4030133159793218),
        (0.5, 0.3333333333333333),
        (0.7, 0.253183311106635),
        (0.7978845608028654, 0.20595241678357126),
        (0.9, 0.14356629312870625),
        (0.95, 0.10108262410425992),
        (0.99, 0.04505341364441213),
    ],
)
def test_sign_flips_of_gaussian_products_are_as_tabulated(r, expected, rng):
    x, y = rng.normal(size=(2, 200_000, 1))
    binary, continuous = 3 * x + 7, 0.1 * (r * x + math.sqrt(1 - r * r) * y) - 5
    # Their means differ in sign, which the raw products show.
    assert sign_flips(binary, continuous) > 0.98
    measured = sign_flips(binary, continuous, [7.0], -5.0)
    assert measured == pytest.approx(expected, abs=0.005)


@given(
    values=st.lists(
        st.tuples(
            st.sampled_from([-2, -1, 0, 1]), st.sampled_from([-0.5, -0.0, 0.0, 2])
        ),
        min_size=2,
        max_size=20,
    ),
    limits=st.tuples(st.sampled_from([-1, 0, 1]), st.sampled_from([-0.5, 0.0])),
)
def test_a_product_at_its_threshold_counts_as_above(values, limits):
    flips = [
        (1 if b >= limits[0] else -1) != (1 if c >= limits[1] else -1)
        for b, c in values
    ]
    binary, continuous = (np.array(v).reshape(-1, 1) for v in zip(*values, strict=True))
    expected = sum(flips) / len(flips)
    assert sign_flips(binary, continuous, *limits) == pytest.approx(expected)
    assert filter_sign_flips(binary, continuous, [limits[0]], [limits[1]]) == [
        pytest.approx(expected)
    ]


def test_thresholds_are_one_for_each_filter(rng):
    binary, continuous = rng.normal(size=(2, 5, 4, 3))
    limits = rng.normal(size=(2, 3))
    each = filter_sign_flips(binary, continuous, *limits)
    for f in range(3):
        assert each[f] == pytest.approx(
            sign_flips(binary[..., f], continuous[..., f], limits[0, f], limits[1, f])
        )
    assert sign_flips(binary, continuous, *limits) == pytest.approx(np.mean(each))
    with pytest.raises(
        ValueError, match=r"`continuous_threshold`.*\(4,\).*\(5, 4, 3\)"
    ):
        sign_flips(binary, continuous, 0.0, np.zeros(4))
    assert math.isnan(sign_flips(binary, continuous, np.nan))


@given(seed=SEEDS, epsilon=st.sampled_from([0.0, 1e-3, 0.5]))
def test_batchnorm_thresholds_give_the_signs_of_batch_normalization(seed, epsilon):
    random = np.random.default_rng(seed)
    mean, beta = random.normal(size=(2, 6))
    variance = random.lognormal(size=6)
    gamma = random.normal(size=6) * random.choice([1, 1, 1e-300], size=6)
    gamma[:2] = 0.0, -0.0
    beta[0], beta[1] = random.choice([-1.0, 0.0, 1.0], size=2)
    y = random.normal(size=(50, 6)) * 3
    # A factor of 1e-300 leaves nothing but the offset.
    normalized = gamma * (y - mean) / np.sqrt(variance + epsilon) + beta
    threshold, direction = batchnorm_thresholds(mean, variance, gamma, beta, epsilon)
    assert set(direction) <= {-1.0, 1.0}
    np.testing.assert_array_equal(
        np.where(normalized >= 0, 1, -1),
        np.where(direction * y >= direction * threshold, 1, -1),
    )
    assert np.isinf(threshold[:2]).all()
    # Products on either side of an infinite threshold never flip.
    assert np.all(filter_sign_flips(y, -y, threshold, threshold)[:2] == 0)


def test_batchnorm_thresholds_without_scale_and_offset():
    mean, variance = np.array([1.0, -2.0]), np.array([3.0, 8.0])
    threshold, direction = batchnorm_thresholds(mean, variance, None, None, 1.0)
    assert threshold.tolist() == [1.0, -2.0]
    assert direction.tolist() == [1.0, 1.0]
    threshold, _ = batchnorm_thresholds(mean, variance, None, [1.0, -1.0], 1.0)
    np.testing.assert_allclose(threshold, [-1.0, 1.0])
    # Without any variance the output is infinite on both sides of the mean.
    assert batchnorm_thresholds(mean, [0.0, 0.0], None, [1.0, 1.0], 0.0)[
        0
    ].tolist() == [
        1.0,
        -2.0,
    ]
    nan = [np.nan, 0.0]
    for arguments in (
        (nan, variance, [0.0, 0.0], mean),
        (mean, nan, [0.0, 0.0], mean),
        (mean, variance, nan, mean),
        (mean, variance, [0.0, 0.0], nan),
    ):
        threshold, _ = batchnorm_thresholds(*arguments, epsilon=1e-3)
        assert np.isnan(threshold).tolist() == [True, False]
    with pytest.raises(ValueError, match=r"`mean` and `beta`.*\(2,\) and \(3,\)"):
        batchnorm_thresholds(mean, variance, None, np.zeros(3), 1e-3)
    for variance, epsilon in (([-1.0, 1.0], 1e-3), ([1.0, 1.0], math.nan)):
        with pytest.raises(ValueError, match="must not be negative"):
            batchnorm_thresholds(mean, variance, None, None, epsilon)


def test_permuted_activations_keep_their_values_and_lose_their_direction(rng):
    # One direction holds nearly all of the variance of the inputs.
    x = rng.normal(size=(2000, 1)) * 3 + rng.normal(size=(2000, 100))
    weights = rng.normal(size=(100, 200))
    weights -= weights.mean(axis=0)
    cosine = np.mean(np.abs(weights)) / np.sqrt(np.mean(weights**2))

    def correlation(inputs):
        return pooled_correlation(
            inputs @ np.sign(weights), inputs @ weights
        ).correlation

    shuffled = permuted(x, np.random.default_rng(1))
    assert shuffled.shape == x.shape
    np.testing.assert_array_equal(np.sort(shuffled, None), np.sort(x, None))
    np.testing.assert_array_equal(shuffled, permuted(x, np.random.default_rng(1)))
    assert correlation(x) < 0.7
    assert correlation(shuffled) == pytest.approx(cosine, abs=0.02)


def test_binarized_activations(rng):
    # White inputs: 2/pi with both operands binary, sqrt(2/pi) with binary weights.
    x = rng.normal(size=(20_000, 300))
    weights = rng.normal(size=(300, 20))
    binary = np.sign(x) @ np.sign(weights)
    assert pooled_correlation(
        binary, x @ np.sign(weights)
    ).correlation == pytest.approx(math.sqrt(2 / math.pi), abs=0.01)
    assert pooled_correlation(binary, x @ weights).correlation == pytest.approx(
        2 / math.pi, abs=0.01
    )

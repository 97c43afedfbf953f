"""Statistics of weights against numpy written out, known laws and boundary values."""

import collections
import math

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry.weights import HISTOGRAM_BINS, weight_statistics

SEEDS = st.integers(0, 2**32 - 1)


def signs(kernel):
    return np.where(np.asarray(kernel) < 0, -1.0, 1.0)


def ternary(kernel, threshold):
    return np.where(np.abs(kernel) > threshold, np.sign(kernel), 0.0)


@given(
    layout=st.sampled_from(
        [((3, 5, 7, 4), -1), ((9, 4), 1), ((3, 3, 4, 2), (-2, -1)), ((3, 3, 4, 2), -2)]
    ),
    scale=st.sampled_from([1e-170, 0.3, 1e170]),
    seed=SEEDS,
)
def test_statistics_written_out(layout, scale, seed):
    shape, channel_axes = layout
    random = np.random.default_rng(seed)
    kernel = random.normal(size=shape) + 0.2
    kernel[random.random(shape) < 0.1] = 0.0
    measured = weight_statistics(
        scale * kernel, signs(kernel), channel_axes, clip_value=scale
    )
    w = kernel.ravel()
    assert measured.count == w.size
    assert measured.non_finite == 0
    assert measured.mean == pytest.approx(scale * np.mean(w), 1e-9, 0)
    assert measured.sd == pytest.approx(scale * np.std(w), 1e-9, 0)
    assert measured.kurtosis == pytest.approx(
        np.mean((w - w.mean()) ** 4) / np.var(w) ** 2
    )
    assert measured.zero_fraction == np.mean(w == 0)
    assert measured.saturated_fraction == measured.starved_fraction
    assert measured.starved_fraction == pytest.approx(np.mean(np.abs(w) > 1))
    limit = np.max(np.abs(w))
    counts, edges = np.histogram(w, HISTOGRAM_BINS, (-limit, limit))
    assert measured.histogram.sum() == w.size
    # A weight may lie within rounding of an edge.
    assert np.abs(measured.histogram - counts).sum() <= 2
    np.testing.assert_allclose(measured.histogram_edges, scale * edges, rtol=1e-9)
    axes = channel_axes if isinstance(channel_axes, tuple) else (channel_axes,)
    axes = tuple(axis % kernel.ndim for axis in axes)
    channels = tuple(shape[axis] for axis in axes)
    assert measured.sign_entropy.shape == channels
    for index in np.ndindex(channels):
        place = [slice(None)] * kernel.ndim
        for axis, position in zip(axes, index, strict=True):
            place[axis] = position
        p = np.mean(kernel[tuple(place)] >= 0)
        entropy = sum(-q * math.log2(q) for q in (p, 1 - p) if q > 0)
        assert measured.sign_entropy[index] == pytest.approx(entropy)
    assert measured.mean_sign_entropy == pytest.approx(measured.sign_entropy.mean())
    assert measured.min_sign_entropy == measured.sign_entropy.min()
    assert measured.flips_since_start is None


@pytest.mark.parametrize(
    ("law", "kurtosis"), [("uniform", 1.8), ("normal", 3.0), ("laplace", 6.0)]
)
def test_the_kurtosis_names_the_law(law, kurtosis, rng):
    kernel = {
        "uniform": lambda: rng.uniform(-0.1, 0.1, (1152, 256)),
        "normal": lambda: rng.normal(0, 0.1, (1152, 256)),
        "laplace": lambda: rng.laplace(0, 0.1, (1152, 256)),
    }[law]()
    measured = weight_statistics(kernel, signs(kernel))
    assert measured.kurtosis == pytest.approx(kurtosis, rel=0.03)


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16]
)
@pytest.mark.parametrize("clip_value", [1.0, 0.3, 1.3])
def test_clipped_weights_are_saturated_but_not_starved(dtype, clip_value):
    # What a constraint leaves is the clip value rounded to the weights' dtype.
    limit = np.asarray(clip_value).astype(dtype)
    step = float(np.spacing(np.float32(limit))) if dtype is np.float32 else 0.02
    below, beyond = float(limit) - 4 * step, float(limit) + 4 * step
    kernel = np.array([[limit, -limit, below, beyond, -beyond, 0.0]]).astype(dtype).T
    measured = weight_statistics(kernel, signs(kernel), clip_value=clip_value)
    assert measured.saturated_fraction == pytest.approx(4 / 6)
    assert measured.starved_fraction == pytest.approx(2 / 6)
    without = weight_statistics(kernel, signs(kernel), clip_value=None)
    assert without.saturated_fraction is None
    assert without.starved_fraction is None


def test_dead_filters():
    kernel = np.array([[0.0, 0.5, 0.5, -0.0, 1.0], [0.0, 0.5, -0.5, 0.0, np.nan]])
    kernel = np.hstack([kernel, [[0.0], [np.nan]], [[np.inf], [np.nan]]])
    assert weight_statistics(kernel, signs(kernel)).dead_filters == (0, 1, 3, 5)
    # With a fan-in of 1, only a weight of 0 is dead.
    measured = weight_statistics([[0.0, 0.5, -1.0]], [[1, 1, -1]])
    assert measured.dead_filters == (0,)
    assert measured.dead_channels == ()
    assert measured.sign_entropy.tolist() == [0.0, 0.0, 0.0]
    # Two channel axes are numbered with the last one fastest.
    depthwise = np.random.default_rng(0).normal(size=(3, 3, 4, 2))
    depthwise[:, :, 2, 1] = 0.0
    assert weight_statistics(depthwise, signs(depthwise), (-2, -1)).dead_filters == (5,)


def test_dead_channels_have_signs_of_one_kind():
    quantized = np.ones((1000, 4))
    for filter_number, negative in enumerate((0, 9, 11, 995)):
        quantized[:negative, filter_number] = -1
    measured = weight_statistics(0.1 * quantized, quantized)
    assert measured.dead_channels == (0, 1, 3)
    assert measured.sign_entropy[0] == 0.0
    assert weight_statistics(-0.1 * quantized, -quantized).dead_channels == (0, 1, 3)


def test_zeros_of_a_ternary_quantizer_have_no_sign():
    quantized = np.array([[1, 0, 0], [-1, 0, 1], [0, 0, 1], [0, 0, 1]])
    measured = weight_statistics(quantized + 0.01, quantized)
    np.testing.assert_allclose(measured.sign_entropy, [1.0, np.nan, 0.0])
    assert measured.mean_sign_entropy == 0.5
    assert measured.min_sign_entropy == 0.0
    assert measured.dead_channels == (2,)


@given(levels=st.integers(1, 20), seed=SEEDS)
def test_levels_are_counted(levels, seed):
    random = np.random.default_rng(seed)
    values = np.linspace(-1, 1, levels).astype("float32")
    quantized = values[random.integers(levels, size=(40, 5))]
    measured = weight_statistics(quantized, quantized).levels
    counted = collections.Counter(quantized.ravel().tolist())
    if len(counted) > 16:
        assert measured is None
    else:
        assert measured == {v: n / 200 for v, n in counted.items()}
        assert list(measured) == sorted(measured)
        assert sum(measured.values()) == pytest.approx(1)


def test_sixteen_levels_are_listed_and_seventeen_are_not():
    for levels in (16, 17):
        kernel = np.arange(float(levels)).reshape(-1, 1)
        measured = weight_statistics(kernel, kernel).levels
        assert (measured is None) == (levels == 17)


def test_both_zeros_are_one_level():
    measured = weight_statistics([[-0.0], [0.0], [-1.0]], [[-0.0], [0.0], [-1.0]])
    assert {str(value) for value in measured.levels} == {"0.0", "-1.0"}


@pytest.mark.parametrize("threshold", [0.01, 1 / 9, 0.6120031809624814, 1.5])
def test_the_ternary_threshold_is_recovered(threshold, rng):
    kernel = 0.2 * rng.normal(size=(1000, 50))
    measured = weight_statistics(kernel, ternary(kernel, 0.2 * threshold))
    sd = 0.2 / np.std(kernel)
    assert measured.ternary_threshold_over_sd == pytest.approx(sd * threshold, abs=1e-3)
    # As tabulated: the share of zeros of a Gaussian.
    zeros = math.erf(threshold / math.sqrt(2))
    assert measured.levels[0.0] == pytest.approx(zeros, abs=0.006)
    # A scale for each filter, and filters that are zero, change nothing.
    scales = rng.lognormal(size=50)
    kernel[:, 7] = 0.0
    scaled = weight_statistics(kernel, scales * ternary(kernel, 0.2 * threshold))
    assert scaled.ternary_threshold_over_sd == pytest.approx(
        0.2 * threshold / np.std(kernel), abs=1e-3
    )
    assert scaled.levels is None


def test_other_quantizers_have_no_ternary_threshold(rng):
    kernel = rng.normal(size=(100, 8))
    for quantized in (
        signs(kernel),
        kernel,
        np.round(kernel),
        ternary(np.abs(kernel), 0.5),
        np.zeros_like(kernel),
    ):
        measured = weight_statistics(kernel, quantized)
        assert measured.ternary_threshold_over_sd is None
    # A binary layer with a scale per filter and a filter that is zero.
    scales = np.mean(np.abs(kernel), axis=0)
    scales[3] = 0.0
    measured = weight_statistics(kernel, scales * signs(kernel))
    assert measured.ternary_threshold_over_sd is None


@given(seed=SEEDS, scale=st.sampled_from([1e-3, 1.0, 7.0]))
def test_flips_since_the_start(seed, scale):
    random = np.random.default_rng(seed)
    kernel, start = random.normal(size=(2, 30, 6))
    scales = random.lognormal(size=6).astype("float32")

    def flips(quantized, at_start):
        measured = weight_statistics(kernel, quantized, start=at_start)
        return measured.flips_since_start

    changed = np.mean(signs(kernel) != signs(start))
    assert flips(scales * signs(kernel), scale * signs(start)) == pytest.approx(changed)
    # Binary values are compared by sign, so the continuous start does as well.
    assert flips(signs(kernel), start) == pytest.approx(changed)
    assert flips(signs(kernel), np.abs(start) * 0) == np.mean(kernel < 0)
    now, then = ternary(kernel, 0.5), ternary(start, 0.5)
    assert flips(scales * now, scale * then) == pytest.approx(np.mean(now != then))
    now, then = np.round(2 * kernel) / 3, np.round(2 * start) / 3
    assert flips(now, then) == pytest.approx(np.mean(now != then))
    assert flips(now.astype("float32"), now) == 0.0


def test_weights_that_are_not_finite_are_left_out(rng):
    kernel = rng.normal(size=(50, 4))
    bad = kernel.copy()
    bad[3, 1], bad[4, 2] = np.nan, -np.inf
    quantized = signs(kernel)
    quantized[5, 0] = np.nan
    start = -signs(kernel)
    start[6, 0] = np.inf
    measured = weight_statistics(bad, quantized, start=start)
    kept = np.isfinite(bad) & np.isfinite(quantized)
    assert measured.count == 200
    assert measured.non_finite == 3
    assert measured.mean == pytest.approx(kernel[kept].mean())
    assert measured.sd == pytest.approx(kernel[kept].std())
    assert measured.histogram.sum() == 197
    assert sum(measured.levels.values()) == pytest.approx(1)
    assert measured.flips_since_start == 1.0
    p = np.mean(signs(kernel)[kept[:, 1], 1] > 0)
    assert measured.sign_entropy[1] == pytest.approx(
        -p * math.log2(p) - (1 - p) * math.log2(1 - p)
    )


def test_nothing_finite_is_nan_without_a_warning():
    kernel = np.array([[np.nan, np.inf], [-np.inf, np.nan]])
    measured = weight_statistics(kernel, signs(kernel), start=signs(kernel))
    assert measured.count == measured.non_finite == 4
    for name in (
        "mean",
        "sd",
        "kurtosis",
        "zero_fraction",
        "saturated_fraction",
        "starved_fraction",
        "mean_sign_entropy",
        "min_sign_entropy",
        "flips_since_start",
    ):
        assert math.isnan(getattr(measured, name)), name
    assert np.isnan(measured.sign_entropy).all()
    assert measured.dead_filters == measured.dead_channels == ()
    assert measured.levels == {}
    assert measured.ternary_threshold_over_sd is None
    assert measured.histogram.sum() == 0


@pytest.mark.parametrize("value", [0.0, 0.1, -3.0])
def test_equal_weights(value):
    kernel = np.full((5, 3), value)
    measured = weight_statistics(kernel, signs(kernel))
    assert (measured.mean, measured.sd) == (value, 0.0)
    assert math.isnan(measured.kurtosis)
    assert measured.dead_filters == measured.dead_channels == (0, 1, 2)
    assert measured.histogram.sum() == 15
    assert np.all(np.diff(measured.histogram_edges) > 0)


def test_integers_are_taken():
    kernel = np.array([[3, -1], [0, 2]])
    measured = weight_statistics(kernel, signs(kernel).astype(np.int8), clip_value=2)
    assert measured.mean == 1.0
    assert measured.saturated_fraction == 0.5
    assert measured.starved_fraction == 0.25


def test_bad_arrays_are_refused():
    kernel = np.ones((3, 2))
    with pytest.raises(
        ValueError, match=r"`kernel` and `quantized`.*\(3, 2\) and \(2,\)"
    ):
        weight_statistics(kernel, kernel[0])
    with pytest.raises(
        ValueError, match=r"`kernel` and `start`.*\(3, 2\) and \(2, 3\)"
    ):
        weight_statistics(kernel, kernel, start=kernel.T)
    with pytest.raises(TypeError, match="`kernel` must hold real numbers.*complex"):
        weight_statistics(kernel + 1j, kernel)
    with pytest.raises(TypeError, match=r"`quantized`.*Write bits as -1 and \+1"):
        weight_statistics(kernel, kernel > 0)
    with pytest.raises(ValueError, match="must not be empty"):
        weight_statistics(kernel[:0], kernel[:0])
    with pytest.raises(ValueError, match="must be axes of the kernel"):
        weight_statistics(kernel, kernel, 2)
    with pytest.raises(ValueError, match="Leave at least one out"):
        weight_statistics(kernel, kernel, (0, 1))
    for clip_value in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="`clip_value` must be positive or None"):
            weight_statistics(kernel, kernel, clip_value=clip_value)

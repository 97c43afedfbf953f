"""Statistics of continuous weights and of what they are quantized to."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry._arrays import (
    equal_shapes,
    real_array,
    resolution,
    split_filters,
)

MAXIMUM_LEVELS = 16
"""Most distinct quantized values that `weight_statistics` lists."""

HISTOGRAM_BINS = 64
"""Number of bins of its histogram; even, so that 0 is an edge."""

# Fewer signs of one kind than this make a channel as good as constant.
_DEAD_SHARE = 0.01

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class WeightStatistics:
    """Statistics of the weights of one layer.

    Weights that are not finite, or whose quantized value is not, are counted in
    `non_finite` and left out of all else. A float that does not exist is NaN, above all
    where no weight is left; what was not asked for or does not apply is None. Filters
    are numbered in the order of the channel axes, the last one fastest.

    Attributes:
        count: Number of weights, those that are not finite among them.
        non_finite: Number of weights left out.
        mean: Mean weight.
        sd: Standard deviation of the weights, with their number in the denominator.
        kurtosis: Fourth central moment over the squared variance: 3 for Gaussian
            weights, 1.8 for uniform ones. NaN where all weights are equal.
        zero_fraction: Fraction of continuous weights that are exactly 0.
        saturated_fraction: Fraction at the clip value or beyond, up to the rounding of
            the kernel's dtype. None without a clip value.
        starved_fraction: Fraction beyond the clip value by more than rounding: the
            pseudo-gradient of a sign that is clipped there never reaches them. None
            without a clip value.
        dead_filters: Numbers of the filters whose weights are all 0 or, where there are
            several, all equal.
        sign_entropy: Entropy in bits of the signs of the quantized values of each
            filter, of the shape of the channel axes: 1 where half of them are negative,
            0 where all agree. Quantized zeros, as of a ternary quantizer, have no sign
            here; NaN for a filter that has no others.
        mean_sign_entropy: Mean over the filters that have one.
        min_sign_entropy: Smallest of them.
        dead_channels: Numbers of the filters of which less than 1 % of the signs, or
            more than 99 %, are positive. Filters of one weight are not counted: theirs
            cannot but agree.
        levels: Fraction of the weights at each quantized value, by value and ascending;
            None where there are more than 16 values.
        ternary_threshold_over_sd: Where the quantized values of each filter are zero,
            or plus or minus a value of its own: the threshold on the magnitude of the
            weights that gives that share of zeros, in units of `sd`. Else None.
        flips_since_start: Fraction of the quantized values that differ from those at
            the start; None where they are not given.
        histogram: Counts of the continuous weights in equal bins, int64.
        histogram_edges: Their edges, one more, from minus the largest magnitude to the
            largest magnitude.
    """

    count: int
    non_finite: int
    mean: float
    sd: float
    kurtosis: float
    zero_fraction: float
    saturated_fraction: float | None
    starved_fraction: float | None
    dead_filters: tuple[int, ...]
    sign_entropy: Floats
    mean_sign_entropy: float
    min_sign_entropy: float
    dead_channels: tuple[int, ...]
    levels: dict[float, float] | None
    ternary_threshold_over_sd: float | None
    flips_since_start: float | None
    histogram: NDArray[np.int64]
    histogram_edges: Floats


def weight_statistics(
    kernel: ArrayLike,
    quantized: ArrayLike,
    channel_axes: int | tuple[int, ...] = -1,
    clip_value: float | None = 1.0,
    start: ArrayLike | None = None,
) -> WeightStatistics:
    """Statistics of the weights of a layer and of their quantized values.

    Args:
        kernel: Continuous weights, real array such as a Keras kernel `(height, width,
            inputs, filters)` or `(inputs, units)`.
        quantized: What the quantizer makes of them, same shape.
        channel_axes: Axes along which each position is a filter of its own: the last
            one as a rule, `(-2, -1)` for depthwise kernels, -2 for transposed ones.
        clip_value: Magnitude at which the weights are clipped and beyond which the
            quantizer passes no gradient; None where there is none.
        start: Quantized values before the training, same shape. Scales do not matter
            for binary and ternary values: binary ones are compared by sign, where that
            of 0 is +1, and ternary ones by sign or zero. Others are compared by value.

    Returns:
        `WeightStatistics`.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The shapes differ, no axis is left for the weights, an axis is not
            there, the kernel is empty, or the clip value is not positive.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.weights import weight_statistics
        >>> kernel = np.array([[1.0, 0.5], [-1.0, 0.5], [0.0, 0.5]])
        >>> statistics = weight_statistics(kernel, np.where(kernel < 0, -1, 1))
        >>> statistics.levels, statistics.dead_channels
        ({-1.0: 0.16666666666666666, 1.0: 0.8333333333333334}, (1,))

    Reference:
        Anderson & Berg, arXiv 1705.07199, the figure of the weights; the entropy of
        signs as in IR-Net, arXiv 1909.10788.
    """
    w, q = real_array("kernel", kernel), real_array("quantized", quantized)
    equal_shapes(("kernel", "quantized"), w, q)
    if clip_value is not None and not clip_value > 0:
        raise ValueError(
            f"`clip_value` must be positive or None. Received: {clip_value}."
        )
    s = q if start is None else real_array("start", start)
    equal_shapes(("kernel", "start"), w, s)
    w, q, s = (split_filters(values, channel_axes) for values in (w, q, s))
    channels, fan_in = w.shape[:-1], w.shape[-1]
    w, q, s = (values.reshape(-1, fan_in) for values in (w, q, s))
    kept = np.isfinite(w) & np.isfinite(q)
    weights = w[kept]
    mean, sd, kurtosis = _moments(weights)
    saturated, starved = None, None
    if clip_value is not None:
        rounding = resolution(kernel)
        magnitudes = np.abs(weights)
        saturated = _share(magnitudes >= clip_value * (1 - rounding))
        starved = _share(magnitudes > clip_value * (1 + rounding))
    positive = _positive_shares(q, kept)
    entropy = _entropy(positive)
    known = entropy[~np.isnan(entropy)]
    one_sided = (positive < _DEAD_SHARE) | (positive > 1 - _DEAD_SHARE)
    counts, edges = _histogram(weights)
    return WeightStatistics(
        count=w.size,
        non_finite=w.size - weights.size,
        mean=mean,
        sd=sd,
        kurtosis=kurtosis,
        zero_fraction=_share(weights == 0),
        saturated_fraction=saturated,
        starved_fraction=starved,
        dead_filters=_numbers(_dead(w, kept)),
        sign_entropy=entropy.reshape(channels),
        mean_sign_entropy=float(np.mean(known)) if known.size else math.nan,
        min_sign_entropy=float(np.min(known)) if known.size else math.nan,
        dead_channels=_numbers(one_sided) if fan_in > 1 else (),
        levels=_levels(q[kept]),
        ternary_threshold_over_sd=_ternary_threshold_over_sd(w, q, kept, sd),
        flips_since_start=(
            None if start is None else _flips(q, s, kept & np.isfinite(s))
        ),
        histogram=counts,
        histogram_edges=edges,
    )


def _share(true: Bools) -> float:
    return float(np.count_nonzero(true) / true.size) if true.size else math.nan


def _numbers(true: Bools) -> tuple[int, ...]:
    return tuple(int(number) for number in np.flatnonzero(true))


def _moments(weights: Floats) -> tuple[float, float, float]:
    if not weights.size:
        return math.nan, math.nan, math.nan
    # In units of the largest magnitude, fourth powers stay in range.
    unit = float(np.max(np.abs(weights))) or 1.0
    scaled = weights / unit
    if np.all(scaled == scaled[0]):
        return float(weights[0]), 0.0, math.nan
    mean = float(np.mean(scaled))
    squares = (scaled - mean) ** 2
    variance = float(np.mean(squares))
    kurtosis = float(np.mean((squares / variance) ** 2))
    return unit * mean, unit * math.sqrt(variance), kurtosis


def _dead(w: Floats, kept: Bools) -> Bools:
    """Return which filters have no weights but zeros, or several equal ones."""
    lowest = np.min(np.where(kept, w, np.inf), axis=1)
    highest = np.max(np.where(kept, w, -np.inf), axis=1)
    several = np.count_nonzero(kept, axis=1) > 1
    return (lowest == highest) & (several | (lowest == 0))


def _positive_shares(q: Floats, kept: Bools) -> Floats:
    """Return the share of positive values among those of each filter with a sign."""
    positive = np.count_nonzero(kept & (q > 0), axis=1)
    signs = np.count_nonzero(kept & (q != 0), axis=1)
    return np.where(signs > 0, positive / np.maximum(signs, 1), np.nan)


def _entropy(p: Floats) -> Floats:
    """Return the entropy in bits of two outcomes, one of probability `p`."""
    entropy = np.zeros(p.shape)
    for share in (p, 1 - p):
        # The logarithm of 1 stands in for that of 0, which its factor 0 cancels.
        entropy -= share * np.log2(np.where(share > 0, share, 1.0))
    return np.where(np.isnan(p), np.nan, np.abs(entropy))


def _levels(values: Floats) -> dict[float, float] | None:
    """Return the share of each distinct value; None where they are too many."""
    shares: dict[float, float] = {}
    rest = values
    # One pass for each value: sorting millions of weights would take longer.
    while rest.size:
        if len(shares) == MAXIMUM_LEVELS:
            return None
        same = rest == rest[0]
        # Adding 0 makes 0 of -0.
        shares[float(rest[0]) + 0.0] = float(np.count_nonzero(same) / values.size)
        rest = rest[~same]
    return dict(sorted(shares.items()))


def _codes(q: Floats, kept: Bools) -> NDArray[np.int8] | None:
    """Return -1, 0 or 1 for each value; None where a filter has other magnitudes."""
    magnitudes = np.where(kept, np.abs(q), 0.0)
    largest = np.max(magnitudes, axis=1, keepdims=True)
    # Scales per filter are products of floats, float32 at the least.
    nearly = magnitudes >= largest * (1 - 1e-6)
    if not np.all(nearly | (magnitudes == 0)):
        return None
    return np.where(kept, np.sign(q), 0).astype(np.int8)


def _flips(q: Floats, start: Floats, kept: Bools) -> float:
    now, then = q[kept], start[kept]
    if _codes(q, kept) is None:
        largest = np.maximum(np.abs(now), np.abs(then))
        return _share(np.abs(now - then) > 1e-6 * largest)
    if np.all(now != 0):
        return _share((now > 0) != (then >= 0))
    return _share(np.sign(now) != np.sign(then))


def _ternary_threshold_over_sd(
    w: Floats, q: Floats, kept: Bools, sd: float
) -> float | None:
    """Return the threshold in units of the standard deviation; None if not ternary."""
    # A filter of zeros, be it dead or just initialised, has no threshold to tell.
    live = np.any(kept & (q != 0), axis=1, keepdims=True)
    kept = kept & live
    codes = _codes(q, kept)
    if codes is None or not sd > 0:
        return None
    zeros = np.count_nonzero(codes[kept] == 0)
    if zeros == 0 or not (np.any(codes > 0) and np.any(codes < 0)):
        return None
    magnitudes = np.partition(np.abs(w[kept]), (zeros - 1, zeros))
    return float(np.mean(magnitudes[zeros - 1 : zeros + 1])) / sd


def _histogram(weights: Floats) -> tuple[NDArray[np.int64], Floats]:
    unit = float(np.max(np.abs(weights))) if weights.size else 0.0
    # In units of the largest magnitude, since the width of the range can overflow.
    scaled = weights / (unit or 1.0)
    counts, edges = np.histogram(scaled, bins=HISTOGRAM_BINS, range=(-1.0, 1.0))
    return counts.astype(np.int64), edges * (unit or 1.0)

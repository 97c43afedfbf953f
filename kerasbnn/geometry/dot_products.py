"""How dot products with binary weights follow those with continuous ones.

All that is said of binary weights holds for any quantized ones.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry._arrays import (
    equal_shapes,
    numeric_array,
    real_array,
    resolution,
)
from kerasbnn.geometry.angles import cosine

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Regression:
    """Regression of the continuous on the binary dot products.

    All figures but the count are NaN where one of the two does not vary, as with a
    single pair, or where a product is not finite.

    Attributes:
        correlation: Pearson's correlation, from -1 to 1.
        slope: Slope of the line that predicts the continuous product from the binary
            one. For inputs without a preferred direction it is `mean |w|`, the scale of
            XNOR-Net.
        intercept: Where the line meets a binary product of 0.
        count: Number of pairs.
    """

    correlation: float
    slope: float
    intercept: float
    count: int


def pooled_correlation(binary: ArrayLike, continuous: ArrayLike) -> Regression:
    """Correlate two sets of dot products over samples, positions and filters together.

    It is the figure of the paper. Differences of scale and of mean between the filters
    count too, so look at `filter_correlations` as well. For the effect of binarizing
    the activations, pass the products of the same weights with binary and with
    continuous activations.

    Args:
        binary: Products of the inputs with the binary weights: real array of any shape,
            before pooling, bias and batch normalization.
        continuous: Products of the same inputs with the continuous weights.

    Returns:
        `Regression`.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The shapes differ, or the arrays are empty.

    Example:
        >>> from kerasbnn.geometry.dot_products import pooled_correlation
        >>> pooled_correlation([[1, -1], [3, 1]], [[0.5, -0.5], [1.5, 0.5]])
        Regression(correlation=1.0, slope=0.5, intercept=0.0, count=4)

    Reference:
        Anderson & Berg, arXiv 1705.07199, the dot product proportionality property.
    """
    b, c = _pair(binary, continuous)
    x, x_scale, x_mean = _deviations(b.reshape(-1, 1), resolution(binary))
    y, y_scale, y_mean = _deviations(c.reshape(-1, 1), resolution(continuous))
    correlation = float(cosine(x, y, axis=0)[0])
    if math.isnan(correlation):
        return Regression(math.nan, math.nan, math.nan, b.size)
    ratio = float(np.sum(x * y) / np.sum(x * x))
    slope = ratio * (float(y_scale[0]) / float(x_scale[0]))
    intercept = float(y_scale[0]) * (float(y_mean[0]) - ratio * float(x_mean[0]))
    return Regression(correlation, slope, intercept, b.size)


def filter_correlations(binary: ArrayLike, continuous: ArrayLike) -> Floats:
    """Correlate two sets of dot products filter by filter.

    Args:
        binary: Products of the inputs with the binary weights: real array of shape
            `(..., filters)`.
        continuous: Products of the same inputs with the continuous weights.

    Returns:
        Float64 array of shape `(filters,)` with Pearson's correlations over all axes
        but the last. NaN where one of the two does not vary beyond the rounding of its
        dtype, or is not finite.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The shapes differ, there is no axis beside that of the filters, or
            the arrays are empty.

    Example:
        >>> from kerasbnn.geometry.dot_products import filter_correlations
        >>> filter_correlations([[1, 1], [3, 1], [1, 1]], [[1, 5], [2, 6], [1, 7]])
        array([ 1., nan])

    Reference:
        Anderson & Berg, arXiv 1705.07199, the dot product proportionality property.
    """
    b, c = _filter_pair(binary, continuous)
    x, _, _ = _deviations(b, resolution(binary))
    y, _, _ = _deviations(c, resolution(continuous))
    return cosine(x, y, axis=0)


def sign_flips(
    binary: ArrayLike,
    continuous: ArrayLike,
    binary_threshold: ArrayLike = 0.0,
    continuous_threshold: ArrayLike = 0.0,
) -> float:
    """Fraction of dot products that lie on other sides of their thresholds.

    A product at its threshold counts as above: the sign of 0 is +1. Thresholds of 0
    give the shaded quadrants of the paper's figure, the means of each filter those of
    the centred products, `batchnorm_thresholds` what the next sign sees. Where that
    returns a direction of -1, multiply products and thresholds by the direction to have
    products at the threshold counted right.

    Args:
        binary: Products of the inputs with the binary weights: real array of shape
            `(..., filters)`.
        continuous: Products of the same inputs with the continuous weights.
        binary_threshold: Real number, or one for each filter.
        continuous_threshold: Real number, or one for each filter.

    Returns:
        Float from 0 to 1; NaN where a product is not finite or a threshold is NaN.
        Jointly Gaussian products of correlation `r`, each with its mean as the
        threshold, give `arccos(r) / pi`.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The shapes differ or do not match the thresholds, or an array is
            empty.

    Example:
        >>> from kerasbnn.geometry.dot_products import sign_flips
        >>> sign_flips([[2, -2], [0, 2]], [[0.1, 0.3], [-0.2, 0.4]])
        0.5

    Reference:
        Anderson & Berg, arXiv 1705.07199, the figure of the dot products.
    """
    b, c = _pair(binary, continuous)
    return float(np.mean(_flips(b, c, binary_threshold, continuous_threshold)))


def filter_sign_flips(
    binary: ArrayLike,
    continuous: ArrayLike,
    binary_threshold: ArrayLike = 0.0,
    continuous_threshold: ArrayLike = 0.0,
) -> Floats:
    """Compute the fraction that `sign_flips` gives for each filter by itself.

    Args:
        binary: Products of the inputs with the binary weights: real array of shape
            `(..., filters)`.
        continuous: Products of the same inputs with the continuous weights.
        binary_threshold: Real number, or one for each filter.
        continuous_threshold: Real number, or one for each filter.

    Returns:
        Float64 array of shape `(filters,)`, from 0 to 1; NaN where a product is not
        finite or a threshold is NaN.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The shapes differ or do not match the thresholds, there is no axis
            beside that of the filters, or an array is empty.

    Example:
        >>> from kerasbnn.geometry.dot_products import filter_sign_flips
        >>> filter_sign_flips([[2, -2], [0, 2]], [[0.1, 0.3], [-0.2, 0.4]])
        array([0.5, 0.5])

    Reference:
        Anderson & Berg, arXiv 1705.07199, the figure of the dot products.
    """
    b, c = _filter_pair(binary, continuous)
    return np.mean(_flips(b, c, binary_threshold, continuous_threshold), axis=0)


def permuted(activations: ArrayLike, rng: np.random.Generator) -> NDArray[np.generic]:
    """Permute all elements of the activations at random.

    What remains of the correlation is due to the angle between the weights alone, for
    the permuted inputs have no preferred direction: expect the cosine of the mean
    angle. What is lost was due to filters that look where the inputs vary much.

    Args:
        activations: Real array of any shape.
        rng: Source of the permutation, such as `np.random.default_rng(0)`.

    Returns:
        Array of the same shape and dtype, with the same values in another order.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The array is empty.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.dot_products import permuted
        >>> shuffled = permuted([[1, 2], [3, 4]], np.random.default_rng(0))
        >>> shuffled.shape, sorted(shuffled.ravel().tolist())
        ((2, 2), [1, 2, 3, 4])

    Reference:
        Anderson & Berg, arXiv 1705.07199, the control with permuted activations.
    """
    values = numeric_array("activations", activations)
    return rng.permutation(values.ravel()).reshape(values.shape)


def batchnorm_thresholds(
    mean: ArrayLike,
    variance: ArrayLike,
    gamma: ArrayLike | None,
    beta: ArrayLike | None,
    epsilon: float,
) -> tuple[Floats, Floats]:
    """Find where batch normalization followed by a sign changes its output.

    `gamma (y - mean) / sqrt(variance + epsilon) + beta` has the sign of
    `direction * (y - threshold)`, with `threshold = mean - beta sqrt(variance +
    epsilon) / gamma` and the sign of `gamma` as the direction.

    Args:
        mean: Mean of each filter, real array of shape `(filters,)`.
        variance: Variance of each filter, same shape.
        gamma: Scale of each filter, same shape; None for 1, as with `scale=False`.
        beta: Offset of each filter, same shape; None for 0, as with `center=False`.
        epsilon: What the layer adds to the variance.

    Returns:
        Thresholds and directions, float64 arrays of shape `(filters,)`; the directions
        are 1 or -1. A filter with a `gamma` of 0 has a threshold of minus infinity
        where its output is always +1 and of infinity where it is always -1, with a
        direction of 1. NaN where a parameter is NaN.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The shapes differ, the arrays are empty, or the variance plus
            epsilon is negative.

    Example:
        >>> from kerasbnn.geometry.dot_products import batchnorm_thresholds
        >>> batchnorm_thresholds([1.0, 1.0], [4.0, 4.0], [1.0, -1.0], [0.5, 0.5], 0.0)
        (array([0., 2.]), array([ 1., -1.]))

    Reference:
        Ioffe & Szegedy, arXiv 1502.03167, solved for its zero.
    """
    center, spread = real_array("mean", mean), real_array("variance", variance)
    scale = np.ones_like(center) if gamma is None else real_array("gamma", gamma)
    offset = np.zeros_like(center) if beta is None else real_array("beta", beta)
    for name, values in (("variance", spread), ("gamma", scale), ("beta", offset)):
        equal_shapes(("mean", name), center, values)
    if math.isnan(epsilon) or np.any(spread + epsilon < 0):
        raise ValueError(
            "`variance` plus `epsilon` must not be negative. Received: a variance of "
            f"{np.min(spread):g} and epsilon={epsilon}."
        )
    # A tiny gamma may take the threshold to infinity, where it belongs.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        threshold = center - offset * np.sqrt(spread + epsilon) / scale
    always = np.where(offset >= 0, -np.inf, np.inf)
    known = ~(np.isnan(center) | np.isnan(spread) | np.isnan(offset))
    threshold = np.where((scale == 0) & known, always, threshold)
    return threshold, np.where(scale < 0, -1.0, 1.0)


def _pair(binary: ArrayLike, continuous: ArrayLike) -> tuple[Floats, Floats]:
    b, c = real_array("binary", binary), real_array("continuous", continuous)
    equal_shapes(("binary", "continuous"), b, c)
    return b, c


def _filter_pair(binary: ArrayLike, continuous: ArrayLike) -> tuple[Floats, Floats]:
    b, c = _pair(binary, continuous)
    if b.ndim < 2:
        raise ValueError(
            "`binary` and `continuous` must have the shape (..., filters). Received: "
            f"shape {b.shape}. For the products of one filter reshape to (-1, 1)."
        )
    return b.reshape(-1, b.shape[-1]), c.reshape(-1, c.shape[-1])


def _deviations(products: Floats, rounding: float) -> tuple[Floats, Floats, Floats]:
    """Return deviations from the mean of each column in a unit of its own.

    Args:
        products: Array of shape `(samples, filters)`.
        rounding: Resolution of the dtype that they come in.

    Returns:
        The deviations, zeros where they are mere rounding; the unit, and the mean in
        it, of each column. The unit keeps squares in range.
    """
    unit = np.max(np.abs(products), axis=0)
    # Zeros and infinities give NaN, which is what correlations with them are.
    with np.errstate(invalid="ignore"):
        scaled = products / unit
        mean = np.mean(scaled, axis=0)
        constant = np.ptp(scaled, axis=0) <= 2 * rounding
        return np.where(constant, 0.0, scaled - mean), unit, mean


def _flips(
    binary: Floats,
    continuous: Floats,
    binary_threshold: ArrayLike,
    continuous_threshold: ArrayLike,
) -> Floats:
    above: list[NDArray[np.bool_]] = []
    known = np.isfinite(binary) & np.isfinite(continuous)
    for name, products, threshold in (
        ("binary_threshold", binary, binary_threshold),
        ("continuous_threshold", continuous, continuous_threshold),
    ):
        limit = real_array(name, threshold)
        if limit.shape not in ((), products.shape[-1:]):
            raise ValueError(
                f"`{name}` must be a number or one for each filter. Received: shape "
                f"{limit.shape} for products of shape {products.shape}."
            )
        above.append(products >= limit)
        known &= ~np.isnan(limit)
    return np.where(known, above[0] != above[1], np.nan)

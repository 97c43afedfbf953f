"""Joint histograms of dot products, small enough to keep with a report."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry.layer_geometry import Histogram

# A single outlier would squeeze all the rest into a few bins.
PERCENTILE = 99.9


def product_histogram(x: ArrayLike, y: ArrayLike, bins: int = 50) -> Histogram | None:
    """Count pairs in a grid that is symmetric about 0, so that its axes are edges.

    The grid reaches to the 99.9th percentile of the magnitudes along each axis; the few
    pairs beyond it are not counted. Pairs with a value that is not finite are dropped.

    Dot products of signs are whole numbers that are all odd or all even. Bins whose
    width is no multiple of that distance would hold now more and now fewer of them, and
    show as stripes. Along such an axis the width is rounded up to a multiple, and there
    are fewer bins.

    Args:
        x: Real array of any shape, such as the products with quantized weights.
        y: Real array of the same shape, such as those with continuous weights.
        bins: Largest number of bins along each axis, an even number from 2 on.

    Returns:
        The histogram; a pair on an edge is in the bin above it. None if no pair is
        finite.

    Raises:
        ValueError: The shapes differ, or `bins` is odd or less than 2.

    Example:
        >>> from kerasbnn.geometry.histograms import product_histogram
        >>> histogram = product_histogram([-1.5, 0.0, 1.5], [-0.5, 0.5, 0.5], bins=2)
        >>> histogram.x_edges, histogram.counts
        ((-1.5, 0.0, 1.5), ((1, 0), (0, 2)))

    Reference:
        Anderson & Berg, arXiv 1705.07199, figure 3.
    """
    if bins < 2 or bins % 2:
        raise ValueError(
            "`bins` must be an even number from 2 on, for 0 is an edge. Received: "
            f"{bins}."
        )
    x = np.asarray(x, dtype=np.float64)
    y = np.asarray(y, dtype=np.float64)
    if x.shape != y.shape:
        raise ValueError(
            "`x` and `y` must have the same shape, one pair at each place. Received: "
            f"{x.shape} and {y.shape}."
        )
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if x.size == 0:
        return None
    x_edges, y_edges = _edges(x, bins), _edges(y, bins)
    counts, _, _ = np.histogram2d(x, y, bins=(x_edges, y_edges))
    return Histogram(
        x_edges=tuple(x_edges.tolist()),
        y_edges=tuple(y_edges.tolist()),
        counts=tuple(tuple(row) for row in counts.astype(np.int64).tolist()),
    )


def _edges(values: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    magnitudes = np.abs(values)
    # Of values that are nearly all 0, the percentile is 0 as well.
    # The higher of two neighbors is the largest of all where there are few.
    limit = float(np.percentile(magnitudes, PERCENTILE, method="higher"))
    limit = limit or float(np.max(magnitudes))
    half = bins // 2
    width = limit / half
    if width < np.finfo(np.float64).tiny:
        width = 1.0 / half
    step = _lattice_step(values)
    if step is not None:
        width = step * math.ceil(width / step)
        half = max(1, math.ceil(limit / width))
    edges = np.arange(-half, half + 1, dtype=np.float64) * np.float64(width)
    # Rounding must not leave the outermost values just outside.
    edges[-1] = max(edges[-1], limit)
    edges[0] = -edges[-1]
    return edges


def _lattice_step(values: NDArray[np.float64]) -> float | None:
    """Return the distance that all values are apart, where they are whole numbers."""
    # Beyond this not every float is a whole number exactly.
    if np.any(values != np.rint(values)) or np.max(np.abs(values)) > 2**53:
        return None
    whole = values.astype(np.int64)
    return float(np.gcd.reduce(whole - whole[0])) or 1.0

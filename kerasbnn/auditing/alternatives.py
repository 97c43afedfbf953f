"""What other quantizers would make of the weights that an audit has measured."""

import math

import numpy as np

from kerasbnn.auditing.measurement import KernelMeasurement
from kerasbnn.geometry.hadamard import hadamard_rotation
from kerasbnn.geometry.layer_geometry import Alternatives
from kerasbnn.geometry.predictions import quadratic_correlations_from_samples
from kerasbnn.geometry.rotation import generalized_binarization
from kerasbnn.geometry.whitening import whitening_from_samples

# The mean over so many filters, spread over all of them, is near that over all.
MOST_FILTERS = 64

# Windows with which a covariance tells anything.
FEWEST_PATCHES = 16


def other_quantizers(measurement: KernelMeasurement) -> Alternatives:
    """Measure, on the windows that were kept, other quantizers of the same weights.

    Args:
        measurement: What was gathered about the kernel.

    Returns:
        Mean correlations over the filters; None where there is nothing to measure on.
    """
    patches = measurement.sample.rows.get("patches")
    if patches is None or len(patches) < FEWEST_PATCHES:
        return Alternatives()
    ternary, rotated, whitened = [], [], []
    rotation = hadamard_rotation(measurement.fan_in, seed=measurement.sampling.seed)
    for group, filters in _some_filters(measurement):
        seen = patches[:, group].astype(np.float64)
        if not np.ptp(seen, axis=0).any():
            continue
        ternary.append(_correlations(filters, ternarized(filters), seen))
        quantized = generalized_binarization(filters.T, rotation).T
        rotated.append(_correlations(filters, quantized, seen))
        # Fitted on one half and measured on the other, of at least twice the fan-in.
        fitted, others = seen[::2], seen[1::2]
        if len(fitted) > 2 * measurement.fan_in > 2 and np.ptp(fitted, axis=0).any():
            quantized = whitening_from_samples(fitted).binarize_weights(filters, axis=0)
            whitened.append(_correlations(filters, quantized, others))
    return Alternatives(*(_mean(r) for r in (ternary, rotated, whitened)))


def ternarized(filters: np.ndarray) -> np.ndarray:
    """Return for each filter the ternary vector at the smallest angle.

    The best one with `k` entries has them at the `k` largest magnitudes; the cosine is
    then the sum of these over `sqrt(k)`, up to a constant.

    Args:
        filters: Array `(fan_in, filters)`.

    Returns:
        Array of -1, 0 and 1 of the same shape.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.auditing.alternatives import ternarized
        >>> ternarized(np.array([[3.0], [-2.5], [0.5]])).ravel()
        array([ 1., -1.,  0.])

    Reference:
        Anderson & Berg, arXiv 1705.07199 (ternary geometry).
    """
    magnitudes = np.abs(filters)
    descending = -np.sort(-magnitudes, axis=0)
    kept = np.arange(1, len(filters) + 1)[:, np.newaxis]
    best = np.argmax(np.cumsum(descending, axis=0) / np.sqrt(kept), axis=0)
    threshold = descending[best, np.arange(filters.shape[1])]
    return np.where(magnitudes >= threshold, np.sign(filters), 0.0)


def _some_filters(measurement):
    """Yield groups with some of their filters, those that are finite and not zero."""
    groups, _, size = measurement.continuous.shape
    per_group = max(1, MOST_FILTERS // groups)
    for group in range(0, groups, math.ceil(groups / MOST_FILTERS)):
        chosen = np.unique(np.linspace(0, size - 1, per_group).astype(int))
        filters = measurement.continuous[group][:, chosen]
        usable = np.isfinite(filters).all(axis=0) & filters.any(axis=0)
        if usable.any():
            yield group, filters[:, usable]


def _correlations(filters, quantized, patches):
    return quadratic_correlations_from_samples(filters, quantized, patches)


def _mean(correlations):
    if not correlations:
        return None
    values = np.concatenate(correlations)
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else None

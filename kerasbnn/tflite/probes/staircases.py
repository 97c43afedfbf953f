"""Quantized weights as a function of the continuous ones, told by their values.

Whatever a quantizer is, sign, ternary or several bits, with a scale per filter or
without: where each weight is quantized by itself, its quantized value follows from a
few thresholds. A probe holds these in the place of a second kernel.
"""

from dataclasses import dataclass

import numpy as np

# Of the quantized values: each step is one comparison of all weights.
MOST_STEPS = 16

NO_STAIRCASE = (
    f"its quantized values do not follow from each weight by itself in at most "
    f"{MOST_STEPS} steps, as those in another basis or of many bits do not"
)

_LARGEST = np.finfo(np.float32).max


@dataclass(frozen=True, eq=False)
class Staircase:
    """Steps of one function of a weight for all filters, or of one for each.

    Attributes:
        thresholds: float32 `(steps - 1, 1)` or `(steps - 1, filters)`, ascending: where
            the next step begins.
        values: float32 `(steps, 1)` or `(steps, filters)`: quantized values.
    """

    thresholds: np.ndarray
    values: np.ndarray

    def __call__(self, weights):
        """Return quantized values.

        Args:
            weights: float32 `(filters, weights)`.

        Returns:
            Array of the same shape.
        """
        quantized = np.broadcast_to(self.values[-1][:, np.newaxis], weights.shape)
        for threshold, value in zip(
            self.thresholds[::-1], self.values[-2::-1], strict=True
        ):
            below = weights < threshold[:, np.newaxis]
            quantized = np.where(below, value[:, np.newaxis], quantized)
        return quantized


def find_staircase(continuous: np.ndarray, quantized: np.ndarray) -> Staircase | str:
    """Find the staircase that turns continuous weights into quantized ones.

    Args:
        continuous: float32 weights `(filters, weights)`.
        quantized: What they are quantized to, of the same shape.

    Returns:
        The staircase, exact at each of these weights; or why there is none.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.tflite.probes.staircases import find_staircase
        >>> weights = np.array([[-0.3, 0.0, 0.7]], np.float32)
        >>> steps = find_staircase(weights, np.where(weights < 0, -1, 1))
        >>> steps.thresholds.ravel(), steps.values.ravel()
        (array([0.], dtype=float32), array([-1.,  1.], dtype=float32))
    """
    quantized = quantized.astype(np.float32)
    if not (np.isfinite(continuous).all() and np.isfinite(quantized).all()):
        return "some of its weights are NaN or infinite"
    # Equal filters up to a scale share their thresholds.
    scale = np.abs(quantized).max(axis=1, keepdims=True)
    levels = quantized / np.where(scale > 0, scale, 1)
    steps = _steps(continuous.ravel(), levels.ravel())
    if len(steps) <= MOST_STEPS:
        found = _shared(steps, levels, quantized, scale)
        if _is_exact(found, continuous, quantized):
            return found
    by_filter = [_steps(*pair) for pair in zip(continuous, quantized, strict=True)]
    count = max(map(len, by_filter))
    if count > MOST_STEPS:
        return NO_STAIRCASE
    thresholds = np.full((count - 1, len(continuous)), _LARGEST, np.float32)
    values = np.zeros((count, len(continuous)), np.float32)
    for place, own in enumerate(by_filter):
        thresholds[: len(own) - 1, place] = [threshold for threshold, _ in own[1:]]
        values[:, place] = own[-1][1]
        values[: len(own), place] = [value for _, value in own]
    found = Staircase(thresholds, values)
    if not _is_exact(found, continuous, quantized):
        return NO_STAIRCASE
    return found


def _steps(weights, values):
    """Return where each run of equal values begins along the weights, and its value."""
    order = np.argsort(weights, kind="stable")
    weights, values = weights[order], values[order]
    starts = [0, *(np.flatnonzero(values[1:] != values[:-1]) + 1)]
    if len(starts) > MOST_STEPS:
        return [(0.0, 0.0)] * len(starts)
    steps = []
    for start in starts:
        threshold = weights[start]
        if start and weights[start - 1] < 0 <= threshold:
            # What quantizers mean, and no matter how small the smallest weight is.
            threshold = np.float32(0)
        steps.append((threshold, values[start]))
    return steps


def _shared(steps, levels, quantized, scale):
    thresholds = np.array([threshold for threshold, _ in steps[1:]], np.float32)
    values = np.empty((len(steps), len(levels)), np.float32)
    for place, (_, level) in enumerate(steps):
        is_here = levels == level
        own = quantized[np.arange(len(levels)), is_here.argmax(axis=1)]
        values[place] = np.where(is_here.any(axis=1), own, level * scale[:, 0])
    if (values == values[:, :1]).all():
        values = values[:, :1]
    return Staircase(thresholds[:, np.newaxis], values)


def _is_exact(staircase, continuous, quantized):
    return np.array_equal(staircase(continuous), quantized)

"""What lies between a dot product and a sign, as an exact threshold.

Between the two, each channel goes through a chain of float32 multiplications and
additions: a bias, batch normalization. Every rounded product with a constant and every
rounded sum with one is monotone, and so is the chain. So the sign changes at most once
along the integers that a dot product can be, and where it does is found by evaluating
the very expression that Keras evaluates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Step:
    """A float32 multiplication and addition for each channel, each rounded.

    Attributes:
        scale: Factors `(channels,)`, or None where nothing is multiplied.
        shift: Addends `(channels,)`, or None where nothing is added.
    """

    scale: np.ndarray | None
    shift: np.ndarray | None


def evaluate(steps: Sequence[Step], values: np.ndarray) -> np.ndarray:
    """Apply steps as TensorFlow does, operation by operation in float32.

    Args:
        steps: The steps, in order.
        values: Array `(..., channels)`.

    Returns:
        float32 array of the same shape.
    """
    y = np.asarray(values, np.float32)
    for step in steps:
        if step.scale is not None:
            y = _flushed(y * _flushed(step.scale))
        if step.shift is not None:
            y = _flushed(y + _flushed(step.shift))
    return y


def directions(steps: Sequence[Step], channels: int) -> np.ndarray:
    """Tell which way the steps go as the dot product grows.

    Args:
        steps: The steps, in order.
        channels: Number of channels.

    Returns:
        int array `(channels,)`: 1 where they grow or stay, -1 where they fall.
    """
    falls = np.zeros(channels, bool)
    for step in steps:
        if step.scale is not None:
            falls ^= step.scale < 0
    return np.where(falls, -1, 1)


def thresholds(
    steps: Sequence[Step], channels: int, largest: int
) -> tuple[np.ndarray, np.ndarray]:
    """Find the scale and bias whose sign is that of the steps, at every integer.

    Args:
        steps: The steps, in order.
        channels: Number of channels.
        largest: Largest magnitude of a dot product, its fan-in.

    Returns:
        float32 scale of -1 and 1, and float32 bias, an integer and a half, both
        `(channels,)`: `scale * dot + bias` is negative where the steps' value is, is
        never 0, and is exact.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.tflite.thresholds import Step, thresholds
        >>> step = Step(np.array([0.5], "float32"), np.array([-1.6], "float32"))
        >>> scale, bias = thresholds([step], 1, 9)
        >>> scale.tolist(), bias.tolist()
        ([1.0], [-3.5])
    """
    scale = directions(steps, channels)
    # The first place, counted along the direction of growth, where it is not negative.
    first = np.full(channels, -largest)
    last = np.full(channels, largest + 1)
    while (first < last).any():
        middle = (first + last) // 2
        is_negative = evaluate(steps, scale * middle) < 0
        is_open = first < last
        first = np.where(is_open & is_negative, middle + 1, first)
        last = np.where(is_open & ~is_negative, middle, last)
    return scale.astype(np.float32), (0.5 - first).astype(np.float32)


def _flushed(y):
    # TensorFlow has the processor take subnormal numbers for 0.
    return np.where(np.abs(y) < np.finfo(np.float32).tiny, np.float32(0), y)

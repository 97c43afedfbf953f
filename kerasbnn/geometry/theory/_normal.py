"""The standard normal distribution on arrays, without a dependency on scipy."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray


def normal_density(x: ArrayLike) -> NDArray[np.float64]:
    """Density of the standard normal distribution.

    `phi(x) = exp(-x^2 / 2) / sqrt(2 pi)`.

    Args:
        x: Real array.

    Returns:
        Float64 array of the same shape.

    Example:
        >>> from kerasbnn.geometry.theory._normal import normal_density
        >>> round(float(normal_density(0.0)), 6)
        0.398942

    Reference:
        Abramowitz & Stegun, Handbook of Mathematical Functions, 26.2.1.
    """
    # From 40 on it is too small for a float, and the square may be too large for one.
    x = np.minimum(np.abs(np.asarray(x, dtype=np.float64)), 40.0)
    return np.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)


def normal_upper_tail(x: ArrayLike) -> NDArray[np.float64]:
    """Probability that a standard normal number is greater than `x`.

    `Q(x) = erfc(x / sqrt(2)) / 2`, with all digits in the tail as well.

    Args:
        x: Real array.

    Returns:
        Float64 array of the same shape.

    Example:
        >>> from kerasbnn.geometry.theory._normal import normal_upper_tail
        >>> round(float(normal_upper_tail(1.0)), 6)
        0.158655

    Reference:
        Abramowitz & Stegun, Handbook of Mathematical Functions, 26.2.3 and 26.2.29.
    """
    x = np.asarray(x, dtype=np.float64)
    # numpy has no error function; the arrays here are short.
    tails = [0.5 * math.erfc(value) for value in (x / math.sqrt(2)).ravel().tolist()]
    return np.array(tails, dtype=np.float64).reshape(x.shape)


def normal_hazard(x: ArrayLike) -> NDArray[np.float64]:
    """Density over upper tail, `phi(x) / Q(x)`, of the standard normal distribution.

    Args:
        x: Real array of numbers from 0 on.

    Returns:
        Float64 array of the same shape; about `x + 1 / x` for large `x`, where density
        and tail are too small for a float.

    Example:
        >>> from kerasbnn.geometry.theory._normal import normal_hazard
        >>> round(float(normal_hazard(100.0)), 6)
        100.009998

    Reference:
        Abramowitz & Stegun, Handbook of Mathematical Functions, 26.2.14: Laplace's
        continued fraction.
    """
    x = np.asarray(x, dtype=np.float64)
    near = np.minimum(x, 8.0)
    direct = normal_density(near) / normal_upper_tail(near)
    # 40 terms give all digits from 8 on.
    fraction = far = np.maximum(x, 8.0)
    for k in range(40, 0, -1):
        fraction = far + k / fraction
    return np.where(x < 8.0, direct, fraction)

"""Exact moments of the cosine between a vector and its sign, for any shape."""

import math

import numpy as np

from kerasbnn.geometry.theory.component_shapes import ComponentShape

# From here on the terms of the next order in 1 / d are smaller than what is lost in
# the difference of the two moments.
_MANY_DIMENSIONS = 10**6


def cosine_moments(dimensions: int, shape: ComponentShape) -> tuple[float, float]:
    """Mean and variance of the cosine between a vector and its sign.

    With `S = sum of w_i^2`, `A(t) = E |w| exp(-t w^2)` and `L(t) = E exp(-t w^2)` the
    power `S^(-1/2)` is an integral of `exp(-t S)` over `t`, in which the expectation
    over `d` independent components is a product:

    - `E cos = sqrt(d / pi) * integral of t^(-1/2) A(t) L(t)^(d - 1) dt`
    - `E cos^2 = 1 / d + (d - 1) * integral of A(t)^2 L(t)^(d - 2) dt`

    Args:
        dimensions: Number of components `d`, from 2 on.
        shape: The law of the components. Vectors of zeros, which have no angle, are
            left out.

    Returns:
        Mean and variance.

    Example:
        >>> from kerasbnn.geometry.theory import component_shape
        >>> from kerasbnn.geometry.theory._cosine_moments import cosine_moments
        >>> mean, variance = cosine_moments(27, component_shape("gaussian"))
        >>> round(mean, 6), round(variance**0.5, 6)
        (0.805305, 0.039524)

    Reference:
        Derived here from `cos = mean |w| / sqrt(mean w^2)` and the integral of the
        gamma function; for the Gaussian it gives the form of Anderson & Berg, arXiv
        1705.07199, the angle preservation property.
    """
    d, limit = dimensions, shape.limit_cosine
    if d >= _MANY_DIMENSIONS:
        return limit + shape.cosine_shift / d, shape.cosine_variance / d
    a, p = shape.magnitudes, shape.probabilities
    # The trapezoidal rule in the logarithm of `t d`, where both integrands are analytic
    # and die out on both sides, is exact to rounding with this step and these ends.
    step = 0.25
    t = np.exp(np.arange(-76.0, 44.0, step)) / d
    exponents = -np.outer(t, a**2)
    mean_a = np.exp(exponents) @ (p * a)
    # L is close to 1 where it counts, so its logarithm is taken from its distance to 1;
    # where it is too small for a float, any number that is small enough will do.
    log_l = np.log1p(np.maximum(np.expm1(exponents) @ p, np.nextafter(-1.0, 0.0)))
    first = np.sqrt(t) * mean_a * np.exp((d - 1) * log_l)
    second = t * mean_a**2 * np.exp((d - 2) * log_l)
    some = 1 - float(np.sum(p[a == 0])) ** d
    mean = math.sqrt(d / math.pi) * step * float(np.sum(first)) / some
    square = 1 / d + (d - 1) * step * float(np.sum(second)) / some
    # Rounding must not push them out of their ranges.
    return min(mean, 1.0), max(square - mean**2, 0.0)

"""What the angle between a random vector and its sign is expected to be.

A vector of `dimensions` independent Gaussian components stands for any law without a
preferred direction; for components of another law there is `shape`. For a filter,
`dimensions` is its fan-in.
"""

import math

from kerasbnn.geometry.theory._arguments import checked_dimensions
from kerasbnn.geometry.theory._cosine_moments import cosine_moments
from kerasbnn.geometry.theory._gamma import log_gamma_ratio
from kerasbnn.geometry.theory.component_shapes import (
    ComponentShape,
    ShapeName,
    component_shape,
)

LIMIT_COSINE = math.sqrt(2 / math.pi)
"""Cosine between a Gaussian vector and its sign, in infinitely many dimensions."""

LIMIT_ANGLE_DEGREES = math.degrees(math.acos(LIMIT_COSINE))
"""The angle of that cosine: 37.07 degrees."""


def expected_cosine(
    dimensions: int, shape: ShapeName | ComponentShape = "gaussian"
) -> float:
    """Mean cosine of the angle between a random vector and its sign.

    For Gaussian components `E[cos] = sqrt(d / pi) Gamma(d / 2) / Gamma((d + 1) / 2)`,
    exact for every `d`, and about `sqrt(2 / pi) (1 + 1 / (4 d))`. For other shapes the
    integral `sqrt(d / pi) int t^(-1/2) E[|w| exp(-t w^2)] E[exp(-t w^2)]^(d - 1) dt`,
    which is exact as well.

    Args:
        dimensions: Number of components `d`, from 1 on.
        shape: Law of the components: a name that `component_shape` knows, or a
            `ComponentShape`.

    Returns:
        Float from 1 (one dimension) to the limit, which is `sqrt(2 / pi)` for the
        Gaussian.

    Raises:
        ValueError: `dimensions` is less than 1, or the shape is not known.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry import expected_cosine
        >>> round(expected_cosine(27), 6)
        0.805305

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angle preservation property; the form for
        finite `d` is the mean of one coordinate of a random direction.
    """
    return _mean_and_variance(checked_dimensions(dimensions), shape)[0]


def expected_squared_cosine(dimensions: int) -> float:
    """Mean squared cosine of the angle between a Gaussian vector and its sign.

    `E[cos^2] = 2/pi + (1 - 2/pi) / d`, exact for every `d`.

    Args:
        dimensions: Number of components `d`, from 1 on.

    Returns:
        Float from 1 (one dimension) down to `2 / pi` (the limit).

    Raises:
        ValueError: `dimensions` is less than 1.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import expected_squared_cosine
        >>> round(expected_squared_cosine(27), 6)
        0.650078

    Reference:
        Derived from the angle preservation property of Anderson & Berg, arXiv
        1705.07199: of the `d^2` products of two components of a random direction, `d`
        have the mean `1 / d` and the others, in magnitude, `2 / (pi d)`.
    """
    return 2 / math.pi + (1 - 2 / math.pi) / checked_dimensions(dimensions)


def cosine_variance(
    dimensions: int, shape: ShapeName | ComponentShape = "gaussian"
) -> float:
    """Variance of the cosine between a random vector and its sign.

    The square of `cosine_standard_deviation`, which has the equations.

    Args:
        dimensions: Number of components `d`, from 1 on.
        shape: Law of the components: a name that `component_shape` knows, or a
            `ComponentShape`.

    Returns:
        Float from 0 on.

    Raises:
        ValueError: `dimensions` is less than 1, or the shape is not known.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import cosine_variance
        >>> round(cosine_variance(1000) * 1000, 5)  # about 1 - 3 / pi
        0.04499

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angle preservation property.
    """
    return _mean_and_variance(checked_dimensions(dimensions), shape)[1]


def cosine_standard_deviation(
    dimensions: int, shape: ShapeName | ComponentShape = "gaussian"
) -> float:
    """Standard deviation of the cosine between a random vector and its sign.

    For Gaussian components `Var[cos] = 2/pi + (1 - 2/pi) / d - E[cos]^2`, exact for
    every `d`, and about `(1 - 3/pi) / d` for many dimensions. For other shapes the mean
    square is `1 / d + (d - 1) int E[|w| exp(-t w^2)]^2 E[exp(-t w^2)]^(d - 2) dt`.

    Args:
        dimensions: Number of components `d`, from 1 on.
        shape: Law of the components: a name that `component_shape` knows, or a
            `ComponentShape`.

    Returns:
        Float from 0 on.

    Raises:
        ValueError: `dimensions` is less than 1, or the shape is not known.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry import cosine_standard_deviation
        >>> round(cosine_standard_deviation(27), 6)
        0.039524

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angle preservation property.
    """
    return math.sqrt(_mean_and_variance(checked_dimensions(dimensions), shape)[1])


def expected_angle_degrees(
    dimensions: int, shape: ShapeName | ComponentShape = "gaussian"
) -> float:
    """Mean angle between a random vector and its sign.

    The arccos of the mean cosine with the correction of second order for its variance;
    for Gaussian components about `37.07 - 23.66 / d`. Exact for `d = 1` and in the
    limit. For the Gaussian it is too large by 0.9 degrees at `d = 2`, 0.04 at `d = 8`
    and under 0.005 from `d = 27` on; for the other named shapes by up to 1.1, 0.07 and
    0.01 degrees.

    Args:
        dimensions: Number of components `d`, from 1 on.
        shape: Law of the components: a name that `component_shape` knows, such as
            "uniform" for a kernel that has just been initialised, or a
            `ComponentShape`, such as `sample_shape(kernel)`.

    Returns:
        Float from 0 (one dimension) to the limit (37.07 for the Gaussian), in degrees.

    Raises:
        ValueError: `dimensions` is less than 1, or the shape is not known.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry import expected_angle_degrees
        >>> round(expected_angle_degrees(4608), 3)
        37.066
        >>> round(expected_angle_degrees(4608, "uniform"), 3)
        29.998

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angle preservation property.
    """
    d = checked_dimensions(dimensions)
    if d == 1:
        return 0.0
    mean, variance = _mean_and_variance(d, shape)
    sine_squared = 1 - mean**2
    if sine_squared < _SMALL_SINE_SQUARED:
        # The difference has no digits left: the first order in 1 / d, as of the shape.
        shape = component_shape(shape)
        angle = shape.limit_angle_degrees + shape.angle_shift_degrees / d
        return max(0.0, angle)
    curvature = -mean / sine_squared**1.5
    return math.degrees(math.acos(mean) + curvature / 2 * variance)


def angle_standard_deviation_degrees(
    dimensions: int, shape: ShapeName | ComponentShape = "gaussian"
) -> float:
    """Standard deviation of the angle between a random vector and its sign.

    The deviation of the cosine over the slope of the arccos at its mean; about
    `20.18 / sqrt(d)` for Gaussian components. Exact for `d = 1`; too small by 11 % at
    `d = 2`, 1.7 % at `d = 8` and under 0.3 % from `d = 27` on; for the other named
    shapes by up to 15 %, 3.5 % and 1 %. The mean over `n` filters deviates by this over
    `sqrt(n)`.

    Args:
        dimensions: Number of components `d`, from 1 on.
        shape: Law of the components: a name that `component_shape` knows, or a
            `ComponentShape`.

    Returns:
        Float from 0 on, in degrees.

    Raises:
        ValueError: `dimensions` is less than 1, or the shape is not known.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry import angle_standard_deviation_degrees
        >>> round(angle_standard_deviation_degrees(4608), 3)
        0.297

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angle preservation property: the
        deviation falls as `d**-0.5`.
    """
    d = checked_dimensions(dimensions)
    if d == 1:
        return 0.0
    mean, variance = _mean_and_variance(d, shape)
    sine_squared = 1 - mean**2
    if sine_squared < _SMALL_SINE_SQUARED:
        return component_shape(shape).angle_deviation_degrees / math.sqrt(d)
    return math.degrees(math.sqrt(variance / sine_squared))


# Angles of less than 0.006 degrees.
_SMALL_SINE_SQUARED = 1e-8


def _mean_and_variance(
    d: int, shape: ShapeName | ComponentShape
) -> tuple[float, float]:
    """Return both moments of the cosine."""
    shape = component_shape(shape)
    if d == 1:
        return 1.0, 0.0
    if shape is not component_shape("gaussian"):
        return cosine_moments(d, shape)
    log_excess = log_gamma_ratio(d)
    # E[cos]^2 less its limit 2/pi, without the cancellation of two close numbers.
    excess = (2 / math.pi) * math.expm1(2 * log_excess)
    variance = (1 - 2 / math.pi) / d - excess
    return LIMIT_COSINE * math.exp(log_excess), variance

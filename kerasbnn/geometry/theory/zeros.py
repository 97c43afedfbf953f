"""What numbers that are exactly zero do: in weights, and in binary dot products."""

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry.theory._arguments import checked_array, checked_dimensions
from kerasbnn.geometry.theory._gamma import log_gamma_ratio
from kerasbnn.geometry.theory.component_shapes import (
    ComponentShape,
    ShapeName,
    component_shape,
)
from kerasbnn.geometry.theory.expected_angles import LIMIT_COSINE


def angle_with_zeros_degrees(
    zero_fraction: ArrayLike,
    sign_of_zero: Literal[0, 1] = 1,
    shape: ShapeName | ComponentShape = "gaussian",
) -> NDArray[np.float64]:
    """Angle between a vector with exact zeros and its sign, in many dimensions.

    With the fraction `p` of zeros and the cosine `c` of the other components alone, the
    cosine is `c sqrt(1 - p)` where the sign of 0 is 1 (or -1), and `c` where it is 0,
    as in numpy.

    Args:
        zero_fraction: Fractions `p` of zeros, from 0 to less than 1.
        sign_of_zero: What the sign of 0 is: 1, as everywhere in this library, or 0.
        shape: Law of the components that are not zero.

    Returns:
        Float64 array of the shape of `zero_fraction`, in degrees from 0 to 90.

    Raises:
        ValueError: A fraction is out of range, the sign is neither 0 nor 1, or the
            shape is not known.

    Example:
        >>> from kerasbnn.geometry.theory import angle_with_zeros_degrees
        >>> angle_with_zeros_degrees([0.0, 0.5, 0.9]).round(2)
        array([37.07, 55.65, 75.39])
        >>> angle_with_zeros_degrees([0.0, 0.5, 0.9], sign_of_zero=0).round(2)
        array([37.07, 37.07, 37.07])

    Reference:
        Derived from `cos = mean |w| / sqrt(mean w^2)`, after Anderson & Berg, arXiv
        1705.07199, the angle preservation property.
    """
    p = checked_array("zero_fraction", zero_fraction, 0, 1, open_high=True)
    if sign_of_zero not in (0, 1):
        raise ValueError(f"`sign_of_zero` must be 0 or 1. Received: {sign_of_zero!r}.")
    angle = math.radians(component_shape(shape).limit_angle_degrees)
    sine, cosine = math.sin(angle), math.cos(angle)
    lost = p * sign_of_zero
    # By sine and cosine, since the arccos alone has few digits near 0 degrees.
    return np.degrees(
        np.arctan2(np.sqrt(sine**2 + lost * cosine**2), cosine * np.sqrt(1 - lost))
    )


def largest_angle_degrees(dimensions: int) -> float:
    """Largest angle that any vector can make with its sign.

    `arccos(1 / sqrt(d))`, of a vector with one component other than zero, where the
    sign of 0 is 1 (or -1). Where it is 0, that vector has the angle 0.

    Args:
        dimensions: Number of components `d`, from 1 on.

    Returns:
        Float from 0 (one dimension) to 90, in degrees.

    Raises:
        ValueError: `dimensions` is less than 1.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import largest_angle_degrees
        >>> round(largest_angle_degrees(27), 2)
        78.9

    Reference:
        `|w|_1 >= |w|_2` in the cosine of Anderson & Berg, arXiv 1705.07199, the angle
        preservation property.
    """
    return math.degrees(math.atan(math.sqrt(checked_dimensions(dimensions) - 1)))


def tie_probability(dimensions: int) -> float:
    """Probability that the dot product of two random sign vectors is exactly zero.

    `P = binomial(d, d / 2) / 2^d` for even `d`, 0 for odd `d`. There the sign of 0
    decides, and has to be the same in training and in deployment.

    Args:
        dimensions: Number of components `d`, from 1 on: independent fair signs.

    Returns:
        Float from 0 to 0.5.

    Raises:
        ValueError: `dimensions` is less than 1.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import tie_probability
        >>> round(tie_probability(1152), 4), tie_probability(27)
        (0.0235, 0.0)

    Reference:
        The binomial distribution. In gamma functions it is the mean cosine of a
        Gaussian vector of `d + 1` components and its sign over `sqrt(d + 1)`.
    """
    d = checked_dimensions(dimensions)
    if d % 2:
        return 0.0
    return LIMIT_COSINE * math.exp(log_gamma_ratio(d + 1)) / math.sqrt(d + 1)


def asymptotic_tie_probability(dimensions: int) -> float:
    """Probability of a tie between two random sign vectors, for many dimensions.

    `sqrt(2 / (pi d))` for even `d`, too large by one part in `4 d`; 0 for odd `d`.

    Args:
        dimensions: Number of components `d`, from 1 on.

    Returns:
        Float from 0 on.

    Raises:
        ValueError: `dimensions` is less than 1.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import asymptotic_tie_probability
        >>> round(asymptotic_tie_probability(1152), 4)
        0.0235

    Reference:
        Stirling's formula in the binomial coefficient (de Moivre, 1733).
    """
    d = checked_dimensions(dimensions)
    return 0.0 if d % 2 else LIMIT_COSINE / math.sqrt(d)

"""What signs keep of the angle between two vectors, and of the sign of a number."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry.theory._arguments import checked_array
from kerasbnn.geometry.theory.expected_angles import LIMIT_COSINE

# Correlations that were computed may be beyond 1 by their rounding.
_ROUNDING = 1e-9


def sign_disagreement_probability(correlation: ArrayLike) -> NDArray[np.float64]:
    """Probability that two centred, jointly Gaussian numbers differ in sign.

    `P = arccos(r) / pi`. For dot products with continuous and with binary weights it is
    the fraction of activations that flip.

    Args:
        correlation: Their correlation `r`, from -1 to 1.

    Returns:
        Float64 array of the shape of `correlation`, from 0 to 1.

    Raises:
        ValueError: A correlation is out of range, or NaN.

    Example:
        >>> from kerasbnn.geometry.theory import sign_disagreement_probability
        >>> sign_disagreement_probability([0.5, 0.7979, 1.0]).round(3)
        array([0.333, 0.206, 0.   ])

    Reference:
        Sheppard's formula for the quadrants of the bivariate normal distribution
        (Sheppard, 1899), for the shaded quadrants of the figures of Anderson & Berg,
        arXiv 1705.07199.
    """
    r = checked_array("correlation", correlation, -1 - _ROUNDING, 1 + _ROUNDING)
    return np.arccos(np.clip(r, -1.0, 1.0)) / math.pi


def bit_disagreement_probability(angle_degrees: ArrayLike) -> NDArray[np.float64]:
    """Fraction of the signs in which two random vectors at an angle differ.

    `P = phi / pi` for vectors without a preferred direction.

    Args:
        angle_degrees: Angle `phi` between the vectors, from 0 to 180.

    Returns:
        Float64 array of the shape of `angle_degrees`, from 0 to 1.

    Raises:
        ValueError: An angle is out of range, or NaN.

    Example:
        >>> from kerasbnn.geometry.theory import bit_disagreement_probability
        >>> float(bit_disagreement_probability(45.0))
        0.25

    Reference:
        Goemans & Williamson, Improved approximation algorithms for maximum cut, 1995,
        lemma 3.2: a random plane separates two vectors with this probability.
    """
    return checked_array("angle_degrees", angle_degrees, 0, 180) / 180


def sign_vectors_cosine(angle_degrees: ArrayLike) -> NDArray[np.float64]:
    """Cosine between the signs of two random vectors at an angle.

    `cos(sign u, sign v) = (2 / pi) arcsin(cos phi) = 1 - 2 phi / pi` in many
    dimensions; its mean in any number of them.

    Args:
        angle_degrees: Angle `phi` between `u` and `v`, from 0 to 180.

    Returns:
        Float64 array of the shape of `angle_degrees`, from -1 to 1.

    Raises:
        ValueError: An angle is out of range, or NaN.

    Example:
        >>> from kerasbnn.geometry.theory import sign_vectors_cosine
        >>> float(sign_vectors_cosine(45.0))
        0.5

    Reference:
        Grothendieck's identity (Grothendieck, 1953), for the signs of both operands in
        Anderson & Berg, arXiv 1705.07199.
    """
    return 1 - 2 * bit_disagreement_probability(angle_degrees)


def sign_vectors_angle_degrees(angle_degrees: ArrayLike) -> NDArray[np.float64]:
    """Angle between the signs of two random vectors at an angle.

    The arccos of `sign_vectors_cosine`. It is nearer to 90 degrees than `phi` is, but
    for 0, 90 and 180 degrees, which stay.

    Args:
        angle_degrees: Angle `phi` between `u` and `v`, from 0 to 180.

    Returns:
        Float64 array of the shape of `angle_degrees`, in degrees.

    Raises:
        ValueError: An angle is out of range, or NaN.

    Example:
        >>> from kerasbnn.geometry.theory import sign_vectors_angle_degrees
        >>> sign_vectors_angle_degrees([15.0, 45.0, 90.0]).round(2)
        array([33.56, 60.  , 90.  ])

    Reference:
        Grothendieck's identity (Grothendieck, 1953).
    """
    return np.degrees(np.arccos(sign_vectors_cosine(angle_degrees)))


def sign_and_vector_cosine(angle_degrees: ArrayLike) -> NDArray[np.float64]:
    """Cosine between the signs of one random vector and another vector at an angle.

    `cos(sign u, v) = sqrt(2 / pi) cos phi` in many dimensions.

    Args:
        angle_degrees: Angle `phi` between `u` and `v`, from 0 to 180.

    Returns:
        Float64 array of the shape of `angle_degrees`, from -0.798 to 0.798.

    Raises:
        ValueError: An angle is out of range, or NaN.

    Example:
        >>> from kerasbnn.geometry.theory import sign_and_vector_cosine
        >>> round(float(sign_and_vector_cosine(60.0)), 4)
        0.3989

    Reference:
        Derived from the angle preservation property of Anderson & Berg, arXiv
        1705.07199: the part of `sign u` that is not along `u` is orthogonal to `v`.
    """
    angle = checked_array("angle_degrees", angle_degrees, 0, 180)
    # The sine of the difference to 90 degrees, which is exactly 0 there.
    return LIMIT_COSINE * np.sin(np.radians(90 - angle))

"""The angle between two random vectors: what "by chance" means in `d` dimensions."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry.theory._arguments import checked_array, checked_dimensions
from kerasbnn.geometry.theory._gamma import log_gamma_ratio, trigamma

CHANCE_ANGLE_DEGREES = 90.0
"""Mean angle between two random vectors, in any number of dimensions."""


def chance_angle_standard_deviation_degrees(dimensions: int) -> float:
    """Standard deviation of the angle between two random vectors.

    `sd = sqrt(psi'(d / 2) / 2)` radians with the trigamma function `psi'`, exact for
    every `d`, and about `57.3 / sqrt(d)` degrees.

    Args:
        dimensions: Number of components `d`, from 1 on. At least one of the vectors has
            no preferred direction, as a Gaussian one has not.

    Returns:
        Float in degrees, from 90 (one dimension) down to 0.

    Raises:
        ValueError: `dimensions` is less than 1.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import chance_angle_standard_deviation_degrees
        >>> round(chance_angle_standard_deviation_degrees(27), 2)
        11.23

    Reference:
        Derived from the density `sin^(d-2)` of the angle, with which Anderson & Berg,
        arXiv 1705.07199, compare the angle preservation property: integration by parts
        gives `Var(d) = Var(d - 2) - 2 / (d - 2)^2`, whose sum is the trigamma function.
    """
    return math.degrees(math.sqrt(trigamma(checked_dimensions(dimensions) / 2) / 2))


def chance_cosine_standard_deviation(dimensions: int) -> float:
    """Standard deviation of the cosine between two random vectors.

    `sd = 1 / sqrt(d)`, exact for every `d`, around the mean 0: for vectors without a
    preferred direction, and for vectors of independent fair signs.

    Args:
        dimensions: Number of components `d`, from 1 on.

    Returns:
        Float from 1 (one dimension) down to 0.

    Raises:
        ValueError: `dimensions` is less than 1.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import chance_cosine_standard_deviation
        >>> chance_cosine_standard_deviation(64)
        0.125

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angles between random binary vectors. The
        square of a coordinate of a random direction has the mean `1 / d`, and so has
        the squared mean of `d` independent signs.
    """
    return 1 / math.sqrt(checked_dimensions(dimensions))


def chance_angle_density_per_degree(
    dimensions: int, angle_degrees: ArrayLike
) -> NDArray[np.float64]:
    """Probability density of the angle between two random vectors.

    `f(theta) = sin(theta)^(d - 2) / B((d - 1) / 2, 1/2)` per radian, with the beta
    function `B`.

    Args:
        dimensions: Number of components `d`, from 2 on: in one dimension the angle is
            either 0 or 180 degrees.
        angle_degrees: Angles from 0 to 180.

    Returns:
        Float64 array of the shape of `angle_degrees`, in probability per degree.

    Raises:
        ValueError: `dimensions` is less than 2, or an angle is out of range.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import chance_angle_density_per_degree
        >>> chance_angle_density_per_degree(27, [37.07, 90.0]).round(6)
        array([0.      , 0.035164])

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angles between random vectors; the area
        of the zone of a sphere at one latitude.
    """
    d = checked_dimensions(dimensions, minimum=2)
    angle = checked_array("angle_degrees", angle_degrees, 0, 180)
    sine, _ = _sine_and_cosine(angle)
    return np.radians(sine ** (d - 2) * math.exp(-_log_beta(d)))


def chance_angle_log10_probability(
    dimensions: int, angle_degrees: ArrayLike
) -> NDArray[np.float64]:
    """Logarithm of the probability that two random vectors are as close as that.

    `P(angle <= theta) = I((d - 1) / 2, 1/2; sin^2 theta) / 2` up to 90 degrees, with
    the regularised incomplete beta function `I`, and one less that of `180 - theta`
    beyond.
    It is computed from its logarithm, so that no probability is too small.

    Args:
        dimensions: Number of components `d`, from 1 on.
        angle_degrees: Angles `theta` from 0 to 180.

    Returns:
        Float64 array of the shape of `angle_degrees`: logarithms to the base of 10,
        from minus infinity (0 degrees, from two dimensions on) to 0 (180 degrees), with
        an error of less than one part in 1e8 up to a hundred million dimensions.

    Raises:
        ValueError: `dimensions` is less than 1, or an angle is out of range.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import chance_angle_log10_probability
        >>> round(float(chance_angle_log10_probability(4608, 37.0714)), 1)
        -1014.8

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angles between random vectors. The
        integral of their density is the incomplete beta function (Abramowitz & Stegun,
        Handbook of Mathematical Functions, 26.5), computed by its series and by its
        continued fraction, 26.5.4 and 26.5.8.
    """
    d = checked_dimensions(dimensions)
    angle = checked_array("angle_degrees", angle_degrees, 0, 180)
    if d == 1:
        log_p = np.where(angle < 180, -math.log(2), 0.0)
        return log_p / math.log(10)
    log_tail = _log_tail(d, *_sine_and_cosine(angle))
    # Beyond 90 degrees the complement, which is never less than a half.
    log_p = np.where(angle <= 90, log_tail, np.log1p(-np.exp(log_tail)))
    # Adding 0 makes the zeros positive.
    return log_p / math.log(10) + 0.0


def _sine_and_cosine(
    angle_degrees: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sine and magnitude of the cosine, exact at 0, 90 and 180 degrees."""
    acute = np.radians(np.minimum(angle_degrees, 180 - angle_degrees))
    obtuse = np.radians(90 - np.minimum(angle_degrees, 180 - angle_degrees))
    return np.sin(acute), np.sin(obtuse)


def _log_beta(d: int) -> float:
    """Logarithm of `B((d - 1) / 2, 1/2)`."""
    return log_gamma_ratio(d - 1) + 0.5 * math.log(2 * math.pi / (d - 1))


def _log_tail(
    d: int, sine: NDArray[np.float64], cosine: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Logarithm of the probability of one cap of the sphere, up to a half."""
    a = (d - 1) / 2
    # The logarithm of the sine has more digits from the smaller one of the two.
    with np.errstate(divide="ignore"):
        log_sine = np.where(cosine < 0.5, 0.5 * np.log1p(-(cosine**2)), np.log(sine))
    log_common = 2 * a * log_sine + np.log(np.maximum(cosine, 1e-300)) - _log_beta(d)
    # Near 90 degrees what lies between the cap and the equator, by its series; that has
    # few terms here, and no digit of note is lost in the difference.
    near = (cosine**2 * (a + 0.5) <= 2.0) & (cosine <= 0.5)
    between = np.exp(log_common[near]) * 2 * _series(a, cosine[near] ** 2)
    log_tail = np.empty_like(log_sine)
    log_tail[near] = np.log1p(-between) - math.log(2)
    # Farther off the cap itself, by the continued fraction.
    far = ~near
    fraction = _continued_fraction(a, sine[far] ** 2)
    log_tail[far] = log_common[far] + np.log(fraction) - math.log(2 * a)
    return log_tail


def _series(a: float, y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum over `k` of `(a + 1/2)_k / (3/2)_k y^k`, whose terms are all positive."""
    term = total = np.ones_like(y)
    k = 0
    while np.any(term > 1e-17 * total):
        term = term * y * (a + 0.5 + k) / (1.5 + k)
        total = total + term
        k += 1
    return total


def _continued_fraction(a: float, x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Continued fraction of the incomplete beta function `I(a, 1/2; x)`.

    By the modified method of Lentz (Press et al., Numerical Recipes, 5.2 and 6.4).
    """
    b = 0.5
    c = np.ones_like(x)
    d = 1 / (1 - (a + b) * x / (a + 1))
    value = d
    m = 0
    change = np.zeros_like(x)
    while np.any(np.abs(change - 1) > 1e-15):
        m += 1
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        d, c = 1 / (1 + even * d), 1 + even / c
        value = value * d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d, c = 1 / (1 + odd * d), 1 + odd / c
        change = d * c
        value = value * change
    return value

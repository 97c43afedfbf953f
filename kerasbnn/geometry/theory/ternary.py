"""The angle between a random vector and its ternary version of -1, 0 and 1.

A component stays as its sign where its magnitude is greater than the threshold, and
becomes 0 elsewhere. Thresholds count in standard deviations of the components.
"""

import math
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry.theory._arguments import checked_array, checked_dimensions
from kerasbnn.geometry.theory._normal import (
    normal_density,
    normal_hazard,
    normal_upper_tail,
)
from kerasbnn.geometry.theory.component_shapes import component_shape

TernaryShape = Literal["gaussian", "uniform", "laplace"]
"""Shapes whose ternary forms are known."""

_FEWEST_LEFT = 8


def ternary_cosine(
    threshold_sigmas: ArrayLike, shape: TernaryShape = "gaussian"
) -> NDArray[np.float64]:
    """Cosine between a random vector and its ternary version, in many dimensions.

    `cos = E[|w|; |w| > t] / sqrt(P(|w| > t))` for components of unit variance:

    - Gaussian: `2 phi(t) / sqrt(2 Q(t))`, with the density `phi` and the upper tail `Q`
      of the standard normal distribution;
    - uniform: `(3 - t^2) / (2 sqrt(3 - sqrt(3) t))`;
    - Laplace: `(t + 1 / sqrt(2)) exp(-t / sqrt(2))`.

    Args:
        threshold_sigmas: Thresholds `t` from 0 on, in standard deviations.
        shape: Law of the components: "gaussian", "uniform" or "laplace".

    Returns:
        Float64 array of the shape of `threshold_sigmas`; 0, its limit, where no
        component is left.

    Raises:
        ValueError: A threshold is negative or not finite, or the shape is not known.

    Example:
        >>> from kerasbnn.geometry.theory import ternary_cosine
        >>> ternary_cosine([0.0, 0.612]).round(4)
        array([0.7979, 0.8999])

    Reference:
        Anderson & Berg, arXiv 1705.07199 and its ICLR 2018 version, the generalisation
        to ternary weights; for the other shapes the same integrals.
    """
    t = _checked_thresholds(threshold_sigmas, shape)
    if shape == "gaussian":
        # With the hazard phi / Q, as density and tail are soon too small for a float.
        return np.sqrt(2 * normal_density(t) * normal_hazard(t))
    if shape == "uniform":
        # The factor sqrt(3) - t of the numerator and its root below are divided out.
        root = math.sqrt(3)
        return np.sqrt(np.maximum(root - t, 0.0) / root) * (root + t) / 2
    return (t + math.sqrt(0.5)) * np.exp(-t * math.sqrt(0.5))


def ternary_angle_degrees(
    threshold_sigmas: ArrayLike, shape: TernaryShape = "gaussian"
) -> NDArray[np.float64]:
    """Angle between a random vector and its ternary version, in many dimensions.

    The arccos of `ternary_cosine`, which has the equations. Mean and deviation for a
    finite number of dimensions are in `expected_ternary_angle_degrees` and
    `ternary_angle_standard_deviation_degrees`.

    Args:
        threshold_sigmas: Thresholds from 0 on, in standard deviations of the
            components. A threshold in mean magnitudes, such as the 0.7 of ternary
            weight networks, is to be multiplied by the `limit_cosine` of the
            `component_shape`.
        shape: Law of the components: "gaussian", "uniform" or "laplace".

    Returns:
        Float64 array of the shape of `threshold_sigmas`, in degrees from 0 to 90.

    Raises:
        ValueError: A threshold is negative or not finite, or the shape is not known.

    Example:
        >>> from kerasbnn.geometry.theory import component_shape, ternary_angle_degrees
        >>> ternary_angle_degrees([0.0, 0.1, 0.612]).round(2)
        array([37.07, 34.15, 25.85])
        >>> rule = 0.7 * component_shape("uniform").limit_cosine
        >>> round(float(ternary_angle_degrees(rule, "uniform")), 2)
        19.51

    Reference:
        Anderson & Berg, arXiv 1705.07199 and its ICLR 2018 version, the generalisation
        to ternary weights. The rule of 0.7 is that of Li & Liu, arXiv 1605.04711.
    """
    return np.degrees(np.arccos(ternary_cosine(threshold_sigmas, shape)))


def ternary_zero_fraction(
    threshold_sigmas: ArrayLike, shape: TernaryShape = "gaussian"
) -> NDArray[np.float64]:
    """Fraction of the components that become 0.

    `P(|w| <= t)`: `erf(t / sqrt(2))` for the Gaussian, `t / sqrt(3)` up to 1 for the
    uniform and `1 - exp(-sqrt(2) t)` for the Laplace distribution.

    Args:
        threshold_sigmas: Thresholds `t` from 0 on, in standard deviations.
        shape: Law of the components: "gaussian", "uniform" or "laplace".

    Returns:
        Float64 array of the shape of `threshold_sigmas`, from 0 to 1.

    Raises:
        ValueError: A threshold is negative or not finite, or the shape is not known.

    Example:
        >>> from kerasbnn.geometry.theory import ternary_zero_fraction
        >>> round(float(ternary_zero_fraction(0.02 / 0.18)), 4)
        0.0885

    Reference:
        Anderson & Berg, arXiv 1705.07199, the fraction of ternary weights that are
        zero.
    """
    t = _checked_thresholds(threshold_sigmas, shape)
    if shape == "gaussian":
        values = [math.erf(x) for x in (t / math.sqrt(2)).ravel().tolist()]
        return np.array(values, dtype=np.float64).reshape(t.shape)
    if shape == "uniform":
        return np.minimum(t / math.sqrt(3), 1.0)
    return -np.expm1(-math.sqrt(2) * t)


def optimal_ternary_threshold_sigmas(shape: TernaryShape = "gaussian") -> float:
    """Threshold of the smallest ternary angle, in standard deviations.

    Where the threshold is half of the mean magnitude that is left:
    `t = E[|w|; |w| > t] / (2 P(|w| > t))`. For the Gaussian that is
    `t = phi(t) / (2 Q(t))`, with the density `phi` and the upper tail `Q` of the
    standard normal distribution; for the uniform `1 / sqrt(3)`, for the Laplace
    distribution `1 / sqrt(2)`.

    Args:
        shape: Law of the components: "gaussian", "uniform" or "laplace".

    Returns:
        Float in standard deviations.

    Raises:
        ValueError: The shape is not known.

    Example:
        >>> from kerasbnn.geometry.theory import optimal_ternary_threshold_sigmas
        >>> round(optimal_ternary_threshold_sigmas(), 7)
        0.6120032

    Reference:
        Derived from the cosine by setting its derivative to zero; for the Gaussian the
        quantizer of three levels of Max, Quantizing for minimum distortion, 1960.
    """
    _checked_shape(shape)
    if shape == "uniform":
        return 1 / math.sqrt(3)
    if shape == "laplace":
        return math.sqrt(0.5)
    low, high = 0.5, 0.75
    # The interval shrinks by half each time, so these use up the digits of a float.
    for _ in range(53):
        t = (low + high) / 2
        if t < float(normal_hazard(t)) / 2:
            low = t
        else:
            high = t
    return (low + high) / 2


def optimal_ternary_threshold_means(shape: TernaryShape = "gaussian") -> float:
    """Threshold of the smallest ternary angle, in units of the mean magnitude.

    `optimal_ternary_threshold_sigmas` over `E |w|` of components of unit variance: 1
    for the Laplace, 2/3 for the uniform distribution.

    Args:
        shape: Law of the components: "gaussian", "uniform" or "laplace".

    Returns:
        Float in mean magnitudes.

    Raises:
        ValueError: The shape is not known.

    Example:
        >>> from kerasbnn.geometry.theory import optimal_ternary_threshold_means
        >>> round(optimal_ternary_threshold_means(), 6)
        0.767032

    Reference:
        As `optimal_ternary_threshold_sigmas`. Li & Liu, arXiv 1605.04711, take 0.7 for
        all shapes.
    """
    mean = component_shape(_checked_shape(shape)).limit_cosine
    return optimal_ternary_threshold_sigmas(shape) / mean


def expected_ternary_angle_degrees(
    dimensions: int, threshold_sigmas: ArrayLike
) -> NDArray[np.float64]:
    """Mean angle between a Gaussian vector and its ternary version.

    To the first order in `1 / d`. With `A = 2 phi(t)`, `P = 2 Q(t)`,
    `S = P + 2 t phi(t)`, and the relative variances and covariances (times `d`) of the
    sample means of `a = |w| b`, `b = 1(|w| > t)` and `w^2`,

    - `x = S / A^2 - 1`, `y = 1 / P - 1`, `z = 2`,
    - `xy = 1 / P - 1`, `xz = t^2 + 1`, `yz = S / P - 1`,

    the cosine `A / sqrt(P)` of the limit, `c`, has

    - the shift `c (3 y / 8 + 3 z / 8 - xy / 2 - xz / 2 + yz / 4) / d` and
    - the variance `c^2 (x + y / 4 + z / 4 - xy - xz + yz / 2) / d`,

    and the angle follows by the second-order expansion of the arccos. Within 0.15
    degrees of samples where 8 components are expected to be left, 0.02 at `d = 128` for
    thresholds up to 1.

    Args:
        dimensions: Number of components `d`, from 1 on.
        threshold_sigmas: Thresholds `t` from 0 on, in standard deviations of the
            components, fixed beforehand; such that at least 8 components are expected
            to be left, since the expansion does not hold for less.

    Returns:
        Float64 array of the shape of `threshold_sigmas`, in degrees from 0 to 90.

    Raises:
        ValueError: `dimensions` is less than 1, a threshold is negative, not finite, or
            leaves less than 8 components.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import expected_ternary_angle_degrees
        >>> round(float(expected_ternary_angle_degrees(1152, 0.1)), 2)
        34.13

    Reference:
        Derived by the delta method (Cramer, Mathematical Methods of Statistics, 28.4)
        from the ternary angle of Anderson & Berg, arXiv 1705.07199, who give it for
        samples.
    """
    d = checked_dimensions(dimensions)
    cosine, shift, variance = _expansion(d, threshold_sigmas)
    sine = np.sqrt(1 - cosine**2)
    correction = shift / sine + cosine * variance / (2 * sine**3)
    return np.degrees(np.clip(np.arccos(cosine) - correction / d, 0.0, math.pi / 2))


def ternary_angle_standard_deviation_degrees(
    dimensions: int, threshold_sigmas: ArrayLike
) -> NDArray[np.float64]:
    """Standard deviation of the angle of `expected_ternary_angle_degrees`.

    To the first order in `1 / sqrt(d)`; `expected_ternary_angle_degrees` has the
    equations. Within 11 % of samples where 8 components are expected to be left, 3 % at
    `d = 128` for thresholds up to 1.

    Args:
        dimensions: Number of components `d`, from 1 on.
        threshold_sigmas: Thresholds from 0 on, in standard deviations of the
            components, fixed beforehand; such that at least 8 components are expected
            to be left, since the expansion does not hold for less.

    Returns:
        Float64 array of the shape of `threshold_sigmas`, in degrees.

    Raises:
        ValueError: `dimensions` is less than 1, a threshold is negative, not finite, or
            leaves less than 8 components.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import (
        ...     ternary_angle_standard_deviation_degrees,
        ... )
        >>> round(float(ternary_angle_standard_deviation_degrees(1152, 0.1)), 2)
        0.58

    Reference:
        Derived by the delta method (Cramer, Mathematical Methods of Statistics, 28.4)
        from the ternary angle of Anderson & Berg, arXiv 1705.07199.
    """
    d = checked_dimensions(dimensions)
    cosine, _, variance = _expansion(d, threshold_sigmas)
    return np.degrees(np.sqrt(variance / (1 - cosine**2) / d))


def _expansion(
    d: int, threshold_sigmas: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Limit of the cosine, and its shift and variance times `d`."""
    t = _checked_thresholds(threshold_sigmas)
    mean, part = 2 * normal_density(t), 2 * normal_upper_tail(t)
    few = d * part < _FEWEST_LEFT
    if np.any(few):
        raise ValueError(
            f"At least {_FEWEST_LEFT} components must be expected to be left for the "
            f"expansion in 1 / dimensions. Received: {d} dimensions and a threshold of "
            f"{t[few][0]:g}, which leaves {d * part[few][0]:.3g}. "
            "`ternary_angle_degrees` has the limit for many dimensions."
        )
    square = part + t * mean
    x, y, z = square / mean**2 - 1, 1 / part - 1, 2.0
    xy, xz, yz = 1 / part - 1, t**2 + 1, square / part - 1
    cosine = ternary_cosine(t)
    shift = cosine * (3 / 8 * (y + z) - (xy + xz) / 2 + yz / 4)
    variance = cosine**2 * (x + (y + z) / 4 - xy - xz + yz / 2)
    return cosine, shift, np.maximum(variance, 0.0)


def _checked_thresholds(
    threshold_sigmas: ArrayLike, shape: TernaryShape = "gaussian"
) -> NDArray[np.float64]:
    _checked_shape(shape)
    return checked_array(
        "threshold_sigmas", threshold_sigmas, 0, math.inf, open_high=True
    )


def _checked_shape(shape: TernaryShape) -> TernaryShape:
    if shape not in get_args(TernaryShape):
        raise ValueError(
            f"`shape` must be one of {list(get_args(TernaryShape))}, whose ternary "
            f"forms are known. Received: {shape!r}."
        )
    return shape

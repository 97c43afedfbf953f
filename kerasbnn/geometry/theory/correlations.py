"""How well dot products survive the quantization of weights, or of both operands."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry.theory._arguments import checked_array
from kerasbnn.geometry.theory.expected_angles import LIMIT_ANGLE_DEGREES


def dot_product_correlation(
    rho: ArrayLike, angle_degrees: ArrayLike = LIMIT_ANGLE_DEGREES
) -> NDArray[np.float64]:
    """Correlation of the dot products with continuous and with binary weights.

    `r = 1 / sqrt(1 + tan^2(theta) / rho)` for the angle `theta` between both weight
    vectors and the variance `rho` that the inputs have along the continuous one,
    relative to their mean variance. Inputs without a preferred direction, or whose
    elements are permuted, have `rho = 1`, and the correlation is the cosine of the
    angle; a filter that looks where the inputs vary more does better, one that looks
    where they vary less does worse.

    It takes the direction in which binarizing moves the weights for a random one. Where
    a few directions have nearly all of the variance, as in the first layer of an image
    network, single filters scatter around it: take `quadratic_form_correlation` there.

    Args:
        rho: Relative variance along the weights, from 0 on:
            `(w' C w / |w|^2) / (trace(C) / d)` for the covariance `C` of the inputs.
        angle_degrees: Angle between the continuous and the quantized weights, from 0 to
            90; its shape broadcasts with that of `rho`. Left out, that of a Gaussian
            vector and its sign.

    Returns:
        Float64 array of the broadcast shape, from 0 to 1.

    Raises:
        ValueError: A value is out of range, or NaN.

    Example:
        >>> from kerasbnn.geometry.theory import dot_product_correlation
        >>> dot_product_correlation([0.1, 1.0, 10.0]).round(4)
        array([0.3861, 0.7979, 0.9726])

    Reference:
        Derived from the dot product proportionality property of Anderson & Berg, arXiv
        1705.07199: the binary vector is `cos(theta)` along the continuous one and
        `sin(theta)` along a random direction, with the mean variance.
    """
    ratio = checked_array("rho", rho, 0, math.inf)
    angle = np.radians(checked_array("angle_degrees", angle_degrees, 0, 90))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.cos(angle) / np.hypot(
            np.cos(angle), np.sin(angle) / np.sqrt(ratio)
        )
    # Weights that do not change lose nothing, not even where nothing varies.
    return np.where(angle == 0, 1.0, correlation)


def quadratic_form_correlation(
    continuous: ArrayLike, binary: ArrayLike, covariance: ArrayLike
) -> NDArray[np.float64]:
    """Correlation of two dot products with the same inputs, from their covariance.

    `r = w_c' C w_b / sqrt(w_c' C w_c * w_b' C w_b)`, exact for any inputs and any two
    weight vectors. For inputs without a preferred direction `C` is a multiple of the
    identity, and `r` the cosine of the angle between the vectors.

    Args:
        continuous: Real array `(..., d)` of weight vectors `w_c`.
        binary: Real array `(..., d)` of their quantized versions `w_b`, whose shape
            broadcasts with that of `continuous`.
        covariance: Real symmetric array `(d, d)` without negative eigenvalues.

    Returns:
        Float64 array of the broadcast shape without its last axis, from -1 to 1. NaN
        where one of the dot products does not vary: nothing correlates with it.

    Raises:
        ValueError: The shapes do not fit, a number is not finite, the covariance is not
            symmetric, or a variance comes out negative.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.theory import quadratic_form_correlation
        >>> covariance = np.diag([9.0, 1.0])
        >>> round(float(quadratic_form_correlation([3, 1], [1, 1], covariance)), 4)
        0.9778

    Reference:
        Definition of the correlation, for the dot products of Anderson & Berg, arXiv
        1705.07199, the dot product proportionality property.
    """
    u, v, c = _checked_forms(continuous, binary, covariance)
    cu, cv = u @ c, v @ c
    variances = _variance(u, cu, c), _variance(v, cv, c)
    with np.errstate(divide="ignore", invalid="ignore"):
        correlation = np.sum(cu * v, axis=-1) / (
            np.sqrt(variances[0]) * np.sqrt(variances[1])
        )
    return np.clip(correlation, -1.0, 1.0)


def both_quantized_correlation(
    weight_angle_degrees: ArrayLike = LIMIT_ANGLE_DEGREES,
    input_angle_degrees: ArrayLike = LIMIT_ANGLE_DEGREES,
) -> NDArray[np.float64]:
    """Correlation of dot products before and after both operands are quantized.

    `r = cos(theta_w) cos(theta_x)`, for inputs without a preferred direction: `2 / pi`
    where weights and inputs are Gaussian and become their signs, `sqrt(2 / pi)` where
    only one of them does.

    Args:
        weight_angle_degrees: Angle between the weights and their quantized version,
            from 0 (not quantized) to 90.
        input_angle_degrees: The same for the inputs; its shape broadcasts.

    Returns:
        Float64 array of the broadcast shape, from 0 to 1.

    Raises:
        ValueError: An angle is out of range, or NaN.

    Example:
        >>> from kerasbnn.geometry.theory import both_quantized_correlation
        >>> round(float(both_quantized_correlation()), 4)
        0.6366
        >>> round(float(both_quantized_correlation(25.8546, 25.8546)), 4)  # ternary
        0.8098

    Reference:
        Derived from the dot product proportionality property of Anderson & Berg, arXiv
        1705.07199: what quantizing adds to one operand is orthogonal to it and
        independent of the other.
    """
    weights = checked_array("weight_angle_degrees", weight_angle_degrees, 0, 90)
    inputs = checked_array("input_angle_degrees", input_angle_degrees, 0, 90)
    return np.cos(np.radians(weights)) * np.cos(np.radians(inputs))


def xnor_scale(weights: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Factor between the dot products with continuous and with binary weights.

    `alpha = mean |w|`: the slope of the regression of `w_c . x` on `w_b . x` for inputs
    without a preferred direction, and the factor of the best approximation of the
    weights by a multiple of their signs.

    Args:
        weights: Real array; the weight vectors lie along `axis`.
        axis: Axis of the components.

    Returns:
        Float64 array of the shape of `weights` without `axis`, from 0 on.

    Raises:
        ValueError: A weight is not finite, or there are none along `axis`.

    Example:
        >>> from kerasbnn.geometry.theory import xnor_scale
        >>> xnor_scale([[3.0, -1.0], [0.5, 0.5]])
        array([2. , 0.5])

    Reference:
        Rastegari et al., XNOR-Net, arXiv 1603.05279, section 3.1.
    """
    w = checked_array(
        "weights", weights, -math.inf, math.inf, open_low=True, open_high=True
    )
    if w.ndim == 0 or not w.shape[axis]:
        raise ValueError(f"There are no weights in shape {w.shape} along axis {axis}.")
    return np.mean(np.abs(w), axis=axis)


def _checked_forms(
    continuous: ArrayLike, binary: ArrayLike, covariance: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    given = {"continuous": continuous, "binary": binary, "covariance": covariance}
    u, v, c = (
        checked_array(name, a, -math.inf, math.inf, open_low=True, open_high=True)
        for name, a in given.items()
    )
    d = c.shape[-1] if c.ndim else 0
    if not d or c.shape != (d, d) or u.shape[-1:] != (d,) or v.shape[-1:] != (d,):
        raise ValueError(
            "`continuous` and `binary` must be of shape (..., d) and `covariance` of "
            f"shape (d, d). Received shapes {u.shape}, {v.shape} and {c.shape}."
        )
    if not np.allclose(c, c.T, rtol=1e-5, atol=1e-8 * float(np.max(np.abs(c)))):
        raise ValueError(
            "`covariance` must be symmetric. Received a matrix that differs from its "
            f"transpose by up to {np.max(np.abs(c - c.T)):g}."
        )
    return u, v, c


def _variance(
    w: NDArray[np.float64], cw: NDArray[np.float64], c: NDArray[np.float64]
) -> NDArray[np.float64]:
    variance = np.sum(cw * w, axis=-1)
    # What rounding alone can make of a variance of zero.
    rounding = 1e-12 * float(np.trace(np.abs(c))) * np.sum(w**2, axis=-1)
    if np.any(variance < -rounding):
        raise ValueError(
            "`covariance` must not have negative eigenvalues, but a dot product has "
            f"the variance {np.min(variance):g}."
        )
    return np.where(variance > rounding, variance, 0.0)

"""What correlation of dot products to expect from filters and from their inputs."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry._arrays import (
    centred_patches,
    equal_shapes,
    filter_matrix,
    real_array,
    unit_vectors,
)
from kerasbnn.geometry.angles import cosine

Floats = NDArray[np.float64]

# Per element of a sum, in units of the largest term: with some room, since covariances
# and samples are the results of sums themselves.
_ROUNDING = 10 * float(np.finfo(np.float64).eps)


def predicted_correlations(
    angle_degrees: ArrayLike,
    projected_variance: ArrayLike,
    squared_norm: ArrayLike,
    mean_element_variance: ArrayLike,
) -> Floats:
    """Predict the correlation of dot products with quantized and continuous weights.

    `r = 1 / sqrt(1 + tan^2(angle) / rho)`, where `rho = (var(w.x) / |w|^2) / (mean
    variance of an element of x)`. It is the average over directions of the error that
    quantization makes, so single filters scatter about it, and widely where fewer than
    about three directions hold most of the variance, as in a first layer on images:
    take `quadratic_correlations` there.

    The arguments are per filter, shape `(filters,)`, or broadcast to it.

    Args:
        angle_degrees: Angles between the continuous and the quantized weights.
        projected_variance: Variances of the products with the continuous weights.
        squared_norm: Squared lengths `|w|^2` of the continuous weights.
        mean_element_variance: Variance of the elements of the inputs, averaged over
            those that the filter sees.

    Returns:
        Float64 array of the broadcast shape, from -1 to 1; negative for angles beyond
        90 degrees. 0, the limit, where only the products do not vary and the angle is
        not 0. NaN where they do not and it is, where a filter has no length, where the
        inputs do not vary, or where an argument is not finite.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The shapes do not broadcast, an array is empty, an angle is outside
            of 0 to 180, or another argument is negative.

    Example:
        >>> from kerasbnn.geometry.predictions import predicted_correlations
        >>> predicted_correlations(37.07143502, [0.1, 1.0, 10.0], 1.0, 1.0).round(4)
        array([0.3861, 0.7979, 0.9726])

    Reference:
        Anderson & Berg, arXiv 1705.07199, the dot product proportionality property; the
        form with `rho` takes the error of quantization as random.
    """
    angle = real_array("angle_degrees", angle_degrees)
    if np.any((angle < 0) | (angle > 180)):
        raise ValueError(
            "`angle_degrees` must be from 0 to 180. Received values from "
            f"{np.nanmin(angle):g} to {np.nanmax(angle):g}."
        )
    named = {
        "projected_variance": real_array("projected_variance", projected_variance),
        "squared_norm": real_array("squared_norm", squared_norm),
        "mean_element_variance": real_array(
            "mean_element_variance", mean_element_variance
        ),
    }
    for name, values in named.items():
        if np.any(values < 0):
            raise ValueError(
                f"`{name}` must not be negative. Received: {np.nanmin(values):g}."
            )
    try:
        angle, variance, norm, element = np.broadcast_arrays(angle, *named.values())
    except ValueError as error:
        shapes = {name: values.shape for name, values in named.items()}
        raise ValueError(
            "The arguments must broadcast to one value per filter. Received shapes: "
            f"angle_degrees {angle.shape}, "
            + ", ".join(f"{name} {shape}" for name, shape in shapes.items())
            + "."
        ) from error
    # As legs of a right triangle, so that neither rho = 0 nor 90 degrees is special;
    # the sine of 90 - angle is exactly 0 at 90, the cosine of the angle is not.
    with np.errstate(invalid="ignore", divide="ignore"):
        kept = np.sqrt(variance) * np.sin(np.radians(90.0 - angle))
        lost = np.sqrt(norm) * np.sqrt(element) * np.sin(np.radians(angle))
        correlations = kept / np.hypot(kept, lost)
    known = np.isfinite(variance) & (norm > 0) & (element > 0)
    known &= np.isfinite(norm) & np.isfinite(element)
    return np.where(known, correlations, np.nan)


def quadratic_correlations(
    continuous: ArrayLike, binary: ArrayLike, covariance: ArrayLike
) -> Floats:
    """Correlations of the dot products that follow from a covariance of the inputs.

    `r = w_c' C w_b / sqrt(w_c' C w_c * w_b' C w_b)` is exact for inputs of any law. It
    predicts something only where the covariance comes from other data than the
    measurement that it is compared with.

    Args:
        continuous: Continuous filters, real array of shape `(fan_in, filters)`.
        binary: Their binary values, same shape.
        covariance: Covariance `C` of the inputs, shape `(fan_in, fan_in)`; a positive
            multiple of it gives the same.

    Returns:
        Float64 array of shape `(filters,)`, from -1 to 1. NaN where a filter is zero or
        not finite, or the inputs do not vary along it.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The shapes do not match, an array is empty, or the covariance is not
            symmetric, not finite or has a negative variance.

    Example:
        >>> from kerasbnn.geometry.predictions import quadratic_correlations
        >>> quadratic_correlations([[3.0], [1.0]], [[1], [1]], [[4, 0], [0, 1]])
        array([0.95577901])

    Reference:
        Anderson & Berg, arXiv 1705.07199, the dot product proportionality property.
    """
    c = _covariance(covariance)
    u, v = _unit_filters(continuous, binary, len(c))
    # Filters that are not finite give NaN, which is not worth a warning.
    with np.errstate(invalid="ignore"):
        joint = np.sum(u * (c @ v), axis=0)
        first, second = np.sum(u * (c @ u), axis=0), np.sum(v * (c @ v), axis=0)
    # Below this it is rounding: the elements' largest variance is 1 here.
    varies = np.minimum(first, second) > _ROUNDING * len(c)
    spread = np.sqrt(np.where(varies, first, 1.0)) * np.sqrt(
        np.where(varies, second, 1.0)
    )
    return np.where(varies, np.clip(joint / spread, -1.0, 1.0), np.nan)


def quadratic_correlations_from_samples(
    continuous: ArrayLike, binary: ArrayLike, patches: ArrayLike
) -> Floats:
    """Compute `quadratic_correlations` with the covariance of samples.

    The covariance itself is not made: a layer of fan-in 4,608 would need 170 MB for it.

    Args:
        continuous: Continuous filters, real array of shape `(fan_in, filters)`.
        binary: Their binary values, same shape.
        patches: Inputs, real array of shape `(samples, fan_in)`.

    Returns:
        Float64 array of shape `(filters,)`, from -1 to 1. NaN where a filter is zero or
        not finite, or the samples do not vary along it; with a single sample for all.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The shapes do not match, an array is empty or an input not finite.

    Example:
        >>> from kerasbnn.geometry.predictions import (
        ...     quadratic_correlations_from_samples,
        ... )
        >>> patches = [[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
        >>> quadratic_correlations_from_samples([[3.0], [1.0]], [[1], [1]], patches)
        array([0.95577901])

    Reference:
        Anderson & Berg, arXiv 1705.07199, the dot product proportionality property.
    """
    x, _ = centred_patches(patches)
    u, v = _unit_filters(continuous, binary, x.shape[1])
    products: list[Floats] = []
    for filters in (u, v):
        with np.errstate(invalid="ignore"):
            along = x @ filters
        # What is left of a direction in which the samples do not vary.
        noise = np.max(np.abs(along), axis=0) <= _ROUNDING * x.shape[1]
        products.append(np.where(noise, 0.0, along))
    return cosine(*products, axis=0)


def _unit_filters(
    continuous: ArrayLike, binary: ArrayLike, fan_in: int
) -> tuple[Floats, Floats]:
    w_c = filter_matrix("continuous", continuous, fan_in)
    w_b = filter_matrix("binary", binary, fan_in)
    equal_shapes(("continuous", "binary"), w_c, w_b)
    return unit_vectors(w_c, axis=0), unit_vectors(w_b, axis=0)


def _covariance(covariance: ArrayLike) -> Floats:
    """Return the covariance, checked, with a largest variance of 1 unless all are 0."""
    c = real_array("covariance", covariance)
    if c.ndim != 2 or c.shape[0] != c.shape[1]:
        raise ValueError(
            "`covariance` must have the shape (fan_in, fan_in). Received: shape "
            f"{c.shape}."
        )
    if not np.isfinite(c).all():
        raise ValueError(
            "`covariance` must be finite. Received: "
            f"{np.count_nonzero(~np.isfinite(c))} bad values of {c.size}. Leave out "
            "the samples that are not finite."
        )
    variances = np.diagonal(c)
    if np.any(variances < 0):
        raise ValueError(
            "`covariance` must have variances from 0 on in its diagonal. Received one "
            f"of {np.min(variances):g}."
        )
    c = c / (np.max(variances) or 1.0)
    # Sums in float32 differ in their order.
    if np.max(np.abs(c - c.T)) > 1e-4:
        raise ValueError(
            "`covariance` must be symmetric. Received: a matrix that differs from its "
            f"transpose by up to {np.max(np.abs(c - c.T)):.2g} of its largest variance."
        )
    return c

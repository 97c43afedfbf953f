"""Angles between vectors, between weights and their quantized values; their density."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry._arrays import (
    equal_shapes,
    real_array,
    split_filters,
    unit_vectors,
)

ANGLE_BANDWIDTH_DEGREES = math.degrees(0.01)
"""Standard deviation of the kernels of `angle_density`: 0.57 degrees."""

_GRID_STEP_DEGREES = 0.05


def cosine(u: ArrayLike, v: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Cosine of the angle between vectors.

    Args:
        u: Real array; the vectors lie along `axis`.
        v: Real array whose shape broadcasts with that of `u`.
        axis: Axis of the components.

    Returns:
        Float64 array from -1 to 1, of the broadcast shape without `axis`. NaN where one
        of the vectors is zero or not finite: such a vector has no direction.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The two vectors differ in length, or one of the arrays is empty.

    Example:
        >>> from kerasbnn.geometry import cosine
        >>> float(cosine([1.0, 0.0], [3.0, 4.0]))
        0.6

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angle as the measure of a binarization.
    """
    u, v = _unit_vectors(u, v, axis)
    return np.clip(np.sum(u * v, axis=axis), -1.0, 1.0)


def angle_degrees(u: ArrayLike, v: ArrayLike, axis: int = -1) -> NDArray[np.float64]:
    """Angle between vectors, in degrees.

    Args:
        u: Real array; the vectors lie along `axis`.
        v: Real array whose shape broadcasts with that of `u`.
        axis: Axis of the components.

    Returns:
        Float64 array from 0 to 180, of the broadcast shape without `axis`. NaN where
        one of the vectors is zero or not finite: such a vector has no direction.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The two vectors differ in length, or one of the arrays is empty.

    Example:
        >>> from kerasbnn.geometry import angle_degrees
        >>> float(angle_degrees([1.0, 0.0], [0.0, 2.0]))
        90.0

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angle as the measure of a binarization.
    """
    u, v = _unit_vectors(u, v, axis)
    # The arccos of a cosine loses half of the digits of angles near 0 and 180 degrees;
    # half the angle between unit vectors is seen from their difference and their sum.
    half = np.arctan2(
        np.linalg.norm(u - v, axis=axis), np.linalg.norm(u + v, axis=axis)
    )
    return np.degrees(2.0 * half)


def binarization_angle_degrees(
    kernel: ArrayLike, channel_axes: int | tuple[int, ...] = -1
) -> NDArray[np.float64]:
    """Angle between each filter of a kernel and its sign, in degrees.

    The sign of 0 is +1. The cosine of the angle is `mean |w| / sqrt(mean w^2)`, so 0
    degrees means that all weights have the same magnitude, and `arccos(1 / sqrt(d))`
    that only one of `d` differs from zero.

    Args:
        kernel: Real array, such as a Keras kernel `(height, width, inputs, filters)` or
            `(inputs, units)`.
        channel_axes: Axes along which each position is a filter of its own: the last
            one as a rule, `(-2, -1)` for depthwise kernels, -2 for transposed ones.

    Returns:
        Float64 array with one angle per filter, its shape that of the channel axes in
        their order in the kernel. NaN where all weights of a filter are zero, or one of
        them is not finite.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: No axis is left for the weights, an axis is not there, or the kernel
            is empty.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry import binarization_angle_degrees
        >>> kernel = np.array([[1.0, 1.0], [-1.0, 0.0]])
        >>> binarization_angle_degrees(kernel)
        array([ 0., 45.])

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angle preservation property.
    """
    w = real_array("kernel", kernel)
    return quantization_angle_degrees(w, np.where(w < 0, -1.0, 1.0), channel_axes)


def quantization_angle_degrees(
    kernel: ArrayLike,
    quantized: ArrayLike,
    channel_axes: int | tuple[int, ...] = -1,
) -> NDArray[np.float64]:
    """Angle between each filter of a kernel and its quantized values, in degrees.

    It serves any quantizer: binary, ternary or of more bits, with or without a scale
    per filter, which does not change an angle. With the best scale the quantized filter
    is off by the sine of the angle, relative to the length of the filter.

    Args:
        kernel: Real array, such as a Keras kernel `(height, width, inputs, filters)` or
            `(inputs, units)`.
        quantized: Real array of the same shape, what the quantizer makes of it.
        channel_axes: Axes along which each position is a filter of its own: the last
            one as a rule, `(-2, -1)` for depthwise kernels, -2 for transposed ones.

    Returns:
        Float64 array with one angle per filter, its shape that of the channel axes in
        their order in the kernel. NaN where all weights of a filter, or all of its
        quantized values, are zero, or one of them is not finite.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The shapes differ, no axis is left for the weights, an axis is not
            there, or the kernel is empty.

    Example:
        >>> from kerasbnn.geometry.angles import quantization_angle_degrees
        >>> kernel, ternary = [[0.4], [-0.3], [0.0]], [[1], [-1], [0]]
        >>> quantization_angle_degrees(kernel, ternary).round(2)
        array([8.13])

    Reference:
        Anderson & Berg, arXiv 1705.07199, the ternary case; Pouransari et al.,
        arXiv 2001.02786, for more levels.
    """
    w, q = real_array("kernel", kernel), real_array("quantized", quantized)
    equal_shapes(("kernel", "quantized"), w, q)
    return angle_degrees(split_filters(w, channel_axes), split_filters(q, channel_axes))


def angle_density(
    angles: ArrayLike, grid: ArrayLike, bandwidth: float = ANGLE_BANDWIDTH_DEGREES
) -> NDArray[np.float64]:
    """Estimate the density of angles with Gaussian kernels.

    Nothing is done about the ends: near 0 and 180 degrees a part of the density lies
    outside of what angles can be.

    Args:
        angles: Real array of any shape, in degrees. Values that are not finite (filters
            without an angle) are left out.
        grid: Real array of any shape: where to evaluate the density, in degrees.
        bandwidth: Standard deviation of the kernels, in degrees.

    Returns:
        Float64 array of the shape of `grid`, per degree: its integral over all angles
        is 1. NaN where no angle is finite.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: An array is empty, or the bandwidth is not a positive number.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.angles import angle_density
        >>> density = angle_density([36.0, 37.0, 38.0], np.linspace(30, 44, 1401), 0.5)
        >>> round(float(density.sum() * 0.01), 6)
        1.0

    Reference:
        Anderson & Berg, arXiv 1705.07199, the figure of the angles per layer.
    """
    points = real_array("grid", grid)
    if not (math.isfinite(bandwidth) and bandwidth > 0):
        raise ValueError(
            "`bandwidth` must be a positive number of degrees. Received: "
            f"{bandwidth}. The paper's is {ANGLE_BANDWIDTH_DEGREES:.2f}."
        )
    finite = _finite(angles)
    if not finite.size:
        return np.full(points.shape, np.nan)
    density = np.zeros(points.shape)
    # In blocks, so that memory does not grow with the number of angles.
    for start in range(0, finite.size, 256):
        distances = points[..., np.newaxis] - finite[start : start + 256]
        density += np.exp(-0.5 * (distances / bandwidth) ** 2).sum(axis=-1)
    return density / (finite.size * bandwidth * math.sqrt(2 * math.pi))


def peak_angle_degrees(
    angles: ArrayLike, bandwidth: float = ANGLE_BANDWIDTH_DEGREES
) -> float:
    """Angle at which the density of angles is highest.

    Args:
        angles: Real array of any shape, in degrees. Values that are not finite are left
            out.
        bandwidth: Standard deviation of the kernels of `angle_density`, in degrees.

    Returns:
        Float, to within 0.05 degrees; NaN where no angle is finite.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The array is empty, or the bandwidth is not a positive number.

    Example:
        >>> from kerasbnn.geometry.angles import peak_angle_degrees
        >>> round(peak_angle_degrees([33.0, 36.9, 37.0, 37.1]), 1)
        37.0

    Reference:
        Anderson & Berg, arXiv 1705.07199, the figure of the angles per layer.
    """
    finite = _finite(angles)
    if not finite.size:
        return math.nan
    # A sum of Gaussians of one width has its peak between the outermost centres.
    lowest, highest = float(np.min(finite)), float(np.max(finite))
    steps = math.ceil((highest - lowest) / _GRID_STEP_DEGREES)
    grid = np.linspace(lowest, highest, steps + 1)
    return float(grid[np.argmax(angle_density(finite, grid, bandwidth))])


def deviation_slope(fan_ins: ArrayLike, deviations: ArrayLike) -> float:
    """Slope of the angles' standard deviation against the fan-in, both in logarithms.

    Independent weights give -0.5: the deviation falls as `d**-0.5`. The line is that of
    least squares over the layers.

    Args:
        fan_ins: Fan-in of each layer, shape `(layers,)`.
        deviations: Standard deviation of the angles of each layer, same shape, in any
            unit. Layers where it is zero or not finite are left out: those of one
            filter, or of weights of equal magnitude.

    Returns:
        Float; NaN where fewer than two different fan-ins are left.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The shapes differ, an array is empty, a fan-in is less than 1 or a
            deviation negative.

    Example:
        >>> from kerasbnn.geometry.angles import deviation_slope
        >>> round(deviation_slope([100, 400, 1600], [2.0, 1.0, 0.5]), 6)
        -0.5

    Reference:
        Anderson & Berg, arXiv 1705.07199, the inset of the figure of the angles.
    """
    d, deviation = real_array("fan_ins", fan_ins), real_array("deviations", deviations)
    equal_shapes(("fan_ins", "deviations"), d, deviation)
    if not np.all(d >= 1) or np.any(deviation < 0):
        raise ValueError(
            "`fan_ins` must be from 1 on and `deviations` not negative. Received: "
            f"{fan_ins} and {deviations}."
        )
    known = np.isfinite(d) & np.isfinite(deviation) & (deviation > 0)
    x, y = np.log(d[known]), np.log(deviation[known])
    if x.size == 0 or np.all(x == x[0]):
        return math.nan
    x = x - np.mean(x)
    return float(np.sum(x * y) / np.sum(x * x))


def _finite(angles: ArrayLike) -> NDArray[np.float64]:
    values = real_array("angles", angles).ravel()
    return values[np.isfinite(values)]


def _unit_vectors(
    u: ArrayLike, v: ArrayLike, axis: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    u, v = real_array("u", u), real_array("v", v)
    rank = max(u.ndim, v.ndim)
    # Counted from the end, an axis means the same in arrays of different rank.
    from_end = axis - rank if axis >= 0 else axis
    if -from_end > min(u.ndim, v.ndim) or u.shape[from_end] != v.shape[from_end]:
        raise ValueError(
            "Vectors must have the same number of components. Received shapes "
            f"{u.shape} and {v.shape} with axis={axis}."
        )
    return unit_vectors(u, from_end), unit_vectors(v, from_end)

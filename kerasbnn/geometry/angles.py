"""Angles between vectors, and between weights and their signs."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


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
        ValueError: The two vectors differ in length.

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
        ValueError: The two vectors differ in length.

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
        ValueError: No axis is left for the weights, or an axis is not there.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry import binarization_angle_degrees
        >>> kernel = np.array([[1.0, 1.0], [-1.0, 0.0]])
        >>> binarization_angle_degrees(kernel)
        array([ 0., 45.])

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angle preservation property.
    """
    w = np.asarray(kernel, dtype=np.float64)
    given = channel_axes if isinstance(channel_axes, tuple) else (channel_axes,)
    if any(not -w.ndim <= axis < w.ndim for axis in given):
        raise ValueError(
            f"`channel_axes` must be axes of the kernel. Received: {channel_axes} for "
            f"a kernel of shape {w.shape}."
        )
    channels = sorted({axis % w.ndim for axis in given})
    weights = [axis for axis in range(w.ndim) if axis not in channels]
    if not weights:
        raise ValueError(
            f"A filter needs weights, but `channel_axes`={channel_axes} are all the "
            f"axes of a kernel of shape {w.shape}. Leave at least one out."
        )
    filters = w.transpose(channels + weights)
    filters = filters.reshape(*filters.shape[: len(channels)], -1)
    return angle_degrees(filters, np.where(filters < 0, -1.0, 1.0))


def _unit_vectors(
    u: ArrayLike, v: ArrayLike, axis: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    u, v = np.asarray(u, dtype=np.float64), np.asarray(v, dtype=np.float64)
    rank = max(u.ndim, v.ndim)
    # Counted from the end, an axis means the same in arrays of different rank.
    from_end = axis - rank if axis >= 0 else axis
    if -from_end > min(u.ndim, v.ndim) or u.shape[from_end] != v.shape[from_end]:
        raise ValueError(
            "Vectors must have the same number of components. Received shapes "
            f"{u.shape} and {v.shape} with axis={axis}."
        )
    return _normalized(u, from_end), _normalized(v, from_end)


def _normalized(vectors: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    # Dividing by the largest magnitude first keeps the squares in range.
    largest = np.max(np.abs(vectors), axis=axis, keepdims=True, initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = vectors / largest
        return scaled / np.linalg.norm(scaled, axis=axis, keepdims=True)

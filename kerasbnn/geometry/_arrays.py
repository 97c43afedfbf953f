"""Checks and layouts of the arrays that the estimators measure."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def numeric_array(name: str, values: ArrayLike) -> NDArray[np.generic]:
    """Return `values` as an array of real numbers, in the dtype it comes in.

    Args:
        name: What the values are called in the error message.
        values: Floats of any width, bfloat16 among them, or integers.

    Returns:
        The array, not copied if it is one.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The array is empty.

    Example:
        >>> from kerasbnn.geometry._arrays import numeric_array
        >>> numeric_array("kernel", [1, 2]).shape
        (2,)
    """
    array = np.asarray(values)
    # bfloat16 and its like are user-defined dtypes to numpy, which it marks with 2.
    if array.dtype.kind not in "fiu" and array.dtype.isbuiltin != 2:
        fix = (
            "Write bits as -1 and +1."
            if array.dtype.kind == "b"
            else "Convert it to floats first."
        )
        raise TypeError(
            f"`{name}` must hold real numbers. Received: an array of dtype "
            f"{array.dtype} and shape {array.shape}. {fix}"
        )
    if array.size == 0:
        raise ValueError(
            f"`{name}` must not be empty. Received: an array of shape {array.shape}."
        )
    return array


def real_array(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return `values` as float64, checked as by `numeric_array`.

    Args:
        name: What the values are called in the error message.
        values: Floats of any width, bfloat16 among them, or integers.

    Returns:
        Float64 array, not copied if it is one.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The array is empty.

    Example:
        >>> from kerasbnn.geometry._arrays import real_array
        >>> real_array("kernel", [1, 2])
        array([1., 2.])
    """
    return numeric_array(name, values).astype(np.float64, copy=False)


def equal_shapes(
    names: tuple[str, str], first: NDArray[np.float64], second: NDArray[np.float64]
) -> None:
    """Raise unless two arrays have the same shape.

    Args:
        names: What the two are called in the error message.
        first: An array.
        second: An array.

    Raises:
        ValueError: The shapes differ.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry._arrays import equal_shapes
        >>> equal_shapes(("binary", "continuous"), np.zeros(3), np.ones(3))
    """
    if first.shape != second.shape:
        raise ValueError(
            f"`{names[0]}` and `{names[1]}` must have the same shape. Received: "
            f"{first.shape} and {second.shape}."
        )


def resolution(values: ArrayLike) -> float:
    """Distance from 1 to the next number of an array's dtype.

    Args:
        values: Array of any dtype that `numeric_array` accepts.

    Returns:
        Float; for integers that of float64, in which they are computed.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry._arrays import resolution
        >>> resolution(np.float16(3)) == 2**-10
        True
    """
    dtype = np.asarray(values).dtype
    if dtype.kind in "iu":
        dtype = np.dtype(np.float64)
    # By rounding, since np.finfo does not know bfloat16.
    steps = 2.0 ** -np.arange(53.0)
    kept = (1.0 + steps).astype(dtype).astype(np.float64) > 1.0
    return float(np.min(steps[kept]))


def split_filters(
    kernel: NDArray[np.float64], channel_axes: int | tuple[int, ...]
) -> NDArray[np.float64]:
    """Bring the channel axes of a kernel to the front and the weights into one axis.

    Args:
        kernel: Array of any layout.
        channel_axes: Axes along which each position is a filter of its own.

    Returns:
        Array of the shape of the channel axes, in their order in the kernel, and the
        fan-in.

    Raises:
        ValueError: No axis is left for the weights, or an axis is not there.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry._arrays import split_filters
        >>> split_filters(np.zeros((3, 3, 8, 16)), -1).shape
        (16, 72)
    """
    given = channel_axes if isinstance(channel_axes, tuple) else (channel_axes,)
    if any(not -kernel.ndim <= axis < kernel.ndim for axis in given):
        raise ValueError(
            f"`channel_axes` must be axes of the kernel. Received: {channel_axes} for "
            f"a kernel of shape {kernel.shape}."
        )
    channels = sorted({axis % kernel.ndim for axis in given})
    weights = [axis for axis in range(kernel.ndim) if axis not in channels]
    if not weights:
        raise ValueError(
            f"A filter needs weights, but `channel_axes`={channel_axes} are all the "
            f"axes of a kernel of shape {kernel.shape}. Leave at least one out."
        )
    filters = kernel.transpose(channels + weights)
    return filters.reshape(*filters.shape[: len(channels)], -1)


def unit_vectors(vectors: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Divide vectors by their lengths.

    Args:
        vectors: Array whose vectors lie along `axis`.
        axis: Axis of the components.

    Returns:
        Array of the same shape; NaN where a vector is zero or not finite.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry._arrays import unit_vectors
        >>> unit_vectors(np.array([3.0, 4.0]), axis=0)
        array([0.6, 0.8])
    """
    # Dividing by the largest magnitude first keeps the squares in range.
    largest = np.max(np.abs(vectors), axis=axis, keepdims=True, initial=0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        scaled = vectors / largest
        return scaled / np.linalg.norm(scaled, axis=axis, keepdims=True)


def centred_patches(patches: ArrayLike) -> tuple[NDArray[np.float64], float]:
    """Subtract the mean patch, in units of the largest magnitude.

    Args:
        patches: Real array of shape `(samples, fan_in)`.

    Returns:
        Float64 array of the same shape, and the unit: a positive float. An element that
        is the same in all samples, up to rounding, is exactly 0.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The array is empty, not of rank 2, or a value is not finite.

    Example:
        >>> from kerasbnn.geometry._arrays import centred_patches
        >>> centred_patches([[1.0, 4.0], [1.0, 2.0]])
        (array([[ 0.  ,  0.25],
               [ 0.  , -0.25]]), 4.0)
    """
    x = real_array("patches", patches)
    if x.ndim != 2:
        raise ValueError(
            "`patches` must have the shape (samples, fan_in). Received: shape "
            f"{x.shape}. Reshape to (-1, fan_in)."
        )
    finite = np.isfinite(x).all(axis=1)
    if not finite.all():
        raise ValueError(
            "`patches` must be finite, for one bad value spoils the covariance. "
            f"Received: {np.count_nonzero(~finite)} bad patches of {len(x)}. Leave "
            "them out: patches[np.isfinite(patches).all(axis=1)]."
        )
    unit = float(np.max(np.abs(x))) or 1.0
    # A mean of equal numbers can differ from them by rounding.
    varies = np.any(x != x[0], axis=0)
    scaled = x / unit
    return np.where(varies, scaled - np.mean(scaled, axis=0), 0.0), unit


def filter_matrix(name: str, filters: ArrayLike, fan_in: int) -> NDArray[np.float64]:
    """Return filters as a float64 matrix, one per column, checked.

    Args:
        name: What they are called in the error message.
        filters: Real array of shape `(fan_in, filters)`.
        fan_in: Number of rows it must have.

    Returns:
        Float64 array of the same shape.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The array is empty or has another shape.

    Example:
        >>> from kerasbnn.geometry._arrays import filter_matrix
        >>> filter_matrix("binary", [[1, -1, 1]], 1).shape
        (1, 3)
    """
    matrix = real_array(name, filters)
    if matrix.ndim != 2 or matrix.shape[0] != fan_in:
        raise ValueError(
            f"`{name}` must have the shape (fan_in, filters), here ({fan_in}, "
            f"filters) as the inputs have {fan_in} elements. Received: shape "
            f"{matrix.shape}. Bring a Keras kernel there with "
            "kernel.reshape(-1, kernel.shape[-1])."
        )
    return matrix

"""Checks of the arguments that the closed forms share."""

import operator

import numpy as np
from numpy.typing import ArrayLike, NDArray


def checked_dimensions(dimensions: int, minimum: int = 1) -> int:
    """Return the number of components as a plain int, or raise.

    Args:
        dimensions: The number to check.
        minimum: Smallest number for which there is an answer.

    Returns:
        `dimensions` as an int.

    Raises:
        ValueError: `dimensions` is less than `minimum`.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory._arguments import checked_dimensions
        >>> checked_dimensions(27)
        27
    """
    d = operator.index(dimensions)
    if d < minimum:
        raise ValueError(
            f"`dimensions` must be an integer from {minimum} on. "
            f"Received: {dimensions}."
        )
    return d


def checked_array(
    name: str,
    values: ArrayLike,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> NDArray[np.float64]:
    """Return real numbers of a range as a float64 array, or raise.

    Args:
        name: What the values are called in the error message.
        values: The numbers to check.
        low: Smallest allowed value.
        high: Largest allowed value; infinity for no limit, which then counts as
            a value itself unless `open_high` is set.
        open_low: Whether `low` itself is refused.
        open_high: Whether `high` itself is refused.

    Returns:
        Float64 array of the shape of `values`.

    Raises:
        ValueError: A value is NaN or outside of the range.

    Example:
        >>> from kerasbnn.geometry.theory._arguments import checked_array
        >>> checked_array("rho", [1, 2], 0, 10)
        array([1., 2.])
    """
    array = np.asarray(values, dtype=np.float64)
    # Written so that NaN, which compares as false, is refused too.
    above = array > low if open_low else array >= low
    below = array < high if open_high else array <= high
    bad = array[~(above & below)]
    if bad.size:
        left, right = "(" if open_low else "[", ")" if open_high else "]"
        raise ValueError(
            f"`{name}` must be in {left}{low:g}, {high:g}{right}. "
            f"Received: {bad[0]:g}{_and_how_many(bad.size, array.size)}."
        )
    return array


def _and_how_many(bad: int, of: int) -> str:
    if of == 1:
        return ""
    return f" ({bad} of {of} values are outside, or NaN)"

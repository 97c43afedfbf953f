"""Checks of arguments that several modules share, with errors that say the fix."""

import difflib
import numbers
from typing import Any


def checked_number(
    name: str,
    value,
    *,
    minimum: float | None = None,
    exclusive: bool = False,
    optional: bool = False,
) -> Any:
    """Return `value` if it is a real number in range, or raise.

    Args:
        name: What the value is called in the error message.
        value: The value to check.
        minimum: Smallest allowed value; None means no lower limit.
        exclusive: Whether `minimum` itself is refused.
        optional: Whether None is allowed too.

    Returns:
        `value`, unchanged.

    Raises:
        TypeError: `value` is not a real number.
        ValueError: `value` is NaN or below the minimum.

    Example:
        >>> from kerasbnn._checks import checked_number
        >>> checked_number("clip_value", 1.5, minimum=0)
        1.5
    """
    if value is None and optional:
        return value
    # A number under a schedule is a scalar Keras variable.
    or_none = " or None" if optional else ""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"`{name}` must be a number{or_none}. Received: {value!r} of type "
            f"{type(value).__name__}. Pass a plain float, such as {name}=1.0."
        )
    too_small = minimum is not None and (
        value <= minimum if exclusive else value < minimum
    )
    if value != value or too_small:
        relation = "greater than" if exclusive else "at least"
        limit = "a number" if minimum is None else f"{relation} {minimum:g}"
        raise ValueError(f"`{name}` must be {limit}{or_none}. Received: {value!r}.")
    return value


def checked_count(name: str, value) -> int:
    """Return `value` if it is a whole number from 1 on, or raise.

    Args:
        name: What the value is called in the error message.
        value: The value to check.

    Returns:
        `value` as an int.

    Raises:
        TypeError: `value` is not a whole number.
        ValueError: `value` is NaN or below 1.

    Example:
        >>> from kerasbnn._checks import checked_count
        >>> checked_count("max_samples", 512)
        512
    """
    checked_number(name, value, minimum=1)
    if not isinstance(value, numbers.Integral):
        raise TypeError(f"`{name}` must be an integer. Received: {value!r}.")
    return int(value)


def suggestion(name: str, known) -> str:
    """Name the nearest of the known names, or nothing when none is near.

    Args:
        name: The unknown name.
        known: The names that would have been accepted.

    Returns:
        A sentence such as `" Did you mean 'ste_sign'?"`, or an empty string.

    Example:
        >>> from kerasbnn._checks import suggestion
        >>> suggestion("stesign", ["ste_sign", "ste_tern"])
        " Did you mean 'ste_sign'?"
    """
    nearest = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {nearest[0]!r}?" if nearest else ""

"""What is raised where a weight file does not fit a model."""

from collections.abc import Sequence


class Mismatch(ValueError):
    """Weights of the file do not fit the model."""


class Ambiguity(Mismatch):
    """There are two ways to pair layers, and both fit."""


def listed(names: Sequence[str], most: int = 6) -> str:
    """Join names for an error.

    Args:
        names: Any number of them.
        most: How many to tell.

    Returns:
        Such as `"'a', 'b' and 3 more"`, or `"none"`.

    Example:
        >>> from kerasbnn.larq.weight_files.errors import listed
        >>> listed(["a", "b", "c"], most=2), listed([])
        ("'a', 'b' and 1 more", 'none')
    """
    if not names:
        return "none"
    told = ", ".join(f"'{name}'" for name in names[:most])
    return told + (f" and {len(names) - most} more" if len(names) > most else "")

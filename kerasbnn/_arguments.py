"""Arguments that several commands take."""

import argparse


def shape_argument(text: str) -> tuple[int, ...]:
    """Parse the shape of one sample.

    Args:
        text: Sizes with commas between them.

    Returns:
        The sizes.

    Raises:
        argparse.ArgumentTypeError: They are not positive whole numbers.

    Example:
        >>> from kerasbnn._arguments import shape_argument
        >>> shape_argument("32,32,3")
        (32, 32, 3)
    """
    try:
        sizes = tuple(int(size) for size in text.strip("()").strip(",").split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(
            f"expected positive whole numbers such as 32,32,3, but got {text!r}"
        )
    return sizes

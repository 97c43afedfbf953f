"""Arguments that several commands take."""

import argparse
import re
from collections.abc import Iterable


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


def with_negative_pairs(argv: Iterable[str]) -> list[str]:
    """Join options and pairs of numbers of which the first is negative.

    `argparse` takes the minus for that of an option.

    Args:
        argv: Arguments of the process.

    Returns:
        The arguments, with `=` between such an option and its value.

    Example:
        >>> from kerasbnn._arguments import with_negative_pairs
        >>> with_negative_pairs(["audit", "--range", "-1,1"])
        ['audit', '--range=-1,1']
    """
    joined: list[str] = []
    for word in argv:
        is_pair = re.match(r"-[\d.].*,", word)
        if is_pair and joined and re.fullmatch(r"--[a-z-]+", joined[-1]):
            joined[-1] += f"={word}"
        else:
            joined.append(word)
    return joined


def add_input_shape_argument(parser: argparse.ArgumentParser):
    """Declare `--input-shape`, the shape of one sample.

    Args:
        parser: The parser.
    """
    parser.add_argument(
        "--input-shape",
        type=shape_argument,
        metavar="SIZES",
        help="shape of one sample, such as 32,32,3; only for models that leave it open",
    )


def in_words_of_the_command(text: str, *names: str) -> str:
    """Name options of the command where an error names arguments in Python.

    Args:
        text: The error.
        *names: Arguments that the command has as options.

    Returns:
        The error, about options.

    Example:
        >>> from kerasbnn._arguments import in_words_of_the_command
        >>> text = "Pass `input_shape`, for example input_shape=(32, 32, 3)."
        >>> in_words_of_the_command(text, "input_shape")
        'Pass --input-shape, for example --input-shape 32,32,3.'
    """
    for name in names:
        text = text.replace(f"`{name}`", f"--{name.replace('_', '-')}")
    return re.sub(
        r"input_shape=\(([^)]*)\)",
        lambda found: "--input-shape " + found[1].replace(" ", ""),
        text,
    )

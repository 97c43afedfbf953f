"""What a converted file says of itself, for the commands: labels and normalization."""

import argparse
import math
from pathlib import Path

from kerasbnn._errors import CommandError


def add_metadata_arguments(parser: argparse.ArgumentParser):
    """Declare `--labels` and `--normalization`.

    Args:
        parser: The parser.

    Example:
        >>> import argparse
        >>> from kerasbnn._metadata_arguments import add_metadata_arguments
        >>> parser = argparse.ArgumentParser()
        >>> add_metadata_arguments(parser)
        >>> parser.parse_args(["--normalization", "127.5,127.5"]).normalization
        {'mean': 127.5, 'std': 127.5}
    """
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="a text file with a name for each output, one to a line",
    )
    parser.add_argument(
        "--normalization",
        type=_mean_and_std,
        metavar="MEAN,STD",
        help="the model takes (raw - MEAN) / STD, such as 127.5,127.5",
    )


def given_labels(arguments: argparse.Namespace) -> list[str] | None:
    r"""Read the labels that the arguments of a command name.

    Args:
        arguments: What `add_metadata_arguments` declares.

    Returns:
        A name from each line, empty lines at the end left out; or None without
        `--labels`.

    Raises:
        CommandError: There is no such file, or it is no text.

    Example:
        >>> import argparse
        >>> from pathlib import Path
        >>> from kerasbnn._metadata_arguments import given_labels
        >>> _ = Path("labels.txt").write_text("cat\ndog\n")
        >>> given_labels(argparse.Namespace(labels=Path("labels.txt")))
        ['cat', 'dog']
    """
    path = arguments.labels
    if path is None:
        return None
    if not path.exists():
        raise CommandError(f"--labels: there is no file '{path}'.")
    try:
        return path.read_text("utf-8").rstrip().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(
            f"'{path}' cannot be read as a text file with a name on each line."
        ) from error


def _mean_and_std(text):
    try:
        mean, std = (float(part) for part in text.split(","))
    except ValueError:
        mean = std = 0.0
    if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
        raise argparse.ArgumentTypeError(
            f"expected two numbers such as 127.5,127.5, the second above 0, but got "
            f"{text!r}"
        )
    return {"mean": mean, "std": std}

"""The command `kerasbnn`.

Keras and its backend take seconds to load, so this module and the declaration of the
arguments do without; a command imports them when it runs.
"""

import argparse
import contextlib
import importlib
import json
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kerasbnn._errors import CommandError
from kerasbnn._version import __version__

USAGE_ERROR = 2
HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"


@dataclass(frozen=True)
class Command:
    """A subcommand.

    Attributes:
        help: What it does, in a line.
        add_arguments: Declares its arguments on a parser.
        run: Does it, given the parsed arguments; returns the exit status.
    """

    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the program's name; None for those of the process.

    Returns:
        Exit status: 0, or 2 after a usage error.

    Example:
        >>> from kerasbnn.cli import main
        >>> main(["summary", "no_such.keras"])
        2
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    arguments = _parser(argv).parse_args(argv)
    command = COMMANDS[arguments.command]
    try:
        status = command.run(arguments)
        sys.stdout.flush()
        return status
    except CommandError as error:
        print(f"kerasbnn {arguments.command}: {error}", file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser(argv):
    parser = argparse.ArgumentParser(
        prog="kerasbnn", description="Train, understand and ship 1-bit neural networks."
    )
    parser.add_argument(
        "--version", action="version", version=f"kerasbnn {__version__}"
    )
    subparsers = parser.add_subparsers(dest="command", metavar="command", required=True)
    # Only the command at hand declares its arguments, so that no other is loaded.
    chosen = next((word for word in argv if not word.startswith("-")), None)
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=command.help, description=command.help
        )
        if name == chosen:
            command.add_arguments(subparser)
    return parser


def start_keras():
    """Import Keras and its backend, without the lines that TensorFlow writes.

    Those who set `TF_CPP_MIN_LOG_LEVEL` see them all.

    Raises:
        CommandError: Keras or its backend is not installed.
    """
    show_all = "TF_CPP_MIN_LOG_LEVEL" in os.environ
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with contextlib.nullcontext() if show_all else _held_back_errors():
            importlib.import_module("keras")
    except ModuleNotFoundError as error:
        if error.name not in ("keras", "tensorflow", "jax", "torch"):
            raise
        raise CommandError(
            f"needs Keras and a backend for it, but {error.name!r} is not installed. "
            'Run: pip install "kerasbnn[tensorflow]" (or [jax], or [torch], with the '
            "environment variable KERAS_BACKEND set to match)."
        ) from error


@contextlib.contextmanager
def _held_back_errors() -> Iterator[None]:
    """Hold back what is written to the standard error; show it after an exception.

    TensorFlow's libraries write some lines before they read their log level, and past
    `sys.stderr`.
    """
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            with open(screen, "wb", closefd=False) as stream:
                shutil.copyfileobj(held_back, stream)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)


def _add_summary_arguments(parser):
    parser.add_argument("model", type=Path, help="a model that Keras has saved")
    parser.add_argument(
        "--input-shape",
        type=_shape,
        metavar="SIZES",
        help="shape of one sample, such as 32,32,3; only for models that leave it open",
    )
    parser.add_argument(
        "--json", action="store_true", help="print the numbers as JSON, not as a table"
    )


def _shape(text):
    try:
        sizes = tuple(int(size) for size in text.strip("()").strip(",").split(","))
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise argparse.ArgumentTypeError(
            f"expected positive whole numbers such as 32,32,3, but got {text!r}"
        )
    return sizes


def _summary(arguments):
    _check_model_file(arguments.model)
    start_keras()
    from kerasbnn.models.profiling import profile
    from kerasbnn.models.summarizing import print_table

    model = _load(arguments.model)
    try:
        result = profile(model, arguments.input_shape)
    except ValueError as error:
        raise CommandError(_in_words_of_the_command(error)) from error
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print_table(result)
    return 0


def _in_words_of_the_command(error):
    text = str(error).replace("`input_shape`", "--input-shape")
    return re.sub(
        r"input_shape=\(([^)]*)\)",
        lambda found: "--input-shape " + found[1].replace(" ", ""),
        text,
    )


def _check_model_file(path):
    """Raise a `CommandError` where Keras cannot have saved this."""
    if not path.exists():
        raise CommandError(f"there is no file '{path}'.")
    if path.is_dir():
        is_model = (path / "config.json").is_file()
    elif path.suffix in (".h5", ".hdf5"):
        with path.open("rb") as file:
            is_model = file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    else:
        is_model = path.suffix == ".keras" and zipfile.is_zipfile(path)
    if not is_model:
        raise CommandError(
            f"'{path}' is not a model that Keras has saved. Expected what "
            "model.save('model.keras') writes."
        )


def _load(path):
    import keras

    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        # Whatever it is, from a damaged file to a class of the user's: no model.
        raise CommandError(f"cannot load '{path}': {_reason(error)}") from error


def _reason(error):
    text = " ".join(str(error).split())
    unknown = re.search(r"Could not locate (?:class|function) '([^']+)'", text)
    # The wording of files in the older format.
    unknown = unknown or re.search(r"Unknown [a-z ]+: '?(\w+)", text)
    if unknown:
        return (
            f"it uses '{unknown[1]}', which is not known here. Load it in Python with "
            "keras.models.load_model(..., custom_objects=...) and call "
            "kerasbnn.models.summary(model)."
        )
    if "safe_mode" in text:
        return (
            "it holds Python code in a Lambda layer, which is not run for safety. "
            "Where you trust it, load it in Python with keras.models.load_model(..., "
            "safe_mode=False) and call kerasbnn.models.summary(model)."
        )
    # The first sentence says what is wrong; Keras may go on for a page.
    first = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
    return first or type(error).__name__


def _run_demo(arguments):
    start_keras()
    return _demo().run(arguments)


def _demo():
    return importlib.import_module("kerasbnn.demo")


COMMANDS = {
    "demo": Command(
        "train a small binary network on images of digits and save it",
        lambda parser: _demo().add_arguments(parser),
        _run_demo,
    ),
    "summary": Command(
        "show the bits, bytes and multiply-accumulates of a saved model",
        _add_summary_arguments,
        _summary,
    ),
}

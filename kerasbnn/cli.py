"""The command `kerasbnn`.

Keras and its backend take seconds to load, so this module and the declaration of the
arguments do without; a command imports them when it runs.
"""

import argparse
import importlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kerasbnn._arguments import (
    add_input_shape_argument,
    in_words_of_the_command,
    with_negative_pairs,
)
from kerasbnn._errors import CommandError
from kerasbnn._saved_models import check_model_file, start_keras
from kerasbnn._version import __version__
from kerasbnn.tfmot.saved_models import load_model

USAGE_ERROR = 2


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
    argv = with_negative_pairs(sys.argv[1:] if argv is None else argv)
    chosen = next((word for word in argv if not word.startswith("-")), None)
    try:
        arguments = _parser(chosen).parse_args(argv)
        status = COMMANDS[arguments.command].run(arguments)
        sys.stdout.flush()
        return status
    except CommandError as error:
        print(f"kerasbnn {chosen}: {error}", file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough. Python would complain at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser(chosen):
    parser = argparse.ArgumentParser(
        prog="kerasbnn", description="Train, understand and ship 1-bit neural networks."
    )
    parser.add_argument(
        "--version", action="version", version=f"kerasbnn {__version__}"
    )
    subparsers = parser.add_subparsers(dest="command", metavar="command", required=True)
    # Only the command at hand declares its arguments, so that no other is loaded.
    for name, command in COMMANDS.items():
        subparser = subparsers.add_parser(
            name, help=command.help, description=command.help
        )
        if name == chosen:
            command.add_arguments(subparser)
    return parser


def _add_summary_arguments(parser):
    parser.add_argument("model", type=Path, help="a model that Keras has saved")
    add_input_shape_argument(parser)
    parser.add_argument(
        "--json", action="store_true", help="print the numbers as JSON, not as a table"
    )


def _summary(arguments):
    check_model_file(arguments.model)
    start_keras()
    from kerasbnn.models.profiling import profile
    from kerasbnn.models.summarizing import print_table

    model = load_model(arguments.model, "models.summary")
    try:
        result = profile(model, arguments.input_shape)
    except ValueError as error:
        text = in_words_of_the_command(str(error), "input_shape")
        raise CommandError(text) from error
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print_table(result)
    return 0


def _command_of(module: str, description: str) -> Command:
    """Make a command of a module with `add_arguments` and `run`, loaded when needed."""

    def add_arguments(parser):
        importlib.import_module(module).add_arguments(parser)

    def run(arguments):
        return importlib.import_module(module).run(arguments)

    return Command(description, add_arguments, run)


COMMANDS = {
    "audit": _command_of(
        "kerasbnn.audit_command",
        "measure whether binary weights preserve what a saved model computes",
    ),
    "benchmark": _command_of(
        "kerasbnn.benchmark_command",
        "measure what packing brings a saved model: latency, size, agreement",
    ),
    "convert": _command_of(
        "kerasbnn.convert_command",
        "convert a saved model to a compact .tflite file with packed binary weights",
    ),
    "demo": _command_of(
        "kerasbnn.demo",
        "train a small binary network on images of digits, audit and export it",
    ),
    "export": _command_of(
        "kerasbnn.export_command",
        "write all that `kerasbnn serve` needs of a saved model into one folder",
    ),
    "serve": _command_of(
        "kerasbnn.serve.command",
        "answer over REST: predictions of converted models, and their geometry",
    ),
    "summary": Command(
        "show the bits, bytes and multiply-accumulates of a saved model",
        _add_summary_arguments,
        _summary,
    ),
}

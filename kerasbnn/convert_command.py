"""The command `kerasbnn convert`: a saved model as a compact file for inference."""

import argparse
import warnings
from pathlib import Path

from kerasbnn._arguments import add_input_shape_argument, in_words_of_the_command
from kerasbnn._errors import CommandError
from kerasbnn._metadata_arguments import add_metadata_arguments, given_labels
from kerasbnn._output_files import check_output
from kerasbnn._saved_models import check_model_file, start_keras
from kerasbnn.tfmot.saved_models import load_model

INSTALL = 'Run: pip install "kerasbnn[tflite]".'


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the command's arguments.

    Args:
        parser: The parser.
    """
    parser.add_argument("model", type=Path, help="a model that Keras has saved")
    parser.add_argument(
        "output", type=Path, help="the .tflite file to write, or the folder"
    )
    parser.add_argument(
        "--format",
        choices=("tflite", "larq"),
        default="tflite",
        help="a .tflite file, or a SavedModel folder that Larq Compute Engine converts "
        "(default: %(default)s)",
    )
    add_input_shape_argument(parser)
    parser.add_argument("--name", help="name of the model in the file")
    parser.add_argument(
        "--model-version", metavar="TEXT", help="version of the model in the file"
    )
    add_metadata_arguments(parser)
    parser.add_argument(
        "--decomposition",
        choices=("int8", "float"),
        default="int8",
        help="what interpreters without the delegate compute with (default: "
        "%(default)s)",
    )
    parser.add_argument(
        "--no-verify", action="store_true", help="do not compare the file with Keras"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the report as JSON"
    )


def run(arguments: argparse.Namespace) -> int:
    """Convert, print the report and write it.

    Args:
        arguments: What `add_arguments` declares.

    Returns:
        Exit status: 0.

    Raises:
        CommandError: The model or an argument is not usable.
    """
    check_model_file(arguments.model)
    if arguments.format == "tflite":
        check_output(arguments.output)
    if arguments.output.exists() and arguments.output.samefile(arguments.model):
        raise CommandError(f"'{arguments.output}' is the model. Name another file.")
    has_suffix = arguments.output.suffix == ".tflite"
    if arguments.format == "larq":
        _check_options_of_larq(arguments)
    if arguments.format == "tflite" and not has_suffix:
        raise CommandError(
            f"'{arguments.output}' must end in .tflite, as what is written does. "
            f"Name the file '{arguments.output.with_suffix('.tflite')}'."
        )
    if arguments.name is not None and not arguments.name.strip():
        raise CommandError(
            "--name must not be empty. Leave it out for the model's own."
        )
    if arguments.json is not None:
        check_output(arguments.json)
    labels = given_labels(arguments)
    start_keras("tflite")
    convert = import_convert()
    from kerasbnn.runtime.errors import DelegateError

    model = load_model(arguments.model, "convert")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = convert(
                model,
                arguments.output,
                input_shape=arguments.input_shape,
                verify_samples=not arguments.no_verify,
                name=arguments.name,
                version=arguments.model_version,
                labels=labels,
                normalization=arguments.normalization,
                decomposition=arguments.decomposition,
                format=arguments.format,
            )
    except (ValueError, TypeError, OSError, DelegateError) as error:
        options = ("input_shape", "labels", "name")
        text = in_words_of_the_command(str(error), *options)
        raise CommandError(" ".join(text.split())) from error
    report.show()
    if arguments.json is not None:
        try:
            report.to_json(arguments.json)
        except OSError as error:
            raise CommandError(str(error)) from error
    print(f"Written: {arguments.output}")
    return 0


def _check_options_of_larq(arguments):
    if arguments.output.suffix == ".tflite":
        raise CommandError(
            f"'{arguments.output}' ends in .tflite, but what is written is a folder. "
            f"Name it '{arguments.output.with_suffix('')}'."
        )
    only_tflite = {
        "--name": arguments.name,
        "--model-version": arguments.model_version,
        "--labels": arguments.labels,
        "--normalization": arguments.normalization,
        "--decomposition": None if arguments.decomposition == "int8" else "float",
    }
    for option, value in only_tflite.items():
        if value is not None:
            raise CommandError(
                f"{option} is for .tflite files; a SavedModel for Larq Compute Engine "
                "has no place for it. Leave it out, or use --format tflite."
            )


def import_convert():
    """Return `kerasbnn.convert`, or say what to install.

    Raises:
        CommandError: Something is not installed.
    """
    try:
        from kerasbnn.tflite import convert
    except ModuleNotFoundError as error:
        raise CommandError(f"{error.name!r} is not installed. {INSTALL}") from error
    return convert

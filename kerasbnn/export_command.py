"""The command `kerasbnn export`: all that a service needs of a saved model."""

import argparse
import shlex
import sys
import warnings
from pathlib import Path

from kerasbnn._arguments import add_input_shape_argument, in_words_of_the_command
from kerasbnn._errors import CommandError
from kerasbnn._input_files import add_input_arguments, given_inputs, lacks_channels
from kerasbnn._metadata_arguments import add_metadata_arguments, given_labels
from kerasbnn._output_files import check_output
from kerasbnn._saved_models import check_model_file, start_keras
from kerasbnn.tfmot.saved_models import load_model

# Those that are named as the arguments of `kerasbnn.export` are.
OPTIONS = ("data", "input_shape", "labels", "max_samples", "overwrite")


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the command's arguments.

    Args:
        parser: The parser.
    """
    parser.add_argument("model", type=Path, help="a model that Keras has saved")
    parser.add_argument(
        "folder",
        type=Path,
        metavar="MODEL_DIR/NAME/VERSION",
        help="the folder to write, such as models/digits/1; the service calls the "
        "model NAME",
    )
    add_input_arguments(parser, "those of live requests are compared with them")
    add_input_shape_argument(parser)
    add_metadata_arguments(parser)
    parser.add_argument(
        "--max-samples",
        type=int,
        default=1024,
        metavar="N",
        help="samples of the data to use, from its start (default: %(default)s)",
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a model that is in the folder already",
    )
    parser.add_argument(
        "--no-verify", action="store_true", help="do not compare the files with Keras"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the report as JSON"
    )


def run(arguments: argparse.Namespace) -> int:
    """Export, print the report and how to serve the model.

    Args:
        arguments: What `add_arguments` declares.

    Returns:
        Exit status: 0.

    Raises:
        CommandError: The model, the data or an argument is not usable.
    """
    check_model_file(arguments.model)
    if arguments.json is not None:
        check_output(arguments.json)
    labels = given_labels(arguments)
    data = given_inputs(arguments)
    if data is None:
        raise CommandError(
            "needs --data, a file of inputs as in training, which live ones are "
            "compared with."
        )
    start_keras("tflite")
    export = _import_export()
    from kerasbnn.runtime.errors import DelegateError

    model = load_model(arguments.model, "export")
    if lacks_channels(data, model):
        data = data[..., None]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = export(
                model,
                arguments.folder,
                data,
                labels=labels,
                normalization=arguments.normalization,
                input_shape=arguments.input_shape,
                max_samples=arguments.max_samples,
                verify_samples=not arguments.no_verify,
                overwrite=arguments.overwrite,
                verbose=int(sys.stdout.isatty()),
            )
    except (ValueError, TypeError, OSError, DelegateError) as error:
        text = in_words_of_the_command(str(error), *OPTIONS)
        raise CommandError(" ".join(text.split())) from error
    report.show()
    if arguments.json is not None:
        try:
            report.to_json(arguments.json)
        except OSError as error:
            raise CommandError(str(error)) from error
    model_dir = shlex.quote(str(arguments.folder.parent.parent))
    print(f"\nServe it: kerasbnn serve {model_dir}")
    return 0


def _import_export():
    try:
        from kerasbnn.exporting import export
    except ModuleNotFoundError as error:
        raise CommandError(
            f'{error.name!r} is not installed. Run: pip install "kerasbnn[tflite]".'
        ) from error
    return export

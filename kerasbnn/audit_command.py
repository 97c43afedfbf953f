"""The command `kerasbnn audit`: the geometry of a saved model."""

import argparse
from pathlib import Path

from kerasbnn._arguments import in_words_of_the_command
from kerasbnn._errors import CommandError
from kerasbnn._input_files import add_input_arguments, given_inputs, lacks_channels
from kerasbnn._saved_models import check_model_file, start_keras
from kerasbnn.tfmot.saved_models import load_model

FORMATS = ("html", "json", "markdown")


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the command's arguments.

    Args:
        parser: The parser.
    """
    parser.add_argument("model", type=Path, help="a model that Keras has saved")
    add_input_arguments(parser, "without it only the weights are seen")
    parser.add_argument(
        "--layers",
        nargs="+",
        metavar="PATH",
        help="layers to audit (default: all); after the model",
    )
    parser.add_argument(
        "--max-samples",
        type=int,
        default=512,
        metavar="N",
        help="number of samples to use (default: %(default)s)",
    )
    parser.add_argument(
        "--quantizer",
        default="ste_sign",
        metavar="NAME",
        help="quantizer to measure float layers with (default: %(default)s)",
    )
    for name in FORMATS:
        parser.add_argument(
            f"--{name}", type=Path, metavar="FILE", help=f"write the report as {name}"
        )


def run(arguments: argparse.Namespace) -> int:
    """Audit, print the table and write the reports.

    Args:
        arguments: What `add_arguments` declares.

    Returns:
        Exit status: 0.

    Raises:
        CommandError: The model, the data or an argument is not usable.
    """
    check_model_file(arguments.model)
    for name in FORMATS:
        path = getattr(arguments, name)
        if path is not None and not path.parent.is_dir():
            raise CommandError(f"--{name}: there is no folder '{path.parent}'.")
        if path is not None and path.is_dir():
            raise CommandError(f"--{name}: '{path}' is a folder. Name a file in it.")
    data = given_inputs(arguments)
    start_keras()
    from kerasbnn.auditing import audit

    model = load_model(arguments.model, "audit")
    if data is not None and lacks_channels(data, model):
        data = data[..., None]
    try:
        report = audit(
            model,
            data,
            arguments.layers,
            arguments.max_samples,
            quantizer=arguments.quantizer,
        )
    except Exception as error:
        text = str(error)
        is_ours = isinstance(error, (TypeError, ValueError)) and "\n" not in text
        if not is_ours:
            if data is None:
                raise
            # Keras goes on for many lines; what the data lacks is in none of them.
            text = (
                f"the model cannot compute with inputs of shape {data.shape[1:]}. "
                "Expected samples for which model.predict works."
            )
        text = in_words_of_the_command(text, "max_samples", "quantizer", "layers")
        raise CommandError(text) from error
    report.show()
    written = []
    try:
        for name in FORMATS:
            path = getattr(arguments, name)
            if path is not None:
                getattr(report, f"to_{name}")(path)
                written.append(str(path))
    except (ImportError, OSError) as error:
        raise CommandError(str(error)) from error
    if written:
        print("Written: " + ", ".join(written))
    return 0

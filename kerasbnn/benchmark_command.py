"""The command `kerasbnn benchmark`: what packing brings a saved model."""

import argparse
import warnings
from pathlib import Path

from kerasbnn._arguments import add_input_shape_argument, in_words_of_the_command
from kerasbnn._errors import CommandError
from kerasbnn._input_files import add_input_arguments, given_inputs, lacks_channels
from kerasbnn._saved_models import check_model_file, start_keras
from kerasbnn.tfmot.saved_models import load_model

PICTURE = Path("benchmark.png")
# Those that are named as the arguments of `kerasbnn.benchmark` are.
OPTIONS = ("batch_size", "max_samples", "seconds", "input_shape", "data")


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the command's arguments.

    Args:
        parser: The parser.
    """
    parser.add_argument("model", type=Path, help="a model that Keras has saved")
    add_input_arguments(parser, "without it random inputs")
    add_input_shape_argument(parser)
    for name, default, what in (
        ("batch-size", 1, "samples of one call"),
        ("threads", 1, "threads of one call"),
        (
            "max-samples",
            256,
            "samples to compare with Keras on; without --data at most 100 random ones",
        ),
    ):
        parser.add_argument(
            f"--{name}",
            type=int,
            default=default,
            metavar="N",
            help=f"{what} (default: %(default)s)",
        )
    parser.add_argument(
        "--seconds",
        type=float,
        default=6.0,
        metavar="S",
        help="what to spend on timing (default: %(default)s)",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        nargs="?",
        const=PICTURE,
        metavar="FILE",
        help=f"draw a bar chart; without a name, to {PICTURE}; after the model",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures as JSON"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure, print the table, write the picture and the figures.

    Args:
        arguments: What `add_arguments` declares.

    Returns:
        Exit status: 0.

    Raises:
        CommandError: The model, the data or an argument is not usable.
    """
    check_model_file(arguments.model)
    _check_outputs(arguments)
    data = given_inputs(arguments)
    start_keras("tflite")
    benchmark = _import_benchmark()
    from kerasbnn.runtime.errors import DelegateError

    model = load_model(arguments.model, "benchmark")
    if data is not None and lacks_channels(data, model):
        data = data[..., None]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            report = benchmark(
                model,
                data,
                batch_size=arguments.batch_size,
                num_threads=arguments.threads,
                max_samples=arguments.max_samples,
                seconds=arguments.seconds,
                input_shape=arguments.input_shape,
            )
    except (ValueError, TypeError, DelegateError) as error:
        text = str(error).replace("`num_threads`", "--threads")
        text = in_words_of_the_command(text, *OPTIONS)
        raise CommandError(text) from error
    report.show()
    written = []
    try:
        for path, write in (
            (arguments.plot, report.plot),
            (arguments.json, report.to_json),
        ):
            if path is not None:
                write(path)
                written.append(str(path))
    except (ValueError, OSError) as error:
        raise CommandError(str(error)) from error
    if written:
        print("Written: " + ", ".join(written))
    return 0


def _check_outputs(arguments):
    for name in ("plot", "json"):
        path = getattr(arguments, name)
        if path is not None and not path.parent.is_dir():
            raise CommandError(f"--{name}: there is no folder '{path.parent}'.")
        if path is not None and path.is_dir():
            raise CommandError(f"--{name}: '{path}' is a folder. Name a file in it.")
    if arguments.plot is not None:
        from kerasbnn.geometry.views.plots import check_format

        try:
            check_format(arguments.plot)
        except (ValueError, ImportError) as error:
            raise CommandError(f"--plot: {error}") from error


def _import_benchmark():
    try:
        from kerasbnn.benchmarking import benchmark
    except ModuleNotFoundError as error:
        raise CommandError(
            f"{error.name!r} is not installed. Run: pip install "
            '"kerasbnn[tflite,plots]".'
        ) from error
    return benchmark

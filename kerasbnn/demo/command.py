"""The command `kerasbnn demo`."""

import re
from pathlib import Path

from kerasbnn.demo.reporting import report
from kerasbnn.demo.shipping import ship
from kerasbnn.demo.training import train


def add_arguments(parser):
    """Declare the command's arguments.

    Args:
        parser: An `argparse.ArgumentParser`.
    """
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE.npz",
        help="labelled images in the layout of keras.datasets; "
        "without it, scikit-learn's handwritten digits",
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("kerasbnn-demo"),
        metavar="FOLDER",
        help="where to write the model, the files for a service, the learning curve, "
        "the geometry of the layers and the benchmark (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        help="how often to see every image; default: by their number",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")


def run(arguments):
    """Train, audit, export and benchmark a network; write the results.

    Args:
        arguments: What `add_arguments` declares.

    Returns:
        Exit status: 0.

    Raises:
        CommandError: The data or an argument is not usable.
    """
    from kerasbnn import datasets
    from kerasbnn._errors import CommandError
    from kerasbnn._saved_models import start_keras
    from kerasbnn.runtime import delegate
    from kerasbnn.runtime.errors import DelegateError

    if arguments.epochs is not None and arguments.epochs < 1:
        raise CommandError(
            f"--epochs must be at least 1. Received: {arguments.epochs}."
        )
    if arguments.seed < 0:
        raise CommandError(f"--seed must be at least 0. Received: {arguments.seed}.")
    try:
        if arguments.data is None:
            images = datasets.load_digits(seed=arguments.seed)
        else:
            images = datasets.load_npz(arguments.data)
        arguments.out.mkdir(parents=True, exist_ok=True)
    except (ValueError, OSError) as error:
        raise CommandError(str(error)) from error
    except ModuleNotFoundError as error:
        raise CommandError(
            f'{error.name!r} is not installed. Run: pip install "kerasbnn[demo]".'
        ) from error

    try:
        delegate.load_if_usable()
    except DelegateError as error:
        raise CommandError(str(error)) from error
    start_keras()
    print(
        f"{len(images.x_train)} training and {len(images.x_test)} test images of "
        f"{images.x_train.shape[1:]}, {images.num_classes} classes: {images.source}."
    )
    model, history = train(images, arguments.epochs, arguments.seed)
    files = report(model, images, history, arguments.out)
    name = "digits" if arguments.data is None else _name_of(arguments.data)
    shipped = ship(model, images, name, arguments.out)
    print("\nWritten: " + ", ".join(str(file) for file in [*files, *shipped.files]))
    shipped.show_how_to_serve()
    return 0


def _name_of(path):
    """Return what a service can call a model that was trained on a file."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")
    return name[:128] or "model"

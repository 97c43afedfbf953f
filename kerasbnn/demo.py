"""The command `kerasbnn demo`: a small binary network, from images to one file."""

import json
import warnings
from pathlib import Path

FILTERS = (32, 64, 64)
BATCH_SIZE = 64
LEARNING_RATE = 1e-2
# Epochs to see about this many images in all, but for small data sets not more.
IMAGES_TO_SEE = 120_000
MOST_EPOCHS = 45
BENCHMARK_SECONDS = 3.0
_WIDTH = 20


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
        help="where to write the model, the converted file, the learning curve, the "
        "geometry of the layers and the benchmark (default: %(default)s)",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        help="how often to see every image; default: by their number",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")


def run(arguments):
    """Train, audit, convert and benchmark a network; write the results.

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
    files = _report(model, images, history, arguments.out)
    files += _ship(model, images, arguments.out)
    print("\nWritten: " + ", ".join(str(file) for file in files))
    return 0


def default_epochs(num_images):
    """Choose how often to see every image.

    Args:
        num_images: Number of training images.

    Returns:
        Number of epochs, from 3 to 45.

    Example:
        >>> from kerasbnn.demo import default_epochs
        >>> default_epochs(1198), default_epochs(60_000)
        (45, 3)
    """
    return min(MOST_EPOCHS, max(3, IMAGES_TO_SEE // num_images))


def train(images, epochs=None, seed=0, verbose=1, filters=FILTERS):
    """Train a binary convolutional network with `model.fit`.

    Every layer has binary weights, and every layer but the first binary inputs.

    Args:
        images: `kerasbnn.datasets.LabelledImages`.
        epochs: Number of epochs; None chooses by the number of images.
        seed: Of the initial weights, the order of the images and their jitter.
        verbose: As for `model.fit`.
        filters: Channels of each convolution.

    Returns:
        The trained model and the history of its training, a dict of lists.
    """
    import keras

    from kerasbnn.applications import binarynet_cifar10
    from kerasbnn.recipes import SparseSquaredHinge

    keras.utils.set_random_seed(seed)
    epochs = epochs or default_epochs(len(images.x_train))
    model = binarynet_cifar10(
        input_shape=images.x_train.shape[1:],
        num_classes=images.num_classes,
        filters=filters,
        units=(),
        pad_values=1,
        # The usual 0.999 would need thousands of steps to settle.
        batchnorm_momentum=0.9,
        name="demo",
    )
    batches = _jittered_batches(images, seed)
    model.compile(
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(
                LEARNING_RATE, epochs * len(batches)
            ),
            clipvalue=1.0,
        ),
        loss=SparseSquaredHinge(),
        metrics=["accuracy"],
    )
    history = model.fit(
        batches,
        epochs=epochs,
        validation_data=(images.x_test, images.y_test),
        validation_batch_size=512,
        verbose=verbose,
    )
    return model, history.history


def _jittered_batches(images, seed):
    import keras
    import numpy as np

    from kerasbnn.datasets import jittered

    class JitteredBatches(keras.utils.PyDataset):
        """Shuffled batches, each image moved, turned and resized a little."""

        def __init__(self):
            super().__init__()
            self.rng = np.random.default_rng(seed)
            self.order = self.rng.permutation(len(images.x_train))

        def __len__(self):
            return -(-len(self.order) // BATCH_SIZE)

        def __getitem__(self, index):
            chosen = self.order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]
            return jittered(images.x_train[chosen], self.rng), images.y_train[chosen]

        def on_epoch_end(self):
            self.order = self.rng.permutation(self.order)

    return JitteredBatches()


def _report(model, images, history, out):
    """Say what was trained and what the audit finds; return what was written."""
    from kerasbnn import audit, models

    _, accuracy = model.evaluate(
        images.x_test, images.y_test, batch_size=512, verbose=0
    )
    print()
    models.summary(model)
    print(f"Test accuracy: {accuracy:.2%} of {len(images.x_test)} images.")
    print("\nDoes binarization preserve what the layers compute? The audit:")
    geometry = audit(model, images.x_test)
    geometry.show()
    names = ("model.keras", "history.json", "learning_curve.png", "geometry.html")
    files = [out / name for name in names]
    model.save(files[0])
    files[1].write_text(json.dumps(history, indent=2) + "\n")
    _plot(history, files[2])
    geometry.to_html(files[3])
    return files


def _ship(model, images, out):
    """Convert, predict from the file and benchmark; return what was written."""
    try:
        from kerasbnn import Interpreter, benchmark, convert
        from kerasbnn.tflite import ConversionError
    except ImportError as error:
        print(f"\nNot converted. {error}")
        return []
    files = [out / "model.tflite", out / "benchmark.png"]
    print("\nThe network as one file:")
    try:
        with warnings.catch_warnings():
            # What is missing is said below.
            warnings.simplefilter("ignore")
            convert(model, files[0]).show()
    except ConversionError as error:
        print(f"Not converted. {error}")
        return []
    _compare(model, images, Interpreter, files[0])
    print("\nWhat that brings:")
    report = benchmark(model, images.x_test, seconds=BENCHMARK_SECONDS)
    report.show()
    report.plot(files[1])
    return files


def _compare(model, images, interpreter, path):
    """Predict the held-out images with Keras and from the file."""
    from kerasbnn.runtime import status

    x, labels = images.x_test, images.y_test
    expected = model.predict(x, batch_size=512, verbose=0).argmax(axis=-1)
    print(f"\nPredictions of the {len(x)} held-out images:")
    print(f"  {'Keras':<{_WIDTH}}{_accuracy(expected, labels)}")
    found = status()
    for name, delegate in (("the file in LiteRT", False), ("and our delegate", True)):
        if delegate and found.implementation is None:
            print(f"  {name:<{_WIDTH}}not there: {found.reason}. {found.advice}")
            continue
        with interpreter(path, delegate=delegate) as file:
            classes = file.predict(x).argmax(axis=-1)
        same = int((classes == expected).sum())
        print(
            f"  {name:<{_WIDTH}}{_accuracy(classes, labels)}, the class of Keras "
            f"for {same} of {len(x)}"
        )


def _accuracy(classes, labels):
    return f"{(classes == labels).mean():.2%} right"


def _plot(history, path):
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot as plt
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    epochs = range(1, len(history["loss"]) + 1)
    figure, (top, bottom) = plt.subplots(
        2, 1, sharex=True, figsize=(7, 6), layout="constrained"
    )
    for axes, quantity in ((top, "accuracy"), (bottom, "loss")):
        marker = "o" if len(epochs) < 20 else None
        axes.plot(epochs, history[quantity], marker=marker, label="training, jittered")
        axes.plot(epochs, history[f"val_{quantity}"], marker=marker, label="test")
        axes.set_ylabel(quantity)
        axes.grid(alpha=0.3)
        axes.legend()
    top.yaxis.set_major_formatter(PercentFormatter(1.0))
    top.set_title("A network of binary weights and activations learns")
    bottom.set_yscale("log")
    bottom.set_xlabel("epoch")
    bottom.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.savefig(path, dpi=150)
    plt.close(figure)

"""Exports what the demo has trained, tries the files and says how to serve them."""

import shlex
import warnings
from dataclasses import dataclass
from pathlib import Path

BENCHMARK_SECONDS = 3.0
# Images are sent as bytes, of which 0 and 255 become the -1 and 1 of the training.
NORMALIZATION = {"mean": 127.5, "std": 127.5}
URL = "http://127.0.0.1:8000/v2/models"
_WIDTH = 20


@dataclass(frozen=True)
class Shipped:
    """What was written to ship the network.

    Attributes:
        files: Files and folders.
        models: The folder to serve, or None where nothing was exported.
        name: Name of the model in the service.
        image: An image to send, or None.
    """

    files: list[Path]
    models: Path | None = None
    name: str = ""
    image: Path | None = None

    def show_how_to_serve(self):
        """Print the commands that serve the model and that ask the service."""
        if self.models is None:
            return
        url = f"{URL}/{self.name}"
        print("\nServe it:")
        print(f"  kerasbnn serve {shlex.quote(str(self.models))}")
        print("and ask it, in another terminal, for a prediction and the geometry:")
        if self.image is not None:
            field = shlex.quote(f"image=@{self.image}")
            print(f"  curl --form {field} {url}/predict")
        print(f"  curl {url}/geometry")
        print(f"  curl {url}/geometry/live")
        print(f"or look at it in a browser: {URL.partition('/v2')[0]}/")


def ship(model, images, name: str, out: Path) -> Shipped:
    """Export, predict from the file and benchmark.

    Args:
        model: The trained model.
        images: `kerasbnn.datasets.LabelledImages`.
        name: Name of the model in the service.
        out: Folder to write to.

    Returns:
        What was written.
    """
    try:
        from kerasbnn import Interpreter, benchmark, export
    except ImportError as error:
        print(f"\nNot exported. {error}")
        return Shipped([])
    folder = out / "models" / name / "1"
    print("\nThe network as files for a service:")
    try:
        with warnings.catch_warnings():
            # What is missing is said below.
            warnings.simplefilter("ignore")
            export(
                model,
                folder,
                images.x_train,
                labels=[str(label) for label in range(images.num_classes)],
                normalization=NORMALIZATION,
                overwrite=True,
            ).show()
    except (ValueError, OSError) as error:
        print(f"Not exported. {error}")
        return Shipped([])
    _compare(model, images, Interpreter, folder / "model.tflite")
    print("\nWhat that brings:")
    report = benchmark(model, images.x_test, seconds=BENCHMARK_SECONDS)
    report.show()
    chart = out / "benchmark.png"
    report.plot(chart)
    files = [folder, chart]
    image = _written_image(images.x_test[0], out / "image.png")
    if image is not None:
        files.append(image)
        print(f"\n{image} is a held-out image of class {images.y_test[0]}.")
    return Shipped(files, out / "models", name, image)


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


def _written_image(values, path):
    """Write values from -1 to 1 as an image, where they can be one."""
    import numpy as np
    from PIL import Image

    height, width, channels = values.shape
    if channels not in (1, 3):
        return None
    shape = (height, width) if channels == 1 else values.shape
    pixels = np.round((values + 1) * 127.5).clip(0, 255).astype("uint8")
    Image.fromarray(pixels.reshape(shape)).save(path)
    return path

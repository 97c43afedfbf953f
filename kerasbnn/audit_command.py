"""The command `kerasbnn audit`: the geometry of a saved model."""

import argparse
import zipfile
from pathlib import Path

from kerasbnn._errors import CommandError
from kerasbnn._saved_models import check_model_file, load_model, start_keras

# Names of an array of inputs, the likeliest first.
KEYS = ("x", "x_test", "x_val", "x_train")
FORMATS = ("html", "json", "markdown")


def add_arguments(parser: argparse.ArgumentParser):
    """Declare the command's arguments.

    Args:
        parser: The parser.
    """
    parser.add_argument("model", type=Path, help="a model that Keras has saved")
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="inputs of the model: an .npy, or an .npz with an array named "
        f"{', '.join(KEYS[:-1])} or {KEYS[-1]}; without it only the weights are seen",
    )
    parser.add_argument("--key", metavar="NAME", help="name of the array in the .npz")
    parser.add_argument(
        "--range",
        type=_range,
        metavar="LOW,HIGH",
        help="values of the file that become -1 and 1, such as 0,255; "
        "by default they are taken as they are",
    )
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
    data = None
    if arguments.data is not None:
        data = read_inputs(arguments.data, arguments.key, arguments.range)
    start_keras()
    from kerasbnn.auditing import audit

    model = load_model(arguments.model, "audit")
    if data is not None and _lacks_channels(data, model):
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
        raise CommandError(_in_words_of_the_command(text)) from error
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


def read_inputs(path: Path, key: str | None = None, limits=None):
    """Read an array of inputs from a file.

    Args:
        path: An `.npy`, or an `.npz`.
        key: Name of the array in the `.npz`; None for the likeliest.
        limits: Two values that become -1 and 1; None for the values as they are.

    Returns:
        Float32 array `(samples, ...)`.

    Raises:
        CommandError: There is no such file or array, or it holds no finite numbers.

    Example:
        >>> from pathlib import Path
        >>> import numpy as np
        >>> from kerasbnn.audit_command import read_inputs
        >>> np.savez("x.npz", x=np.array([[0, 255]], "uint8"))
        >>> read_inputs(Path("x.npz"), limits=(0, 255))
        array([[-1.,  1.]], dtype=float32)
    """
    import numpy as np

    if not path.is_file():
        raise CommandError(f"there is no file '{path}'.")
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if not isinstance(loaded, np.ndarray):
                loaded = loaded[_chosen(path, list(loaded), key)]
            elif key is not None:
                raise CommandError(f"--key is for an .npz, but '{path}' is an .npy.")
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise CommandError(
            f"'{path}' is not usable. Expected an .npy or .npz of numbers, as "
            "numpy.save and numpy.savez write them."
        ) from error
    if loaded.ndim < 2 or not len(loaded) or loaded.dtype.kind not in "uifb":
        raise CommandError(
            f"'{path}' must hold numbers of shape (samples, ...), at least one sample. "
            f"Received shape {loaded.shape}, dtype {loaded.dtype}."
        )
    values = loaded.astype("float32")
    if not np.isfinite(values).all():
        raise CommandError(f"'{path}' has values that are NaN or infinite.")
    if limits is not None:
        low, high = limits
        values = (values - low) * (2 / (high - low)) - 1
    return values.astype("float32")


def _chosen(path, names, key):
    if key is not None:
        if key not in names:
            raise CommandError(f"'{path}' has no '{key}'. It has: {', '.join(names)}.")
        return key
    for name in KEYS:
        if name in names:
            return name
    if len(names) == 1:
        return names[0]
    if not names:
        raise CommandError(f"'{path}' holds no arrays.")
    raise CommandError(
        f"'{path}' has the arrays {', '.join(names)}. Name one with --key."
    )


def _lacks_channels(data, model) -> bool:
    """Tell whether the inputs are images without the axis of their one channel."""
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple):
        return False
    return len(shape) == data.ndim + 1 and shape[-1] == 1


def _range(text):
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not low < high:
        raise argparse.ArgumentTypeError(
            f"expected two numbers such as 0,255, the lower one first, but got {text!r}"
        )
    return low, high


def _in_words_of_the_command(text):
    for name in ("max_samples", "quantizer", "layers"):
        text = text.replace(f"`{name}`", f"--{name.replace('_', '-')}")
    return text

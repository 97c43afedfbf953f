"""Arrays of inputs, for the commands: reading them from files."""

import argparse
import zipfile
from pathlib import Path

from kerasbnn._errors import CommandError

# Names of an array of inputs, the likeliest first.
KEYS = ("x", "x_test", "x_val", "x_train")


def add_input_arguments(parser: argparse.ArgumentParser, otherwise: str):
    """Declare the arguments that name inputs.

    Args:
        parser: The parser.
        otherwise: What is done without data.

    Example:
        >>> import argparse
        >>> from kerasbnn._input_files import add_input_arguments
        >>> parser = argparse.ArgumentParser()
        >>> add_input_arguments(parser, "without it nothing happens")
        >>> parser.parse_args(["--range", "0,255"]).range
        (0.0, 255.0)
    """
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FILE",
        help="inputs of the model: an .npy, or an .npz with an array named "
        f"{', '.join(KEYS[:-1])} or {KEYS[-1]}; {otherwise}",
    )
    parser.add_argument("--key", metavar="NAME", help="name of the array in the .npz")
    parser.add_argument(
        "--range",
        type=_range,
        metavar="LOW,HIGH",
        help="values of the file that become -1 and 1, such as 0,255; "
        "by default they are taken as they are",
    )


def given_inputs(arguments: argparse.Namespace):
    """Read the inputs that the arguments of a command name.

    Args:
        arguments: What `add_input_arguments` declares.

    Returns:
        Float32 array `(samples, ...)`, or None without `--data`.

    Raises:
        CommandError: The file is not usable, or an option needs one.

    Example:
        >>> import argparse
        >>> from kerasbnn._input_files import add_input_arguments, given_inputs
        >>> parser = argparse.ArgumentParser()
        >>> add_input_arguments(parser, "without it nothing happens")
        >>> given_inputs(parser.parse_args([])) is None
        True
    """
    if arguments.data is not None:
        return read_inputs(arguments.data, arguments.key, arguments.range)
    for name in ("key", "range"):
        if getattr(arguments, name) is not None:
            raise CommandError(f"--{name} needs --data, the file that it is about.")
    return None


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
        >>> from kerasbnn._input_files import read_inputs
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


def lacks_channels(data, model) -> bool:
    """Tell whether inputs are images without the axis of their one channel.

    Args:
        data: Array of inputs.
        model: The model that takes them.

    Returns:
        Whether the axis is missing.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from kerasbnn._input_files import lacks_channels
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
        >>> lacks_channels(np.zeros((5, 8, 8)), model)
        True
    """
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

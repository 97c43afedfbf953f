"""Models that Keras has saved, for the commands: checking and loading them."""

import contextlib
import importlib
import os
import re
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from kerasbnn._errors import CommandError

HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
# What Keras says of a class that it does not know; the second wording is that of files
# in the older format.
_UNKNOWN = re.compile(
    r"Could not locate (?:class|function) '([^']+)'|Unknown [a-z ]+: '?(\w+)"
)


def start_keras(extra: str | None = None):
    """Import Keras and its backend, without the lines that TensorFlow writes.

    Those who set `TF_CPP_MIN_LOG_LEVEL` see them all.

    Args:
        extra: What to install of kerasbnn where something is missing; None for any
            backend.

    Raises:
        CommandError: Keras or its backend is not installed.
    """
    show_all = "TF_CPP_MIN_LOG_LEVEL" in os.environ
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with contextlib.nullcontext() if show_all else held_back_errors():
            importlib.import_module("keras")
    except ModuleNotFoundError as error:
        if error.name not in ("keras", "tensorflow", "jax", "torch"):
            raise
        advice = f'Run: pip install "kerasbnn[{extra or "tensorflow"}]"'
        if extra is None:
            advice += (
                " (or [jax], or [torch], with the environment variable KERAS_BACKEND "
                "set to match)"
            )
        raise CommandError(
            f"needs Keras and a backend for it, but {error.name!r} is not installed. "
            f"{advice}."
        ) from error


@contextlib.contextmanager
def held_back_errors() -> Iterator[None]:
    """Hold back what is written to the standard error; show it after an exception.

    TensorFlow's libraries write some lines before they read their log level, and past
    `sys.stderr`.
    """
    sys.stderr.flush()
    screen = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            with open(screen, "wb", closefd=False) as stream:
                shutil.copyfileobj(held_back, stream)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(screen, 2)
            os.close(screen)


def check_model_file(path: Path):
    """Check, without loading Keras, that Keras can have saved this.

    Args:
        path: File or folder.

    Raises:
        CommandError: It cannot have.
    """
    if not path.exists():
        raise CommandError(f"there is no file '{path}'.")
    if path.is_dir():
        is_model = (path / "config.json").is_file()
    elif path.suffix in (".h5", ".hdf5"):
        with path.open("rb") as file:
            is_model = file.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    else:
        is_model = path.suffix == ".keras" and zipfile.is_zipfile(path)
    if not is_model:
        raise CommandError(
            f"'{path}' is not a model that Keras has saved. Expected what "
            "model.save('model.keras') writes."
        )


def load_model(path: Path, function: str):
    """Load a model without its training state.

    Args:
        path: What `model.save` has written.
        function: Function of kerasbnn to name where the model must be loaded by hand.

    Returns:
        The `keras.Model`.

    Raises:
        CommandError: It cannot be loaded.
    """
    import keras

    try:
        try:
            return keras.models.load_model(path, compile=False)
        except Exception as error:
            if not _UNKNOWN.search(str(error)):
                raise
            # Those classes alone are not known to Keras as soon as kerasbnn is there.
            importlib.import_module("kerasbnn.larq")
            return keras.models.load_model(path, compile=False)
    except Exception as error:
        # Whatever it is, from a damaged file to a class of the user's: no model.
        raise CommandError(
            f"cannot load '{path}': {_reason(error, function)}"
        ) from error


def _reason(error, function):
    text = " ".join(str(error).split())
    unknown = _UNKNOWN.search(text)
    if unknown:
        name = unknown[1] or unknown[2]
        return (
            f"it uses '{name}', which is not known here. Load it in Python with "
            "keras.models.load_model(..., custom_objects=...) and call "
            f"kerasbnn.{function}(model)."
        )
    if "safe_mode" in text:
        return (
            "it holds Python code in a Lambda layer, which is not run for safety. "
            "Where you trust it, load it in Python with keras.models.load_model(..., "
            f"safe_mode=False) and call kerasbnn.{function}(model)."
        )
    # The first sentence says what is wrong; Keras may go on for a page.
    first = re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0]
    return first or type(error).__name__

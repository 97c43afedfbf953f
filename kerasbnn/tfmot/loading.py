"""The one place that imports tensorflow-model-optimization.

It works on tf_keras alone, and importing it sets the environment variable
`TF_USE_LEGACY_KERAS`, by which TensorFlow decides, when `tf.keras` is first used,
whether that is Keras 3 or tf_keras; processes started later would inherit it.
"""

import contextlib
import importlib
import os
import sys
import warnings
from types import ModuleType
from typing import Any, NamedTuple

VARIABLE = "TF_USE_LEGACY_KERAS"
PACKAGES = ("tensorflow", "tf_keras", "tensorflow_model_optimization")


class Libraries(NamedTuple):
    """The libraries that TFMOT's models are made with.

    Attributes:
        tfmot: `tensorflow_model_optimization`.
        keras: `tf_keras`, the Keras 2 that TFMOT works on.
        tf: `tensorflow`.
    """

    tfmot: Any
    keras: Any
    tf: Any


def load() -> Libraries:
    """Import TFMOT, leaving `tf.keras` and the environment as they are.

    Returns:
        The modules.

    Raises:
        ImportError: Something of it is not installed.

    Example:
        >>> from kerasbnn.tfmot import loading
        >>> loading.load().keras.__name__
        'tf_keras'
    """
    with _as_before():
        try:
            tf = importlib.import_module("tensorflow")
            # Settles what `tf.keras` is before TFMOT asks for the other one.
            getattr(tf.keras, "version", None)
            tfmot = _import_quietly("tensorflow_model_optimization")
            keras = importlib.import_module("tf_keras")
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in PACKAGES:
                raise
            raise ImportError(
                "kerasbnn.tfmot needs tensorflow-model-optimization and tf_keras for "
                f"models of tf_keras, but {error.name!r} is not installed. Run: "
                'pip install "kerasbnn[tfmot]".'
            ) from error
    return Libraries(tfmot, keras, tf)


def loaded_keras() -> ModuleType | None:
    """Return tf_keras where somebody has imported it, without importing it."""
    return sys.modules.get("tf_keras")


@contextlib.contextmanager
def _as_before():
    """Put the environment variable back to what it was, or to not being set."""
    before = os.environ.get(VARIABLE)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(VARIABLE, None)
        else:
            os.environ[VARIABLE] = before


def _import_quietly(name):
    with warnings.catch_warnings():
        # It compares versions with what distutils had for that.
        warnings.filterwarnings(
            "ignore", "distutils Version classes are deprecated", DeprecationWarning
        )
        return importlib.import_module(name)

"""Models in files, for the commands: of Keras, or quantized with TFMOT."""

import json
import zipfile
from pathlib import Path

from kerasbnn import _saved_models
from kerasbnn._errors import CommandError

# Classes that TFMOT puts into models.
_CLASSES = ("QuantizeLayer", "QuantizeWrapper", "QuantizeWrapperV2")


def load_model(path: Path, function: str):
    """Load a model without its training state, in Keras 3.

    What TFMOT has quantized is a model of tf_keras; it goes through `from_tfmot`.

    Args:
        path: What `model.save` has written.
        function: Function of kerasbnn to name where the model must be loaded by hand.

    Returns:
        The `keras.Model`.

    Raises:
        CommandError: It cannot be loaded.
    """
    if not is_from_tfmot(path):
        return _saved_models.load_model(path, function)
    from kerasbnn import tfmot

    try:
        with _saved_models.held_back_errors():
            model = tfmot.load_model(path)
    except ImportError as error:
        raise CommandError(f"'{path}' was quantized with TFMOT: {error}") from error
    except Exception as error:
        # Whatever it is, from a damaged file to a class of the user's.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise CommandError(
            f"cannot load '{path}', which was quantized with TFMOT: {reason} Where it "
            "uses classes of your own, load it in Python under TFMOT's quantize_scope "
            f"and call kerasbnn.{function}(kerasbnn.tfmot.from_tfmot(model))."
        ) from error
    try:
        return tfmot.from_tfmot(model)
    except tfmot.TranslationError as error:
        raise CommandError(f"'{path}': {error}") from error


def is_from_tfmot(path: Path) -> bool:
    """Tell by its config whether a file holds a model that TFMOT has quantized.

    Args:
        path: A file in Keras' format or in HDF5, or a folder.

    Returns:
        Whether one of TFMOT's layers is in it; False for what cannot be read.

    Example:
        >>> from pathlib import Path
        >>> import keras
        >>> from kerasbnn.tfmot.saved_models import is_from_tfmot
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        >>> model.save("model.keras")
        >>> is_from_tfmot(Path("model.keras"))
        False
    """
    try:
        return _names_a_class(json.loads(_config_text(path)))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile):
        return False


def _config_text(path):
    if path.suffix == ".keras" and path.is_file():
        with zipfile.ZipFile(path) as archive:
            return archive.read("config.json")
    if path.is_file():
        import h5py

        with h5py.File(path) as file:
            return file.attrs["model_config"]
    return "null"


def _names_a_class(config):
    if isinstance(config, dict):
        is_one = config.get("class_name") in _CLASSES
        return is_one or any(map(_names_a_class, config.values()))
    return isinstance(config, list) and any(map(_names_a_class, config))

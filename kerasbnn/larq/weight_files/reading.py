"""Reading a weight file of any format."""

import zipfile
from pathlib import Path

import h5py

from kerasbnn._saved_models import HDF5_SIGNATURE
from kerasbnn.larq.weight_files import keras_v3, legacy_hdf5
from kerasbnn.larq.weight_files.contents import FileContents, UnusableFile

_RESAVE = (
    "In Larq's environment, load it into the model and call "
    "model.save_weights('weights.h5'), then load that file."
)


def read_file(path: Path) -> FileContents:
    """Read all weights of a model from a file.

    Args:
        path: What `model.save` or `model.save_weights` of tf_keras has written, in any
            of its HDF5 formats; what the file is tells its content, not its name.

    Returns:
        Its layers and weights.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is none of these formats, or damaged.
    """
    _refuse_tensorflow_formats(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no file '{path}'. Expected what Larq's model.save('model.h5') "
            "or model.save_weights('weights.h5') has written."
        )
    try:
        return _read(path)
    except UnusableFile as error:
        raise ValueError(f"'{path}' is not usable: {error}") from error
    except (OSError, zipfile.BadZipFile, EOFError, RuntimeError, KeyError) as error:
        # What h5py and zipfile raise for a file that ends early.
        raise ValueError(
            f"'{path}' is damaged and cannot be read ({error}). Copy or save it again."
        ) from error


def _read(path):
    with path.open("rb") as stream:
        is_hdf5 = stream.read(len(HDF5_SIGNATURE)) == HDF5_SIGNATURE
    if is_hdf5:
        with h5py.File(path, "r") as file:
            if legacy_hdf5.is_legacy(file):
                return legacy_hdf5.read(file)
            if keras_v3.is_keras_v3(file):
                return keras_v3.read(file)
        raise UnusableFile("it is an HDF5 file, but holds no weights of a model.")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return keras_v3.read_archive(archive)
    raise UnusableFile(
        "expected the HDF5 that model.save('model.h5') and "
        "model.save_weights('weights.h5') write, or a '.keras' file."
    )


def _refuse_tensorflow_formats(path):
    if (path / "saved_model.pb").is_file():
        raise ValueError(
            f"'{path}' is a SavedModel, which is not read here: its weights have no "
            f"names of layers. {_RESAVE}"
        )
    prefix = path.name.removesuffix(".index").split(".data-")[0]
    is_checkpoint = path.with_name(f"{prefix}.index").is_file()
    if is_checkpoint and (prefix != path.name or not path.is_file()):
        raise ValueError(
            f"'{path}' is a checkpoint in TensorFlow's own format, which needs "
            f"TensorFlow and the objects of tf_keras to be read. {_RESAVE}"
        )
    if path.is_dir():
        has_checkpoint = any(path.glob("*.index")) or (path / "checkpoint").is_file()
        what = "a folder of TensorFlow checkpoints" if has_checkpoint else "a folder"
        raise ValueError(f"'{path}' is {what}, not a file of weights. {_RESAVE}")

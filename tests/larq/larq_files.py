"""Files as tf_keras 2.16 writes them, for the cases that no file of Larq's has."""

import zipfile
from pathlib import Path

import h5py
import numpy as np

WEIGHTS = Path(__file__).parent / "weights"


def unpack(network, folder):
    """Unpack the files of a network that the real Larq has written."""
    with zipfile.ZipFile(WEIGHTS / f"{network}.zip") as archive:
        archive.extractall(folder)
    return folder


def names_of_files(network):
    """Return the names of the weight files of a network."""
    with zipfile.ZipFile(WEIGHTS / f"{network}.zip") as archive:
        return [n for n in archive.namelist() if n.endswith((".h5", ".keras"))]


def write_legacy(path, layers, pieces=1):
    """Write what `model.save_weights("x.h5")` does.

    `layers` are pairs of a name and a dict from the path of a weight to its array;
    `pieces` is in how many attributes the names of the layers are.
    """
    with h5py.File(path, "w") as file:
        names = [name.encode() for name, _ in layers]
        if pieces == 1:
            file.attrs["layer_names"] = names
        for piece, some in enumerate(np.array_split(names, pieces)):
            if pieces > 1:
                file.attrs[f"layer_names{piece}"] = some
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"2.16.0"
        for name, weights in sorted(layers):
            group = file.create_group(name)
            group.attrs["weight_names"] = [f"{p}:0".encode() for p in weights]
            for weight_path, value in weights.items():
                group[f"{weight_path}:0"] = value
        top = file.create_group("top_level_model_weights")
        top.attrs["weight_names"] = []
    return path


def kernels(names, shape=(4, 4), start=0):
    """Return layers of one kernel each, the first of zeros, the second of ones, ..."""
    return [
        (name, {f"{name}/kernel": np.full(shape, start + at, "float32")})
        for at, name in enumerate(names)
    ]

"""The `.keras` and `.weights.h5` files of tf_keras, with classes in place of names."""

import json
import zipfile

import h5py

from kerasbnn.larq.weight_files.contents import (
    TRAINING_STATE,
    FileContents,
    StoredLayer,
    StoredWeight,
    UnusableFile,
    read_array,
)
from kerasbnn.larq.weight_files.names import class_base, split_number

# As tf_keras calls the list of a model's layers, by version.
_LISTS = ("layers", "_layer_checkpoint_dependencies")
_NORMALIZATIONS = {
    "batchnormalization": ["moving_mean", "moving_variance"],
    "groupnormalization": [],
    "layernormalization": [],
}
_WEIGHTS, _CONFIG, _METADATA = "model.weights.h5", "config.json", "metadata.json"


def is_keras_v3(file: h5py.File) -> bool:
    """Tell whether a file has this layout.

    Args:
        file: Open HDF5 file.
    """
    return any(name in file for name in ("vars", *_LISTS))


def read(file: h5py.File) -> FileContents:
    """Read all weights of a `.weights.h5`.

    Args:
        file: Open HDF5 file of this layout.

    Returns:
        Layers by the attributes that hold them, those of one class in their order.

    Raises:
        UnusableFile: It has something else in the place of an array.
    """
    ignored = tuple(name for name in sorted(file) if name in TRAINING_STATE)
    return FileContents(_read_layer(file, ""), ignored)


def read_archive(archive: zipfile.ZipFile) -> FileContents:
    """Read all weights of a `.keras`.

    Args:
        archive: Open archive.

    Returns:
        As `read`, with the names and the order of layers from the config.

    Raises:
        UnusableFile: A file is missing in it, or of another layout.
    """
    missing = [n for n in (_WEIGHTS, _CONFIG) if n not in archive.namelist()]
    if missing:
        raise UnusableFile(f"it has no '{missing[0]}', as a model of tf_keras has.")
    try:
        config = json.loads(archive.read(_CONFIG))
        metadata = json.loads(archive.read(_METADATA))
        version = str(metadata.get("keras_version", ""))
    except (ValueError, KeyError, AttributeError) as error:
        raise UnusableFile(f"its '{_CONFIG}' or '{_METADATA}' is damaged.") from error
    if not version.startswith("2."):
        raise UnusableFile(
            f"it was written by Keras {version}, not by Larq on tf_keras. Load it with "
            "keras.models.load_model."
        )
    with archive.open(_WEIGHTS) as stream, h5py.File(stream, "r") as file:
        if not is_keras_v3(file):
            raise UnusableFile(f"its '{_WEIGHTS}' has no weights.")
        contents = read(file)
    try:
        _name_layers(contents.root, config)
    except (AttributeError, KeyError, TypeError) as error:
        raise UnusableFile(f"its '{_CONFIG}' is not that of a model.") from error
    return contents


def _read_layer(group, path):
    layer = StoredLayer(path)
    variables = group.get("vars", {})
    # By number: "10" comes after "2".
    for key in sorted(variables, key=_number_of):
        layer.weights.append(StoredWeight(None, read_array(variables[key])))
    for name in group:
        if name == "vars" or name in TRAINING_STATE:
            continue
        attribute = "layers" if name in _LISTS else name
        found = group[name]
        if not isinstance(found, h5py.Group):
            raise UnusableFile(f"'{found.name}' in it is not a group.")
        # A layer has a group for its variables, even if it has none; a list has not.
        if "vars" in found:
            layer.attributes[attribute] = _read_layer(found, _joined(path, attribute))
        else:
            prefix = path if attribute == "layers" else _joined(path, attribute)
            layer.attributes[attribute] = _read_list(found, prefix)
    return layer


def _read_list(group, path):
    layers = []
    for name in group:
        layer = _read_layer(group[name], _joined(path, name))
        base, layer.number = split_number(name)
        layer.base = class_base(base)
        layers.append(layer)
    return layers


def _number_of(key):
    try:
        return int(key)
    except ValueError as error:
        raise UnusableFile(
            f"it has a variable '{key}', but tf_keras numbers variables. Save it again "
            "as 'model.h5' in Larq's environment."
        ) from error


def _joined(path, name):
    return f"{path}/{name}" if path else name


def _name_layers(layer, config):
    """Give the layers in a model their names, and their order, from its config."""
    stored = layer.attributes.get("layers")
    inner = config.get("config")
    inner = inner.get("layers") if isinstance(inner, dict) else None
    if not isinstance(stored, list) or not isinstance(inner, list):
        return
    unnamed = {(found.base, found.number): found for found in stored}
    counts, named = {}, []
    for position, entry in enumerate(inner):
        base = class_base(entry["class_name"])
        number = counts[base] = counts.get(base, -1) + 1
        found = unnamed.pop((base, number), None)
        if found is not None:
            named.append((position, entry, found))
        elif base != "inputlayer":
            # This layer is stored where it was met first, in another model, and the
            # numbers of those after it are not what the config lets expect.
            return
    if unnamed:
        return
    for position, entry, found in named:
        name = entry["config"].get("name") or entry.get("name")
        found.names, found.position = (name,), position
        _rename_path(found, _joined(layer.path, name))
        _name_weights(found, entry)
        _name_layers(found, entry)


def _rename_path(layer, path):
    old = layer.path
    for found in layer.below():
        found.path = path + found.path[len(old) :]


def _name_weights(layer, entry):
    """Name the weights of a normalization, whose scale or center may be missing."""
    moving = _NORMALIZATIONS.get(class_base(entry["class_name"]))
    if moving is None:
        return
    optional = {"gamma": "scale", "beta": "center"}
    config = entry["config"]
    names = [name for name, option in optional.items() if config.get(option, True)]
    names += moving
    if len(names) == len(layer.weights):
        layer.weights = [
            StoredWeight(name, weight.value)
            for name, weight in zip(names, layer.weights, strict=True)
        ]

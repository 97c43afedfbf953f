"""The `.h5` files of `model.save` and `model.save_weights`, with names of layers."""

import json

import h5py

from kerasbnn.larq.weight_files.contents import (
    TRAINING_STATE,
    FileContents,
    StoredLayer,
    StoredWeight,
    UnusableFile,
    read_array,
)
from kerasbnn.larq.weight_files.names import class_base

_TOP_LEVEL = "top_level_model_weights"


def is_legacy(file: h5py.File) -> bool:
    """Tell whether a file has this layout.

    Args:
        file: Open HDF5 file.
    """
    group = file.get("model_weights", file)
    return "layer_names" in group.attrs or "layer_names0" in group.attrs


def read(file: h5py.File) -> FileContents:
    """Read all weights of the model.

    Args:
        file: Open HDF5 file of this layout.

    Returns:
        Layers of the model in its order, each with all that have weights in it.

    Raises:
        UnusableFile: Something that the file names is not in it.
    """
    group = file.get("model_weights", file)
    configs = _layer_configs(file.attrs.get("model_config"))
    root = StoredLayer(path="")
    for position, name in enumerate(_texts(group, "layer_names")):
        if name not in group:
            raise UnusableFile(f"it names a layer '{name}', but has no such group.")
        unit = _read_unit(group[name], name, configs.get(name))
        unit.position = position
        if unit.has_weights:
            root.layers.append(unit)
    if _TOP_LEVEL in group:
        owners = _owners(group[_TOP_LEVEL], _TOP_LEVEL)
        root.weights = [weight for weights in owners.values() for weight in weights]
    ignored = tuple(name for name in sorted(file) if name in TRAINING_STATE)
    return FileContents(root, ignored)


def _read_unit(group, name, config):
    unit = StoredLayer(path=name, names=(name,), is_flat=True)
    if config is not None:
        unit.base = class_base(config["class_name"])
    owners = _owners(group, name)
    order = _names_in_order(config)
    for parts, weights in owners.items():
        if not parts:
            unit.weights = weights
            continue
        inner = StoredLayer(path="/".join((name, *parts)), names=parts, weights=weights)
        if len(order) == len(set(order)) and parts[0] in order:
            inner.position = order.index(parts[0])
        unit.layers.append(inner)
    if any(inner.position is None for inner in unit.layers):
        # Trainable weights come first, so that a layer with none of them, or a frozen
        # one, is behind those that follow it: what is not in the config has no order.
        for inner in unit.layers:
            inner.position = None
    return unit


def _owners(group, layer_name):
    """Return arrays by the names of the layers between this one and each variable."""
    owners = {}
    for path in _texts(group, "weight_names"):
        if path not in group:
            raise UnusableFile(
                f"it names a weight '{path}' of layer '{layer_name}', but has no such "
                "dataset."
            )
        inner = path.rsplit(":", 1)[0]
        marked = f"/{inner}/"
        start = marked.find(f"/{layer_name}/")
        # Layers that a layer builds have its name before theirs; those of a nested
        # functional model have not.
        if start >= 0:
            inner = marked[start + len(layer_name) + 2 : -1]
        *parts, name = inner.split("/")
        weight = StoredWeight(name, read_array(group[path]))
        owners.setdefault(tuple(parts), []).append(weight)
    return owners


def _texts(group, attribute):
    """Return a list of names, which a large model has in pieces."""
    if attribute in group.attrs:
        found = list(group.attrs[attribute])
    else:
        found, piece = [], 0
        while f"{attribute}{piece}" in group.attrs:
            found += list(group.attrs[f"{attribute}{piece}"])
            piece += 1
    return [text.decode() if isinstance(text, bytes) else str(text) for text in found]


def _layer_configs(text):
    """Return the configs of the model's layers by name; none in a file of weights."""
    if text is None:
        return {}
    try:
        layers = json.loads(text)["config"]["layers"]
        return {layer["config"]["name"]: layer for layer in layers}
    except (ValueError, TypeError, KeyError):
        # A model of a class of the user's.
        return {}


def _names_in_order(config):
    """Return the names of the layers in a nested model, those in them as well."""
    inner = config["config"].get("layers", []) if config else []
    if not isinstance(inner, list):
        return []
    names = []
    for layer in inner:
        deeper = _names_in_order(layer)
        names += deeper or [layer["config"].get("name", layer.get("name"))]
    return names

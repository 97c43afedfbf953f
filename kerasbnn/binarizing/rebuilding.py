"""Builds a model anew, with chains of layers in the place of some of its layers."""

import tempfile
import warnings
from typing import Any

import keras
import numpy as np

from kerasbnn.binarizing.graphs import (
    graph_of,
    input_operations,
    is_graph,
    nodes_of,
)
from kerasbnn.models.batches import to_numpy


class Rebuilder:
    """Copies a model layer by layer and puts a chain of layers in the place of some.

    A layer or a nested model that is used in several places is copied once. The copies
    have the names, the configs and the state of the originals, of which nothing
    changes.

    Args:
        replacements: Lists of layers, each of which takes and returns one tensor, by
            the ids of the layers in whose place they come.

    Example:
        >>> import keras
        >>> from kerasbnn.binarizing.rebuilding import Rebuilder
        >>> relu = keras.layers.ReLU(name="relu")
        >>> model = keras.Sequential([keras.Input((2,)), relu])
        >>> tanh = keras.layers.Activation("tanh", name="tanh")
        >>> copy = Rebuilder({id(relu): [tanh]}).rebuild(model)
        >>> [layer.name for layer in copy.layers], model.layers == [relu]
        (['tanh'], True)
    """

    def __init__(self, replacements: dict[int, list[keras.layers.Layer]]):
        self._replacements = replacements
        self._copies: dict[int, Any] = {}

    def rebuild(self, model: keras.Model) -> keras.Model:
        """Build a copy of a model, which is not compiled.

        Args:
            model: A model for which `is_graph` holds.

        Returns:
            A model of the same class.

        Raises:
            ValueError: A layer cannot be made from its own config.
        """
        originals: list = []
        copy = self._copy_graph(model, originals)
        for original in originals:
            copy_state(original, self._copies[id(original)])
        return copy

    def copy_of(self, operation) -> Any:
        """Return the copy of a layer that was not replaced."""
        return self._copies[id(operation)]

    def _copy(self, operation, originals):
        key = id(operation)
        if key not in self._copies:
            if is_graph(operation):
                self._copies[key] = self._copy_graph(operation, originals)
            else:
                self._copies[key] = copy_unbuilt(operation)
                originals.append(operation)
        return self._copies[key]

    def _copy_graph(self, model, originals):
        settings = {"name": model.name, "trainable": model.trainable}
        inputs = [self._copy(layer, originals) for layer in input_operations(model)]
        if type(model) is keras.Sequential:
            chain = []
            for layer in model.layers:
                new = self._replacements.get(id(layer))
                chain += [self._copy(layer, originals)] if new is None else new
            return keras.Sequential([*inputs, *chain], **settings)
        tensors = {
            id(tensor): layer.output
            for tensor, layer in zip(model.inputs, inputs, strict=True)
        }
        for node in nodes_of(model):
            args, kwargs = node.arguments.fill_in(tensors)
            chain = self._replacements.get(id(node.operation))
            if chain is None:
                outputs = self._copy(node.operation, originals)(*args, **kwargs)
            else:
                outputs = args[0] if args else kwargs["inputs"]
                for layer in chain:
                    outputs = layer(outputs)
            flat = keras.tree.flatten(outputs)
            tensors |= zip(map(id, node.outputs), flat, strict=True)

        def structure(tensors_of_model):
            return keras.tree.map_structure(lambda x: tensors[id(x)], tensors_of_model)

        graph = graph_of(model)
        return type(model)(structure(graph.input), structure(graph.output), **settings)


def copy_unbuilt(operation, **changes) -> Any:
    """Make an operation anew from its config.

    Args:
        operation: A layer, or another operation of Keras.
        **changes: Entries of the config to change.

    Returns:
        An operation of the same class and name, without weights yet.

    Raises:
        ValueError: The class does not support it.

    Example:
        >>> import keras
        >>> from kerasbnn.binarizing.rebuilding import copy_unbuilt
        >>> copy_unbuilt(keras.layers.Dense(2, name="head"), units=3).units
        3
    """
    try:
        if type(operation) is keras.layers.Lambda:
            # From a config Keras would run no function without a name.
            return keras.layers.Lambda(
                operation.function,
                output_shape=operation._output_shape,
                mask=operation.mask,
                arguments=operation.arguments,
                name=operation.name,
                dtype=operation.dtype_policy,
            )
        copy = type(operation).from_config({**config_of(operation), **changes})
        # The config of a subclassed model, for one, has no name.
        copy.name = changes.get("name", operation.name)
        return copy
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"Layer '{operation.name}' cannot be copied: a "
            f"{type(operation).__name__} cannot be made from its config ({reason}). "
            "Give the class a `get_config` that returns the arguments of its "
            "`__init__`, and register what it refers to with "
            "keras.saving.register_keras_serializable."
        ) from error


def config_of(operation) -> dict[str, Any]:
    """Return the config of an operation, with its activation function itself.

    So the function need not be known to Keras' saving.

    Args:
        operation: A layer, or another operation of Keras.

    Example:
        >>> import keras
        >>> from kerasbnn.binarizing.rebuilding import config_of
        >>> config_of(keras.layers.Dense(2, activation="relu"))["activation"].__name__
        'relu'
    """
    with warnings.catch_warnings():
        # The config is not written to a file.
        warnings.filterwarnings("ignore", message=".* includes a `lambda`")
        config = operation.get_config()
    activation = getattr(operation, "activation", None)
    if "activation" in config and not isinstance(activation, keras.layers.Layer):
        config["activation"] = activation
    return config


def copy_state(original, copy):
    """Give a copy of an operation the variables, or the vocabulary, of the original.

    Args:
        original: A layer or another operation; if it is not built, there is nothing
            to give.
        copy: What `copy_unbuilt` returned, built.

    Raises:
        ValueError: The two have different variables.
    """
    if isinstance(original, keras.layers.Layer) and not original.built:
        return
    if hasattr(original, "save_assets"):
        # A vocabulary is in no variable.
        store: dict = {}
        original.save_own_variables(store)
        copy.load_own_variables(store)
        with tempfile.TemporaryDirectory() as folder:
            original.save_assets(folder)
            copy.load_assets(folder)
        return
    ours, theirs = getattr(original, "variables", []), getattr(copy, "variables", [])
    if [tuple(v.shape) for v in ours] != [tuple(v.shape) for v in theirs]:
        raise ValueError(
            f"Layer '{original.name}' cannot be copied: it has {len(ours)} variables, "
            f"but a {type(original).__name__} made from its config has {len(theirs)}, "
            "or of other shapes. Create all variables in `build`, from what "
            "`get_config` returns."
        )
    for variable, values in zip(theirs, ours, strict=True):
        # A copy: training on JAX deletes the array that a variable began with.
        variable.assign(np.array(to_numpy(values.value)))
    if isinstance(copy, keras.layers.Normalization):
        # It computes with constants that it derives from its variables.
        copy.finalize_state()

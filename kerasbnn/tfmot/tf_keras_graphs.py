"""How tf_keras keeps models, and what TFMOT puts into them: read, not imported."""

from collections.abc import Callable, Iterator
from typing import Any

from kerasbnn.tfmot.loading import loaded_keras
from kerasbnn.tfmot.translated_quantizers import PACKAGE


def is_tf_keras_model(model) -> bool:
    """Tell whether something is a model of tf_keras, without importing tf_keras.

    Args:
        model: Any object.

    Example:
        >>> import keras
        >>> from kerasbnn.tfmot.tf_keras_graphs import is_tf_keras_model
        >>> is_tf_keras_model(keras.Sequential())
        False
    """
    tf_keras = loaded_keras()
    return tf_keras is not None and isinstance(model, tf_keras.Model)


def is_sequential(model) -> bool:
    """Tell whether a model of tf_keras is a plain chain of layers."""
    tf_keras: Any = loaded_keras()
    return type(model) is tf_keras.Sequential


def is_functional(model) -> bool:
    """Tell whether calling a model of tf_keras is nothing but running a graph."""
    for cls in type(model).__mro__:
        if cls.__name__ == "Functional" and cls.__module__.startswith("tf_keras."):
            return type(model).call is cls.call and model._is_graph_network
    return False


def tfmot_class(layer) -> str | None:
    """Return which of TFMOT's layers a layer is, or None.

    Args:
        layer: Any layer.

    Returns:
        `"QuantizeWrapper"` for both versions of it, `"QuantizeLayer"` or
        `"QuantizeAnnotate"`.
    """
    for cls in type(layer).__mro__:
        if cls.__module__.partition(".")[0] == PACKAGE:
            return cls.__name__.removesuffix("V2")
    return None


def calls_of(model) -> Iterator:
    """Yield the calls in a functional model, each after those that it depends on.

    Args:
        model: A functional model of tf_keras.

    Yields:
        Nodes of tf_keras, without those of the inputs.
    """
    nodes_by_depth = model._nodes_by_depth
    for depth in sorted(nodes_by_depth, reverse=True):
        for node in nodes_by_depth[depth]:
            if not node.is_input:
                yield node


def map_tensors(function: Callable[[Any], Any], structure):
    """Apply a function to the symbolic tensors of tf_keras in a structure.

    Args:
        function: Takes a tensor.
        structure: Tensors and other values, in lists, tuples and dicts.

    Returns:
        The same structure in plain lists, tuples and dicts.

    Example:
        >>> from kerasbnn.tfmot.tf_keras_graphs import map_tensors
        >>> map_tensors(str, [1, (None, {"x": 2.0})])
        [1, (None, {'x': 2.0})]
    """
    if hasattr(structure, "_keras_history"):
        return function(structure)
    if isinstance(structure, dict):
        return {key: map_tensors(function, x) for key, x in structure.items()}
    if isinstance(structure, (list, tuple)):
        kind = tuple if isinstance(structure, tuple) else list
        return kind(map_tensors(function, x) for x in structure)
    return structure

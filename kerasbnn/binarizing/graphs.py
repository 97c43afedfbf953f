"""How Keras keeps functional and sequential models: the one place that knows."""

from collections.abc import Iterator
from typing import Any

import keras

# Keras has no public way to tell what a model's call is, nor to walk its graph.
from keras.src.models.functional import Functional, functional_like_constructor


def is_graph(operation) -> bool:
    """Tell whether calling a model is nothing but running a graph of layers.

    Args:
        operation: Any model, layer or other operation.

    Returns:
        True for a functional model, and for a sequential one that is built.

    Example:
        >>> import keras
        >>> from kerasbnn.binarizing.graphs import is_graph
        >>> is_graph(keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]))
        True
    """
    if type(operation) is keras.Sequential:
        return operation._functional is not None
    return (
        isinstance(operation, Functional)
        and type(operation).call is Functional.call
        and functional_like_constructor(type(operation))
    )


def graph_of(model) -> Any:
    """Return the functional model behind a model for which `is_graph` holds."""
    return model._functional if type(model) is keras.Sequential else model


def nodes_of(model) -> Iterator:
    """Yield the calls in a model's graph, each after those that it depends on.

    Args:
        model: A model for which `is_graph` holds.

    Yields:
        Keras' nodes; those of its inputs are left out.
    """
    nodes_by_depth = graph_of(model)._nodes_by_depth
    for depth in sorted(nodes_by_depth, reverse=True):
        for node in nodes_by_depth[depth]:
            if not node.is_input:
                yield node


def input_operations(model) -> list:
    """Return the input layers of a model, in the order of its inputs.

    Args:
        model: A model for which `is_graph` holds.
    """
    return [tensor._keras_history.operation for tensor in graph_of(model).inputs]


def data_arguments(node) -> list:
    """Return the tensors that a call computes with, but not the masks it was given.

    Args:
        node: One of those that `nodes_of` yields.

    Returns:
        For a nested graph one entry per input of it, in their order, with None for
        what is not given; for others the tensors among the arguments.
    """
    args, kwargs = node.arguments.args, node.arguments.kwargs
    if is_graph(node.operation):
        given = args[0] if args else kwargs["inputs"]
        graph = graph_of(node.operation)
        if isinstance(given, dict) and not isinstance(graph.input, dict):
            # Keras finds inputs of a list by their names.
            given = [given[tensor.name] for tensor in graph.inputs]
        return keras.tree.flatten(given)
    others = {name: x for name, x in kwargs.items() if not name.endswith("mask")}
    leaves = keras.tree.flatten((args, others))
    return [leaf for leaf in leaves if isinstance(leaf, keras.KerasTensor)]

"""What feeds what in a model, with all nested models opened."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import layers

from kerasbnn.binarizing.graphs import data_arguments, graph_of, is_graph, nodes_of
from kerasbnn.quantizers import (
    ApproxSign,
    MagnitudeAwareSign,
    RSign,
    SteSign,
    SwishSign,
)

_SIGNS = (ApproxSign, MagnitudeAwareSign, RSign, SteSign, SwishSign)
_CENTERING = (
    layers.BatchNormalization,
    layers.GroupNormalization,
    layers.LayerNormalization,
)
# Weights of these scale and shift what comes in, but mix nothing.
_NORMALIZING = (*_CENTERING, layers.Normalization, layers.RMSNormalization)
# What these let out, in inference, is what came in, or zeros.
_PASSING = (
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Cropping1D,
    layers.Cropping2D,
    layers.Cropping3D,
    layers.Dropout,
    layers.Flatten,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.Masking,
    layers.Permute,
    layers.RepeatVector,
    layers.Reshape,
    layers.SpatialDropout1D,
    layers.SpatialDropout2D,
    layers.SpatialDropout3D,
    layers.UpSampling1D,
    layers.UpSampling2D,
    layers.UpSampling3D,
    layers.ZeroPadding1D,
    layers.ZeroPadding2D,
    layers.ZeroPadding3D,
)
_MAX_POOLING = (layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)


@dataclass(eq=False)
class Edge:
    """A tensor between two calls.

    Attributes:
        producer: The call that it comes out of; None for an input of the model.
        rank: Number of its axes.
        consumers: The calls that it goes into.
        is_output: Whether it is an output of the whole model.
    """

    producer: "Call | None" = None
    rank: int = 0
    consumers: list["Call"] = field(default_factory=list)
    is_output: bool = False


@dataclass(eq=False)
class Call:
    """One call of an operation that is no nested graph.

    Attributes:
        operation: The layer, or other operation of Keras.
        inputs: What it computes with.
        outputs: What it returns.
    """

    operation: Any
    inputs: list[Edge]
    outputs: list[Edge] = field(default_factory=list)


class Dataflow:
    """The calls of a model and of all graphs nested in it.

    A nested model that is called twice has its calls here twice, since what it is fed
    with may differ.

    Args:
        model: A model for which `is_graph` holds.

    Example:
        >>> import keras
        >>> from kerasbnn.binarizing.dataflow import Dataflow
        >>> dense = keras.layers.Dense(1)
        >>> model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU(), dense])
        >>> flow = Dataflow(model)
        >>> flow.has_raw_inputs(dense), flow.has_centered_inputs(dense)
        (True, False)
    """

    def __init__(self, model: keras.Model):
        self._calls: dict[int, list[Call]] = {}
        self._raw: dict[int, bool] = {}
        self._edges = [Edge(rank=len(x.shape)) for x in graph_of(model).inputs]
        for edge in self._run(model, self._edges):
            edge.is_output = True

    def _run(self, model, inputs):
        graph = graph_of(model)
        edges = dict(zip(map(id, graph.inputs), inputs, strict=True))
        for node in nodes_of(model):
            given = [
                edges.get(id(tensor)) or self._new_edge()
                for tensor in data_arguments(node)
            ]
            if is_graph(node.operation):
                outputs = self._run(node.operation, given)
            else:
                outputs = self._call(node, given).outputs
            edges |= zip(map(id, node.outputs), outputs, strict=True)
        return [edges[id(tensor)] for tensor in graph.outputs]

    def _call(self, node, given):
        call = Call(node.operation, given)
        for edge in given:
            edge.consumers.append(call)
        call.outputs = [self._new_edge(call, len(x.shape)) for x in node.outputs]
        self._calls.setdefault(id(node.operation), []).append(call)
        return call

    def _new_edge(self, producer=None, rank=0):
        # Kept alive, since the answers about edges are remembered by their ids.
        edge = Edge(producer, rank)
        self._edges.append(edge)
        return edge

    def calls_of(self, layer) -> list[Call]:
        """Return the calls of a layer; none if it is hidden inside of another one."""
        return self._calls.get(id(layer), [])

    def has_raw_inputs(self, layer) -> bool:
        """Tell whether a layer is fed by the model's inputs without a layer between.

        Layers that mix no channels, such as `Flatten`, `Rescaling`, pooling or a
        normalization, do not count; nor does it help if other inputs come in too.
        """
        return any(self._is_raw(call.inputs[0]) for call in self.calls_of(layer))

    def _is_raw(self, edge):
        if id(edge) not in self._raw:
            call = edge.producer
            self._raw[id(edge)] = call is None or (
                not _mixes(call.operation) and any(map(self._is_raw, call.inputs))
            )
        return self._raw[id(edge)]

    def has_centered_inputs(self, layer, normalized: Collection[int] = ()) -> bool:
        """Tell whether all inputs of a layer are normalized, or signs already.

        Args:
            layer: A layer of the model.
            normalized: Ids of layers that will get a normalization.
        """
        calls = self.calls_of(layer)
        return all(_is_centered(call.inputs[0], normalized) for call in calls)

    def normalizations_after(self, layer, axis: int) -> list:
        """Return the batch normalizations that take nothing but a layer's outputs.

        Max-pooling may lie between.

        Args:
            layer: A layer of the model.
            axis: The axis of its outputs that holds the channels.

        Returns:
            The normalizations; none if any output goes elsewhere too.
        """
        found = {}
        for call in self.calls_of(layer):
            for consumer, rank in _after_pooling(call.outputs[0]):
                if consumer is None or not _normalizes(consumer, rank, axis):
                    return []
                found[id(consumer.operation)] = consumer.operation
        for norm in found.values():
            for call in self.calls_of(norm):
                if _before_pooling(call.inputs[0]) is not layer:
                    return []
        return list(found.values())


def _mixes(operation):
    weights = getattr(operation, "weights", ())
    return bool(weights) and not isinstance(operation, _NORMALIZING)


def _is_centered(edge, normalized):
    while edge.producer is not None:
        operation = edge.producer.operation
        if not isinstance(operation, _PASSING):
            activation = getattr(operation, "activation", None)
            return (
                id(operation) in normalized
                or isinstance(operation, (*_CENTERING, *_SIGNS))
                or isinstance(activation, _SIGNS)
            )
        edge = edge.producer.inputs[0]
    return False


def _after_pooling(edge):
    """Return the calls behind max-poolings with the ranks of what they take.

    A call is None where the tensor is an output of the model, or goes nowhere.
    """
    found = [] if edge.consumers and not edge.is_output else [(None, edge.rank)]
    for call in edge.consumers:
        if isinstance(call.operation, _MAX_POOLING):
            found += _after_pooling(call.outputs[0])
        else:
            found.append((call, edge.rank))
    return found


def _before_pooling(edge):
    while edge.producer and isinstance(edge.producer.operation, _MAX_POOLING):
        edge = edge.producer.inputs[0]
    return edge.producer and edge.producer.operation


def _normalizes(call, rank, axis):
    if not isinstance(call.operation, layers.BatchNormalization):
        return False
    # What batch renormalization keeps besides cannot be rescaled with the statistics.
    return not call.operation.renorm and call.operation.axis % rank == axis % rank

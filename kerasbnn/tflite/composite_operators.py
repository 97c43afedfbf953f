"""Puts composites, each with its decomposition, into a file."""

import numpy as np
from ai_edge_litert.schema_py_generated import (
    BuiltinOperator,
    StableHLOCompositeOptionsT,
)
from flatbuffers import flexbuffers

from kerasbnn.runtime.composites import BITS, Composite
from kerasbnn.tflite.decomposition import decompose
from kerasbnn.tflite.graph import Operator, Subgraph


def make_composite(
    subgraph: Subgraph,
    composite: Composite,
    x: int,
    filters: np.ndarray,
    scale: np.ndarray,
    bias: np.ndarray,
    output: int,
    *,
    residual: int | None = None,
    weights: str = "int8",
) -> Operator:
    """Make a composite operation, without putting it into the subgraph.

    Args:
        subgraph: The subgraph that it will be in.
        composite: What it computes.
        x: Tensor of its inputs.
        filters: Packed weights, uint8 of `composite.filters_shape`.
        scale: float32 `(out_channels,)`.
        bias: float32 `(out_channels,)`.
        output: Tensor of its output.
        residual: Tensor that is added, or None.
        weights: As for `decompose`.

    Returns:
        The operation.

    Raises:
        ValueError: The filters have another shape than the composite says.
    """
    if filters.shape != composite.filters_shape or filters.dtype != np.uint8:
        raise ValueError(
            f"Packed filters must be uint8 of shape {composite.filters_shape}. "
            f"Received: {filters.dtype} of shape {filters.shape}."
        )
    constants = (filters, shortened(scale), shortened(bias))
    inputs = [x, *(subgraph.add_constant(values) for values in constants)]
    if residual is not None:
        inputs.append(residual)
    inside = subgraph.graph.add_subgraph()
    declared = [_declare(subgraph, tensor, inside) for tensor in inputs]
    result = _declare(subgraph, output, inside)
    inside.raw.inputs, inside.raw.outputs = declared, [result]
    place = len(subgraph.graph.subgraphs) - 1
    decompose(
        inside,
        composite,
        declared,
        result,
        weights=weights,
        has_scale=bool((scale != 1).any()),
        has_bias=bool((bias != 0).any()),
    )
    options = StableHLOCompositeOptionsT()
    options.name = composite.name.encode()
    options.version = 1
    options.decompositionSubgraphIndex = place
    attributes = flexbuffers.Dumps(composite.attributes())
    options.compositeAttributes = np.frombuffer(attributes, np.uint8)
    return subgraph.make_operator(
        BuiltinOperator.STABLEHLO_COMPOSITE, inputs, [output], options
    )


def shortened(values: np.ndarray) -> np.ndarray:
    """Keep one of the values where they are all the same, as files do.

    Args:
        values: Array `(channels,)`.

    Returns:
        float32 array of the same or of one value.
    """
    values = np.asarray(values, np.float32)
    return values[:1] if (values == values[0]).all() else values


def output_tensor(subgraph: Subgraph, composite: Composite, x: int, name="") -> int:
    """Add the tensor that a composite yields.

    Args:
        subgraph: The subgraph.
        composite: What is computed.
        x: Tensor of the inputs.
        name: Name of the tensor.

    Returns:
        The tensor.
    """
    dtype = np.uint8 if composite.output == BITS else np.float32
    return subgraph.add_tensor(
        composite.output_shape(subgraph.shape(x)), dtype, name=name
    )


def _declare(source, tensor, target):
    """Add a tensor like that of another subgraph."""
    return target.add_tensor(source.shape(tensor), source.dtype(tensor))

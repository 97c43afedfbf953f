"""The last touch to a file: what makes it small and always the same."""

from kerasbnn.tflite.errors import ConversionError
from kerasbnn.tflite.fusion import Placed
from kerasbnn.tflite.graph import Graph

# Where TensorFlow's converter leaves notes on itself that no interpreter reads.
_NOTES = (b"CONVERSION_METADATA",)


def check_operations(graph: Graph):
    """Check that a LiteRT interpreter has all operations of a file.

    Args:
        graph: The file.

    Raises:
        ConversionError: TensorFlow's converter has left operations that no interpreter
            has.
    """
    unknown = {
        op.custom_name
        for subgraph in graph.subgraphs
        for op in subgraph.operators
        if op.custom_name is not None
    }
    if unknown:
        raise ConversionError(
            f"LiteRT has no operation for {', '.join(sorted(unknown))} as this model "
            "uses it. Models must compute in float32, not in half precision "
            "(build the model anew under keras.config.set_dtype_policy('float32') and "
            "set its weights), with operations that TensorFlow Lite has. No file was "
            "written."
        )


def finished(graph: Graph, placed: list[Placed]) -> bytes:
    """Write a file without names that differ from run to run.

    Args:
        graph: The file; it is changed.
        placed: Its composites.

    Returns:
        Its bytes.
    """
    graph.model.metadata = [m for m in graph.model.metadata if m.name not in _NOTES]
    graph.model.description = b"kerasbnn"
    main = graph.subgraphs[0]
    named = {p.chain.end for p in placed if p.subgraph is main}
    for subgraph in graph.subgraphs:
        subgraph.raw.name = b"main" if subgraph is main else None
        for index, tensor in enumerate(subgraph.raw.tensors):
            if subgraph is not main or index not in named:
                # Keras and TensorFlow number names anew in each process.
                tensor.name = None
    for signature in graph.model.signatureDefs:
        for entry in (*signature.inputs, *signature.outputs):
            main.raw.tensors[entry.tensorIndex].name = entry.name
    for one in placed:
        assert one.operator is not None  # noqa: S101
        (output,) = one.operator.outputs
        name = one.chain.mark.name.encode()
        if one.subgraph.raw.tensors[output].name != name:
            # Such as an output of the model, which has the name of the signature.
            inside = one.operator.raw.builtinOptions2.decompositionSubgraphIndex
            graph.subgraphs[inside].raw.name = name
    return graph.to_bytes()


def input_and_output_shapes(graph: Graph) -> tuple[list, list]:
    """Return the shapes of what a file takes and gives.

    Args:
        graph: The file.

    Returns:
        A shape for each input and for each output, with -1 for an open size.
    """
    main = graph.subgraphs[0]
    return [main.shape(t) for t in main.inputs], [main.shape(t) for t in main.outputs]

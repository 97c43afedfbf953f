"""Keeps constants of other shapes than one per channel out of binary convolutions.

Larq Compute Engine puts the products and sums that follow a binary convolution into it,
whatever the shape of the constant; of other shapes its interpreter then refuses the
file. It does not look behind a negation.
"""

from collections import defaultdict

from kerasbnn.tflite.compute_engine.node_writer import NodeWriter
from kerasbnn.tflite.compute_engine.operations import CONVOLUTION

_MOVES = ("Reshape", "Squeeze", "ExpandDims", "Identity")
# Those of which either operand may be the constant, and those of which the second may.
_EITHER, _SECOND = ("Mul", "AddV2", "Add"), ("Sub", "RealDiv")


def keep_constants_out(graph_def, graph):
    """Put negations where a binary convolution would take in such a constant.

    Args:
        graph_def: The operations; they are changed.
        graph: The same as a `tf.Graph`.
    """
    nodes = {node.name: node for node in graph_def.node}
    for operation, place in _affected(graph):
        _negate(graph_def, nodes[operation.name], place)


def _affected(graph):
    """Yield operations with such a constant, and which operand is the other one."""
    import tensorflow as tf

    readers = defaultdict(list)
    operations = graph.get_operations()
    for operation in operations:
        for place, tensor in enumerate(operation.inputs):
            readers[tensor.op.name].append((operation, place))
    waiting = [x for x in operations if x.name.split("/")[-1].startswith(CONVOLUTION)]
    seen = set()
    while waiting:
        for operation, place in readers[waiting.pop().name]:
            if operation.name in seen:
                continue
            if operation.type in _MOVES and place == 0:
                seen.add(operation.name)
                waiting.append(operation)
            is_taken_in = operation.type in _EITHER or (
                operation.type in _SECOND and place == 0
            )
            if not is_taken_in:
                continue
            other = operation.inputs[1 - place]
            if tf.get_static_value(other) is None:
                continue
            seen.add(operation.name)
            if len(other.shape) > 1:
                yield operation, place
            else:
                waiting.append(operation)


def _negate(graph_def, node, place):
    """Take the opposite of an operand twice: once more as a product.

    A second negation, or a sum with one, would be simplified to nothing.
    """
    import tensorflow as tf

    write = NodeWriter(graph_def, node)
    opposite = write.add("Neg", "opposite", [node.input[place]], T=tf.float32)
    minus_one = write.constant("minus_one", -1)
    node.input[place] = write.add("Mul", "same", [opposite, minus_one], T=tf.float32)

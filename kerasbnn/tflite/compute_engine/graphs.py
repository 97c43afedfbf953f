"""TensorFlow graphs of constants, in which Compute Engine takes nothing for a sign."""

from dataclasses import dataclass
from typing import Any

from kerasbnn.tflite.compute_engine.constants import keep_constants_out
from kerasbnn.tflite.compute_engine.node_writer import NodeWriter
from kerasbnn.tflite.compute_engine.operations import SIGN
from kerasbnn.tflite.errors import ConversionError

_CHOICES = ("Select", "SelectV2")


@dataclass(frozen=True, eq=False)
class Frozen:
    """A graph without variables.

    Attributes:
        graph_def: The operations.
        inputs: Names of the tensors that go in.
        outputs: Names of those that come out.
    """

    graph_def: Any
    inputs: list[str]
    outputs: list[str]

    def first_outputs(self, count: int) -> "Frozen":
        """Return a graph with what some of the outputs need and no more.

        Args:
            count: Number of outputs to keep.
        """
        nodes = {node.name: node for node in self.graph_def.node}
        outputs = self.outputs[:count]
        # An input that nothing needs stays one.
        needed, waiting = set(), [*outputs, *self.inputs]
        while waiting:
            name = waiting.pop().lstrip("^").partition(":")[0]
            if name not in needed:
                needed.add(name)
                waiting.extend(nodes[name].input)
        graph_def = type(self.graph_def)()
        graph_def.CopyFrom(self.graph_def)
        del graph_def.node[:]
        graph_def.node.extend(
            node for node in self.graph_def.node if node.name in needed
        )
        return Frozen(graph_def, self.inputs, outputs)

    def __call__(self, *inputs) -> list:
        """Write the operations into the graph that is being traced.

        Args:
            *inputs: A tensor for each input.

        Returns:
            A tensor for each output.
        """
        import tensorflow as tf

        return tf.graph_util.import_graph_def(
            self.graph_def,
            input_map=dict(zip(self.inputs, inputs, strict=True)),
            return_elements=self.outputs,
            name="model",
        )


def frozen(function) -> Frozen:
    """Turn a traced function into a graph without variables.

    Operations that Larq Compute Engine would take for a binary sign, though they are
    none or nothing reads them as one, get another form.

    Args:
        function: A concrete function with a flat list of inputs and of outputs.

    Returns:
        The graph.

    Raises:
        ConversionError: A loop of the model takes signs, or the model holds more than
            numbers.
    """
    from tensorflow.python.framework.convert_to_constants import (
        convert_variables_to_constants_v2,
    )

    constant = convert_variables_to_constants_v2(function, lower_control_flow=False)
    if len(constant.inputs) > len(function.structured_input_signature[0]):
        raise ConversionError(
            "The model holds more than numbers, such as the table of a lookup layer, "
            "which Larq Compute Engine has no operation for. No file was written. Look "
            "up before the model."
        )
    graph_def = constant.graph.as_graph_def()
    _forget_gradients(graph_def)
    _check_functions(graph_def)
    _disarm(graph_def, constant.graph)
    keep_constants_out(graph_def, constant.graph)
    inputs = [tensor.name for tensor in constant.inputs]
    outputs = [tensor.name for tensor in constant.outputs]
    return Frozen(graph_def, inputs, outputs)


def _forget_gradients(graph_def):
    """Take out references to gradients, which are not part of the graph."""
    functions = [function.node_def for function in graph_def.library.function]
    for nodes in (graph_def.node, *functions):
        for node in nodes:
            node.attr.pop("_gradient_op_type", None)


def _check_functions(graph_def):
    """Check that the body of no loop holds what would be taken for a sign."""
    for function in _called_functions(graph_def):
        constants = {node.name for node in function.node_def if node.op == "Const"}
        for node in function.node_def:
            values = {name.partition(":")[0] for name in node.input[1:3]}
            is_choice = node.op in _CHOICES and values <= constants
            if node.op == "Sign" or is_choice:
                raise ConversionError(
                    "A loop or a condition of the model takes signs, which Larq "
                    "Compute Engine may take for binary ones, with 1 for 0. No file "
                    "was written. Unroll it, or convert with format='tflite'."
                )


def _called_functions(graph_def):
    """Yield the functions that operations call, and those that they call."""
    functions = {f.signature.name: f for f in graph_def.library.function}
    waiting, seen = [graph_def.node], set()
    while waiting:
        for node in waiting.pop():
            for value in node.attr.values():
                for called in (value.func, *value.list.func):
                    if called.name in functions and called.name not in seen:
                        seen.add(called.name)
                        yield functions[called.name]
                        waiting.append(functions[called.name].node_def)


def _disarm(graph_def, graph):
    """Rewrite signs that are not meant as bits.

    Of `sign(sign(a) + b)` Larq Compute Engine makes the binary sign of `a`, whatever
    `b` is, though it may stand for a sign with zeros.
    """
    import tensorflow as tf

    for node in list(graph_def.node):
        if node.op not in ("Sign", *_CHOICES):
            continue
        if node.attr["T"].type != tf.float32.as_datatype_enum:
            continue
        if node.op == "Sign":
            _write_sign(graph_def, node)
        elif not node.name.split("/")[-1].startswith(SIGN):
            operation = graph.get_operation_by_name(node.name)
            values = [_only_value(tensor) for tensor in operation.inputs[1:]]
            if values in ([1.0, -1.0], [-1.0, 1.0]):
                _write_choice(graph_def, node, values[0])


def _only_value(tensor):
    """Return the value of all elements of a constant, or None."""
    import tensorflow as tf

    values = tf.get_static_value(tensor)
    if values is None or not values.size or (values != values.flat[0]).any():
        return None
    return float(values.flat[0])


def _write_sign(graph_def, node):
    """Write a sign that is 0 for 0 as the difference of two comparisons."""
    import tensorflow as tf

    write, (x, *_) = NodeWriter(graph_def, node), node.input
    zero = write.constant("zero", 0)
    parts = [
        write.number(
            f"is_{name}", write.add(op, f"{name}_zero", [x, zero], T=tf.float32)
        )
        for op, name in (("Greater", "above"), ("Less", "below"))
    ]
    write.replace("Sub", parts)


def _write_choice(graph_def, node, if_true):
    """Write a choice between 1 and -1 as arithmetic."""
    import tensorflow as tf

    write, (condition, *_) = NodeWriter(graph_def, node), node.input
    double = write.add(
        "Mul",
        "double",
        [write.number("is_true", condition), write.constant("factor", 2 * if_true)],
        T=tf.float32,
    )
    write.replace("AddV2", [double, write.constant("addend", -if_true)])

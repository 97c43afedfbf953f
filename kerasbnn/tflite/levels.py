"""Marks of 8-bit kernels and activations as built-in operations.

The values are those of Keras to the bit: the integers of a kernel are multiplied by
their scales before it is used, and activations are rounded by the same operations on
floats.
"""

from dataclasses import dataclass

import numpy as np
from ai_edge_litert.schema_py_generated import (
    BuiltinOperator,
    DequantizeOptionsT,
    FullyConnectedOptionsT,
)

from kerasbnn.tflite.builtin_operations import Operations
from kerasbnn.tflite.graph import Graph, Operator, Subgraph
from kerasbnn.tflite.marks import INT8_KERNEL, ROUNDING, Int8Kernel, Marks, Rounding

# Bytes of a channel: those of its scale, and those of its zero point.
_BYTES_OF_LEVELS = 4 + 8
# Of the operation with one scale, and of that with one for each channel.
_DEQUANTIZE_VERSIONS = (2, 5)


@dataclass(frozen=True)
class StoredKernel:
    """A kernel that a file holds as int8.

    Attributes:
        path: Path of the layer.
        kernel: Attribute of the layer that holds the latent weights.
        weights: Number of its weights.
        bias: Number of weights of the bias that goes with it.
        channels: Number of its scales.
    """

    path: str
    kernel: str
    weights: int
    bias: int
    channels: int

    @property
    def bytes(self) -> int:
        """Bytes of it in the file, with the bias."""
        return self.weights + _BYTES_OF_LEVELS * self.channels + 4 * self.bias


def lower_levels(graph: Graph, marks: Marks) -> list[StoredKernel]:
    """Replace the marks of int8 kernels and of rounded activations.

    Args:
        graph: The file; it is changed.
        marks: What the marks stand for.

    Returns:
        The kernels that are stored as int8, each once.
    """
    stored: dict[tuple[str, str], StoredKernel] = {}
    for subgraph in graph.subgraphs:
        lowering = _Lowering(subgraph, marks.marks)
        for kernel in lowering.run():
            stored.setdefault((kernel.path, kernel.kernel), kernel)
    return list(stored.values())


class _Lowering:
    """The work on one subgraph."""

    def __init__(self, subgraph: Subgraph, marks: list):
        self.graph = subgraph
        self.marks = marks
        self.stored: list[StoredKernel] = []
        self._floats: dict[int, int] = {}
        self._instead: dict[Operator, Operator] = {}

    def run(self):
        """Replace the marks and return what is stored as int8."""
        operators: list[Operator] = []
        for op in self.graph.operators:
            op = self._instead.get(op, op)
            if op.custom_name == ROUNDING:
                self._round(op, operators)
            elif op.custom_name == INT8_KERNEL:
                mark = self._mark(op)
                self._replace(op.outputs[0], _Kernel(mark), mark, operators)
            else:
                operators.append(op)
        self.graph.operators = operators
        self.graph.drop_unused_operators()
        return self.stored

    def _mark(self, op):
        return self.marks[op.custom_options["mark"]]

    def _round(self, op, operators):
        mark: Rounding = self._mark(op)
        write = Operations(self.graph, operators)
        minimum, maximum, inverse, offset, scale = (
            write.constant(_trimmed(values))
            for values in (
                *(mark.minimum, mark.maximum, mark.inverse),
                *(mark.offset, mark.scale),
            )
        )
        y = write.clipped(op.inputs[0], minimum, maximum)
        y = write.multiply(write.subtract(y, minimum), inverse)
        y = write.add(write.subtract(y, offset), write.constant(0.5))
        write.multiply(write.floor(y), scale, op.outputs[0])

    def _replace(self, tensor, kernel, mark, operators):
        """Store a kernel in the layout that its operations take it in."""
        for user in self.graph.consumers(tensor):
            moved = self._moved(user, kernel)
            if moved is not None and moved.axis is not None:
                self._replace(user.outputs[0], moved, mark, operators)
                continue
            if self._multiplies_rows(user, tensor):
                turned = self._as_floats(kernel.map(np.transpose), mark, operators)
                self._instead[user] = self._fully_connected(user, turned)
                continue
            floats = self._as_floats(kernel, mark, operators)
            user.inputs = [floats if t == tensor else t for t in user.inputs]
        if tensor in self.graph.outputs:
            floats = self._as_floats(kernel, mark, operators)
            Operations(self.graph, operators).reshape(
                floats, kernel.values.shape, np.float32, tensor
            )

    def _moved(self, op, kernel):
        """Return a kernel in another layout, where an operation only moves values."""
        if op.custom_name is not None or op.outputs[0] in self.graph.outputs:
            return None
        if op.builtin == BuiltinOperator.TRANSPOSE:
            order = self.graph.constant(op.inputs[1])
            return None if order is None else kernel.map(lambda x: x.transpose(order))
        if op.builtin == BuiltinOperator.RESHAPE:
            shape = self.graph.shape(op.outputs[0])
            return kernel.map(lambda x: x.reshape(shape))
        return None

    def _multiplies_rows(self, op, kernel):
        """Tell a product that TensorFlow's converter knows too little of to choose."""
        return (
            op.custom_name is None
            and op.builtin == BuiltinOperator.BATCH_MATMUL
            and op.inputs[1] == kernel
            and all(len(self.graph.shape(tensor)) == 2 for tensor in op.inputs)
            and not (op.options.adjX or op.options.adjY)
        )

    def _fully_connected(self, op, weights):
        inputs, options = [op.inputs[0], weights, -1], FullyConnectedOptionsT()
        return self.graph.make_operator(
            BuiltinOperator.FULLY_CONNECTED, inputs, op.outputs, options
        )

    def _as_floats(self, kernel, mark, operators):
        write = Operations(self.graph, operators)
        if kernel.axis is None:
            # Such as that of a depthwise convolution, whose channels lie along two
            # axes, where TensorFlow's converter does not reshape it.
            return write.constant(kernel.floats())
        scale, zero_point = kernel.of_channels()
        constant = self.graph.add_constant(
            kernel.values, scale, zero_point=zero_point.tolist(), axis=kernel.axis
        )
        self.stored.append(
            StoredKernel(
                mark.path, mark.kernel, kernel.values.size, mark.bias, len(scale)
            )
        )
        if constant not in self._floats:
            self._floats[constant] = write.append(
                BuiltinOperator.DEQUANTIZE,
                [constant],
                kernel.values.shape,
                np.float32,
                DequantizeOptionsT(),
                _DEQUANTIZE_VERSIONS[len(scale) > 1],
            )
        return self._floats[constant]


class _Kernel:
    """An int8 kernel in some layout, with the scale and zero point of each value."""

    def __init__(self, mark: Int8Kernel | None = None, parts=()):
        if mark is not None:
            shape = mark.values.shape
            parts = (
                mark.values,
                np.broadcast_to(mark.scale, shape),
                np.broadcast_to(mark.zero_point, shape),
            )
        self.values, self.scale, self.zero_point = parts

    def map(self, move):
        """Move all values in the same way."""
        parts = (self.values, self.scale, self.zero_point)
        return _Kernel(parts=[move(part) for part in parts])

    @property
    def axis(self) -> int | None:
        """Axis of the channels, 0 for one scale; None where there is not one such."""
        for axis in range(self.values.ndim):
            if all(
                (part == self._first_of(part, axis)).all()
                for part in (self.scale, self.zero_point)
            ):
                return axis
        return None

    @staticmethod
    def _first_of(part, axis):
        others = tuple(
            slice(None) if a == axis else slice(0, 1) for a in range(part.ndim)
        )
        return part[others]

    def of_channels(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the scale and the zero point of each channel, one if all are alike."""
        scale, zero_point = (
            self._first_of(part, self.axis).reshape(-1)
            for part in (self.scale, self.zero_point)
        )
        if (scale == scale[0]).all() and (zero_point == zero_point[0]).all():
            return scale[:1], zero_point[:1]
        return scale, zero_point

    def floats(self) -> np.ndarray:
        """Return what the values stand for."""
        return (self.values - self.zero_point).astype(np.float32) * self.scale


def _trimmed(values):
    """Leave out leading axes of one, which broadcasting adds."""
    lead = next((a for a, size in enumerate(values.shape) if size != 1), values.ndim)
    return values.reshape(values.shape[lead:])

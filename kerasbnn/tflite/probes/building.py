"""Replaces the marks of an export by what computes and measures them."""

from dataclasses import replace

import numpy as np
from ai_edge_litert.schema_py_generated import TensorMapT

from kerasbnn._version import __version__
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.models.batches import to_numpy
from kerasbnn.probing.description import (
    Call,
    KernelDescription,
    NormalizationDescription,
    ProbeDescription,
    output_name,
)
from kerasbnn.tflite.graph import Graph, Subgraph
from kerasbnn.tflite.probes.figures import FigureWriter, call_of
from kerasbnn.tflite.probes.marking import OPERATION, Normalized, ProbeMarks, Products
from kerasbnn.tflite.probes.operations import ProbeOperations
from kerasbnn.tflite.probes.products import FilterLayout, ProductWriter

UNCALLED = "the model does not call it on the way to its outputs, or calls it in a loop"


class ProbeBuilder:
    """Makes a probe of what TensorFlow's converter has left.

    Args:
        graph: The file; it is changed.
        marks: The marks of its export.
        layouts: The kernels as LiteRT has them, by their names.
        paths: Paths of layers by their id.
    """

    def __init__(
        self,
        graph: Graph,
        marks: ProbeMarks,
        layouts: dict[str, FilterLayout],
        paths: dict[int, str],
    ):
        self.graph = graph
        self.marks = marks
        self.layouts = layouts
        self.paths = paths
        self._outputs: dict[str, int] = {}
        # What was placed in the main subgraph, with the number of its first mark.
        self._kernels: dict[str, _PlacedKernel] = {}
        self._normalizations: dict[str, _PlacedNormalization] = {}
        for subgraph in graph.subgraphs:
            self._rewrite(subgraph, is_measured=subgraph is graph.subgraphs[0])
        self._set_outputs()

    def description(
        self, model: str, constants: GeometryReport, skipped: dict[str, str]
    ) -> ProbeDescription:
        """Describe what the file measures.

        Args:
            model: Name of the model.
            constants: Geometry of the model's weights.
            skipped: Why kernels are not measured, by name.

        Returns:
            The description.
        """
        placed = sorted(self._kernels.values(), key=lambda kernel: kernel.number)
        first = placed[0].kernel.path if placed else None
        reasons = {**dict.fromkeys(self.layouts, UNCALLED), **self.marks.skipped}
        # Keras may trace a model more than once, the first time with open sizes.
        left_out = {k: why for k, why in reasons.items() if k not in self._kernels}
        return ProbeDescription(
            model,
            __version__,
            tuple(
                kernel.described(constants[kernel.kernel.name], first)
                for kernel in placed
            ),
            tuple(
                self._normalizations[name].described(name)
                for name in sorted(self._normalizations)
            ),
            {**left_out, **skipped},
        )

    def _rewrite(self, subgraph: Subgraph, is_measured: bool):
        operators, replaced = [], {}
        place = _Placing(self, subgraph, operators, is_measured)
        for operator in subgraph.operators:
            inputs = [replaced.get(tensor, tensor) for tensor in operator.inputs]
            if operator.custom_name != OPERATION:
                operator.inputs = inputs
                operators.append(operator)
                continue
            number = operator.custom_options["mark"]
            replaced[operator.outputs[0]] = place(number, inputs)
        subgraph.operators = operators
        subgraph.raw.outputs = [replaced.get(t, t) for t in subgraph.outputs]

    def _set_outputs(self):
        main = self.graph.subgraphs[0]
        main.raw.outputs = list(self._outputs.values())
        (signature,) = self.graph.model.signatureDefs
        signature.outputs = []
        for name, tensor in self._outputs.items():
            entry = TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), tensor
            signature.outputs.append(entry)

    def add_outputs(self, owner: str, call: int, figures: dict[str, int]):
        """Make tensors outputs of the file.

        Args:
            owner: Name of the kernel, or path of the batch normalization.
            call: How often it was called before.
            figures: The tensors by what they measure.
        """
        for figure, tensor in figures.items():
            self._outputs[output_name(owner, call, figure)] = tensor

    def add_kernel(self, number: int, mark: Products, call: Call) -> int:
        """Note a call of a kernel, and return how often it was called before."""
        name = mark.kernel.name
        placed = self._kernels.setdefault(name, _PlacedKernel(number, mark))
        placed.calls.append(call)
        return len(placed.calls) - 1

    def add_normalization(self, mark: Normalized, call: Call) -> tuple[str, int]:
        """Note a call of a batch normalization; return its path and the call before."""
        path = self.paths[id(mark.layer)]
        placed = self._normalizations.setdefault(path, _PlacedNormalization(mark.layer))
        placed.calls.append(call)
        kernel = self._kernels.get(mark.kernel or "")
        if kernel is not None and kernel.normalization is None:
            kernel.normalization = path
        return path, len(placed.calls) - 1


class _Placing:
    """Appends what marks of one subgraph stand for."""

    def __init__(self, builder, subgraph, operators, is_measured):
        self.builder = builder
        self.add = ProbeOperations(subgraph, operators)
        self.figures = FigureWriter(self.add)
        self.is_measured = is_measured
        self._weights: dict[str, tuple[int, int]] = {}

    def __call__(self, number, inputs) -> int:
        mark = self.builder.marks.marks[number]
        if isinstance(mark, Normalized):
            return self._normalized(mark, *inputs)
        return self._products(number, mark, *inputs)

    def _products(self, number, mark, x, raw=None):
        kernel = mark.kernel
        write = ProductWriter(self.add, self.builder.layouts[kernel.name], mark.windows)
        if kernel.name not in self._weights:
            quantized = write.quantized_weights()
            self._weights[kernel.name] = quantized, write.continuous_weights()
        prepared = write.prepared(x)
        own, other = self._weights[kernel.name][:: 1 if kernel.is_quantized else -1]
        products = write.products(prepared, own)
        if not self.is_measured:
            return products
        pair = products, write.products(prepared, other)
        call = self.builder.add_kernel(number, mark, call_of(mark.windows))
        figures = self.figures.of_products(*pair[:: 1 if kernel.is_quantized else -1])
        figures |= self.figures.of_inputs(x, mark.windows)
        if raw is not None:
            figures |= self.figures.of_activations(raw, mark.clip_value)
        self.builder.add_outputs(kernel.name, call, figures)
        return products

    def _normalized(self, mark, x):
        if self.is_measured and mark.kernel is not None:
            positions = int(np.prod(self.add.shape(x)[1:-1]))
            path, call = self.builder.add_normalization(mark, Call(positions))
            figures = self.figures.of_normalization(x)
            self.builder.add_outputs(path, call, figures)
        scaled = self.add.multiply(x, self.add.constant(mark.scale))
        return self.add.add(scaled, self.add.constant(mark.shift))


class _PlacedKernel:
    """A kernel in the main subgraph."""

    def __init__(self, number, mark):
        self.number = number
        self.mark = mark
        self.kernel = mark.kernel
        self.calls: list[Call] = []
        self.normalization: str | None = None

    def described(self, geometry, first):
        inputs = replace(geometry.inputs, is_first=first == self.kernel.path)
        operation = self.kernel.operation
        prepared = operation.prepared_kernel(self.kernel.continuous)
        filters = operation.filters(prepared).astype(np.float64)
        return KernelDescription(
            replace(geometry, inputs=inputs, verdicts=()),
            np.square(filters).sum(axis=1).ravel().astype(np.float32),
            tuple(self.calls),
            self.mark.clip_value,
            self.normalization,
        )


class _PlacedNormalization:
    """A batch normalization in the main subgraph."""

    def __init__(self, layer):
        self.layer = layer
        self.calls: list[Call] = []

    def described(self, name):
        mean, variance = (
            to_numpy(v.value).astype(np.float32)
            for v in (self.layer.moving_mean, self.layer.moving_variance)
        )
        return NormalizationDescription(
            name, float(self.layer.epsilon), mean, variance, tuple(self.calls)
        )

"""From marks in a file to composites: what becomes of every marked operation."""

from dataclasses import dataclass, replace

import numpy as np
from ai_edge_litert.schema_py_generated import BuiltinOperator

from kerasbnn.runtime.bitpacking import WORD, pack_bits, pack_ternary, words_for
from kerasbnn.runtime.composites import (
    BITS,
    CONV_2D,
    DENSE,
    FLOAT,
    SIGN_OF_FLOAT,
    Composite,
)
from kerasbnn.tflite import chains
from kerasbnn.tflite.builtin_operations import Operations
from kerasbnn.tflite.chains import Chain, Terms
from kerasbnn.tflite.composite_operators import make_composite, shortened
from kerasbnn.tflite.graph import Graph, Operator, Subgraph
from kerasbnn.tflite.marks import AFFINE, DOT, SIGN, Marks

RESHAPES = (
    BuiltinOperator.RESHAPE,
    BuiltinOperator.EXPAND_DIMS,
    BuiltinOperator.SQUEEZE,
)


@dataclass(eq=False)
class Placed:
    """A chain as it is in the file.

    Attributes:
        chain: The chain.
        terms: Its terms.
        composite: What is computed.
        subgraph: The subgraph that it is in.
        operator: The operation, once it is there.
        source: Tensor of the inputs, before the operation is there.
        reads_window: Height and width of what a dense layer takes as an image, so that
            it can read bits of a number of channels that does not fill words; or None.
    """

    chain: Chain
    terms: Terms
    composite: Composite
    subgraph: Subgraph
    operator: Operator | None = None
    source: int = -1
    reads_window: tuple[int, int] | None = None

    @property
    def yields_bits(self) -> bool:
        """Whether the outputs are bits."""
        return self.composite.output == BITS

    @property
    def constant_bytes(self) -> int:
        """Bytes of the weights, and of what is fused with them."""
        filters = int(np.prod(self.composite.filters_shape))
        terms = (self.terms.scale, self.terms.bias)
        return filters + sum(shortened(values).nbytes for values in terms)


def fuse(graph: Graph, marks: Marks, weights: str) -> list[Placed]:
    """Replace every mark of a file by what it stands for.

    Args:
        graph: The file; it is changed.
        marks: What the marks stand for; it learns why batch normalization is left.
        weights: As for `decompose`.

    Returns:
        The composites, in the order in which they are in the first subgraph, then in
        the others.
    """
    placed = []
    # Each composite adds a subgraph, in which there are no marks.
    for subgraph in list(graph.subgraphs):
        placed += _Fusion(subgraph, marks, weights).run()
    return placed


class _Fusion:
    """The work on one subgraph."""

    def __init__(self, subgraph: Subgraph, marks: Marks, weights):
        self.graph = subgraph
        self.marks = marks.marks
        self.left_float = marks.left_float
        self.weights = weights
        self.placed: list[Placed] = []

    def run(self):
        self._simplify_reshapes()
        binary = self._take_signs_in()
        self._find_chains(binary)
        self._choose_inputs()
        self._rebuild()
        self._lower_rest()
        return self.placed

    def _mark(self, op):
        return self.marks[op.custom_options["mark"]]

    def _named(self, name):
        return [op for op in self.graph.operators if op.custom_name == name]

    # ---- shapes ---------------------------------------------------------------------

    def _simplify_reshapes(self):
        """Leave out reshapes to the same shape; give others a constant shape.

        Keras computes the shape from that of the inputs, in three operations, even
        where only the size of the batch is open.
        """
        for op in self.graph.operators:
            shape = self.graph.shape(op.outputs[0])
            if op.builtin != BuiltinOperator.RESHAPE or shape.count(-1) > 1:
                continue
            is_output = op.outputs[0] in self.graph.outputs
            if shape == self.graph.shape(op.inputs[0]) and not is_output:
                for user in self.graph.consumers(op.outputs[0]):
                    _replace_input(user, op.outputs[0], op.inputs[0])
            elif self.graph.constant(op.inputs[1]) is None:
                target = self.graph.add_constant(np.array(shape, np.int32))
                op.inputs = [op.inputs[0], target]
        self.graph.drop_unused_operators()

    # ---- signs ----------------------------------------------------------------------

    def _take_signs_in(self):
        """Let dot products take the signs of their inputs themselves.

        Returns:
            The marked dot products whose inputs are signs.
        """
        binary = set()
        for op in self._named(SIGN):
            others = []
            for user in self.graph.consumers(op.outputs[0]):
                dots = self._dots_behind(user)
                if dots is None:
                    others.append(user)
                    continue
                binary.update(dots)
                _replace_input(user, op.outputs[0], op.inputs[0])
            if others or op.outputs[0] in self.graph.outputs:
                continue
            self.graph.operators.remove(op)
        return binary

    def _dots_behind(self, op):
        """Return the dot products that an operation leads to, if to nothing else."""
        if op.custom_name == DOT:
            return [op]
        if not self._is_reshape(op) or op.outputs[0] in self.graph.outputs:
            return None
        found = []
        for user in self.graph.consumers(op.outputs[0]):
            dots = self._dots_behind(user)
            if dots is None:
                return None
            found += dots
        return found

    def _is_reshape(self, op):
        return op.custom_name is None and op.builtin in RESHAPES

    # ---- chains ---------------------------------------------------------------------

    def _find_chains(self, binary):
        taken = set()
        for op in self._named(DOT):
            chain = chains.start(op, self._mark(op), op in binary)
            best = self._best(chain, binary, taken)
            taken.update(best.chain.links)
            self.placed.append(best)

    def _best(self, chain, binary, taken):
        """Prolong a chain as far as it has terms; bits are better than floats."""
        best = None
        while chain is not None:
            if self._leads_to_signs(chain.end, binary):
                terms = chains.bit_terms(chain)
                if terms is not None:
                    return self._placed(chain, terms, BITS)
            terms = chains.float_terms(chain)
            if terms is not None:
                best = self._placed(chain, terms, FLOAT)
            chain = chains.prolonged(chain, self.graph, self.marks)
            if chain is not None and chain.links[-1] in taken:
                break
        assert best is not None  # noqa: S101
        return best

    def _leads_to_signs(self, tensor, binary):
        users = self.graph.consumers(tensor)
        if not users or tensor in self.graph.outputs:
            return False
        shape = self.graph.shape(tensor)
        for user in users:
            dots = self._dots_behind(user)
            if dots is None or not all(dot in binary for dot in dots):
                return False
            if not all(self._can_read(shape, dot) for dot in dots):
                return False
        return True

    def _can_read(self, shape, dot):
        """Tell whether a dot product can read the bits of a tensor of some shape."""
        target = self.graph.shape(dot.inputs[0])
        if target[-1] == shape[-1] and target.count(-1) == shape.count(-1) == 1:
            return True
        # Flattened images: as they are, or as a window of the size of the image.
        is_flat = len(target) == 2 and target[1] == int(np.prod(shape[1:]))
        return is_flat and (shape[-1] % WORD == 0 or len(shape) == 4)

    def _placed(self, chain, terms, output):
        composite = chain.mark.composite
        fields = {"output": output, "residual": int(chain.residual is not None)}
        if chain.pool is not None:
            options = chain.pool.options
            fields |= {
                "pool_h": options.filterHeight,
                "pool_w": options.filterWidth,
                "pool_stride_h": options.strideH,
                "pool_stride_w": options.strideW,
                "pool_same": int(options.padding == 0),
                "pool_first": int(terms.pool_first),
            }
        if chain.is_binary:
            fields["input"] = SIGN_OF_FLOAT
        return Placed(chain, terms, replace(composite, **fields), self.graph)

    # ---- inputs ---------------------------------------------------------------------

    def _choose_inputs(self):
        """Let chains read the bits that others yield."""
        bits = {p.chain.end: p for p in self.placed if p.yields_bits}
        for placed in self.placed:
            placed.source = placed.chain.op.inputs[0]
            if not placed.chain.is_binary:
                continue
            tensor = placed.source
            while tensor not in bits:
                producer = self.graph.producer(tensor)
                if producer is None or not self._is_reshape(producer):
                    break
                tensor = producer.inputs[0]
            if tensor not in bits:
                continue
            channels = bits[tensor].composite.out_channels
            shape = self.graph.shape(tensor)
            fields = {"input": BITS}
            if channels % WORD and self.graph.shape(placed.source)[-1] != channels:
                fields |= {"name": CONV_2D, "in_channels": channels}
                fields |= {"kernel_h": shape[1], "kernel_w": shape[2]}
                placed.reads_window = (shape[1], shape[2])
                placed.source = tensor
            placed.composite = replace(placed.composite, **fields)

    # ---- rebuilding -----------------------------------------------------------------

    def _rebuild(self):
        """Put the composites into the place of what they replace."""
        anchors = {(p.chain.links or [p.chain.op])[-1]: p for p in self.placed}
        gone = {op for p in self.placed for op in (p.chain.op, *p.chain.links)}
        bits = {}
        operators: list[Operator] = []
        for op in self.graph.operators:
            if op in anchors:
                self._place(anchors[op], operators, bits)
            elif self._is_reshape(op) and op.inputs[0] in bits:
                self._reshape_bits(op, operators, bits)
            elif op not in gone:
                operators.append(op)
        self.graph.operators = operators

    def _place(self, placed, operators, bits):
        chain, composite, terms = placed.chain, placed.composite, placed.terms
        end = chain.end
        shape = self.graph.shape(end)
        if placed.yields_bits:
            bits[end] = composite.out_channels
            shape = (*shape[:-1], 4 * words_for(shape[-1]))
            self.graph.set_type(end, np.uint8)
            self.graph.set_shape(end, shape)
        self.graph.set_name(end, chain.mark.name)
        output = end
        if placed.reads_window:
            dtype = np.uint8 if placed.yields_bits else np.float32
            output = self.graph.add_tensor((-1, 1, 1, shape[-1]), dtype)
        placed.operator = make_composite(
            self.graph,
            composite,
            placed.source,
            packed_filters(placed),
            terms.scale,
            terms.bias,
            output,
            residual=self._residual(placed, operators),
            weights=self.weights,
        )
        operators.append(placed.operator)
        if placed.reads_window:
            dtype = np.uint8 if placed.yields_bits else np.float32
            Operations(self.graph, operators).reshape(output, shape, dtype, end)

    def _residual(self, placed, operators):
        residual = placed.chain.residual
        if residual is None or not placed.reads_window:
            return residual
        _, channels = self.graph.shape(residual)
        shape = (-1, 1, 1, channels)
        return Operations(self.graph, operators).reshape(residual, shape, np.float32)

    def _reshape_bits(self, op, operators, bits):
        """Change the shape of bits as that of the floats that they stand for."""
        source, target = op.inputs[0], op.outputs[0]
        channels = bits[source]
        shape = self.graph.shape(target)
        if channels % WORD and shape[-1] != channels:
            # Only windows read it, and they read what is before the reshape.
            return
        # A flattened image counts as one of as many channels.
        bits[target] = shape[-1]
        packed = (*shape[:-1], 4 * words_for(shape[-1]))
        self.graph.set_type(target, np.uint8)
        self.graph.set_shape(target, packed)
        Operations(self.graph, operators).reshape(source, packed, np.uint8, target)

    # ---- what is left ---------------------------------------------------------------

    def _lower_rest(self):
        """Write marks that no chain has taken in as built-in operations."""
        ends = {p.chain.end: p.chain for p in self.placed}
        for op in self._named(AFFINE):
            (x,) = op.inputs
            reason = chains.why_apart(ends.get(x), len(self.graph.consumers(x)))
            self.left_float.setdefault(self._mark(op).path, reason)
        operators: list[Operator] = []
        write = Operations(self.graph, operators)
        for op in self.graph.operators:
            if op.custom_name == SIGN:
                write.signs(op.inputs[0], op.outputs[0])
            elif op.custom_name == AFFINE:
                mark, x = self._mark(op), op.inputs[0]
                if mark.scale is not None:
                    x = write.multiply(x, write.constant(mark.scale))
                write.add(x, write.constant(mark.shift), op.outputs[0])
            else:
                operators.append(op)
        self.graph.operators = operators


def packed_filters(placed: Placed) -> np.ndarray:
    """Return the weights of a chain as they are in the file.

    Args:
        placed: The chain.

    Returns:
        uint8 array of the shape that its composite says.
    """
    values = placed.chain.mark.values
    composite, flipped = placed.composite, placed.terms.flipped
    if flipped is not None:
        turned = np.where(flipped, -1, 1).astype(np.int8)
        is_last = composite.name not in (DENSE, CONV_2D)
        axes = (1,) * (values.ndim - 1)
        values = values * turned.reshape((*axes, -1) if is_last else (-1, *axes))
    if placed.reads_window:
        height, width = placed.reads_window
        values = values.reshape(len(values), height, width, -1)
    return (pack_bits if composite.weight_bits == 1 else pack_ternary)(values)


def _replace_input(op, old, new):
    op.inputs = [new if tensor == old else tensor for tensor in op.inputs]

"""Which operations around a dot product become one composite with it.

A chain starts at a dot product and takes in what follows as long as nothing else needs
the values between: batch normalization, a max-pooling, a residual connection, the sign.
"""

from dataclasses import dataclass, field

import numpy as np
from ai_edge_litert.schema_py_generated import BuiltinOperator

from kerasbnn.tflite.graph import Operator
from kerasbnn.tflite.marks import AFFINE, Affine, Dot
from kerasbnn.tflite.thresholds import Step, directions, thresholds


@dataclass(eq=False)
class Chain:
    """A dot product and what becomes of it.

    Attributes:
        op: The marked operation.
        mark: Its mark.
        is_binary: Whether it takes the signs of its inputs.
        links: Operations that follow, in order.
        steps: Multiplications and additions before a pooling or where there is none.
        late_steps: Those after a pooling.
        pool: The max-pooling, or None.
        residual: Tensor that is added, or None.
        fused: Paths of the layers that are part of it.
    """

    op: Operator
    mark: Dot
    is_binary: bool
    links: list[Operator] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    late_steps: list[Step] = field(default_factory=list)
    pool: Operator | None = None
    residual: int | None = None
    fused: list[str] = field(default_factory=list)

    @property
    def end(self) -> int:
        """The tensor that it yields."""
        return (self.links[-1] if self.links else self.op).outputs[0]

    def copy(self) -> "Chain":
        """Return a chain that can grow apart from this one."""
        return Chain(
            self.op,
            self.mark,
            self.is_binary,
            list(self.links),
            list(self.steps),
            list(self.late_steps),
            self.pool,
            self.residual,
            list(self.fused),
        )


@dataclass(frozen=True, eq=False)
class Terms:
    """A chain in the terms of a composite.

    Attributes:
        scale: float32 `(channels,)`.
        bias: float32 `(channels,)`.
        flipped: Channels whose weights change sign, a Boolean array, or None.
        pool_first: Whether the pooling comes before scale and bias.
    """

    scale: np.ndarray
    bias: np.ndarray
    flipped: np.ndarray | None = None
    pool_first: bool = False


def start(op: Operator, mark: Dot, is_binary: bool) -> Chain:
    """Begin a chain with what a layer does by itself.

    Args:
        op: The marked operation.
        mark: Its mark.
        is_binary: Whether it takes the signs of its inputs.

    Returns:
        The chain.
    """
    chain = Chain(op, mark, is_binary)
    if mark.scale is not None or mark.bias is not None:
        chain.steps.append(Step(mark.scale, mark.bias))
    return chain


def prolonged(chain: Chain, graph, marks) -> Chain | None:
    """Take in the next operation.

    Args:
        chain: A chain.
        graph: The subgraph that it is in.
        marks: The marks by number.

    Returns:
        A longer chain, or None where the next operation cannot be part of it.
    """
    users = graph.consumers(chain.end)
    if len(users) != 1 or chain.end in graph.outputs:
        return None
    (op,) = users
    longer = chain.copy()
    longer.links.append(op)
    if op.custom_name == AFFINE and chain.residual is None:
        mark: Affine = marks[op.custom_options["mark"]]
        steps = longer.steps if chain.pool is None else longer.late_steps
        steps.append(Step(mark.scale, mark.shift))
        longer.fused.append(mark.path)
        return longer
    if _is_plain(op, BuiltinOperator.MAX_POOL_2D):
        if chain.pool is None and chain.residual is None:
            longer.pool = op
            longer.fused.append("max pooling")
            return longer
    if _is_plain(op, BuiltinOperator.ADD) and chain.pool is None:
        others = [tensor for tensor in op.inputs if tensor != chain.end]
        if (
            chain.residual is None
            and len(others) == 1
            and graph.constant(others[0]) is None
            and graph.shape(others[0]) == graph.shape(chain.end)
        ):
            longer.residual = others[0]
            longer.fused.append("residual")
            return longer
    return None


def why_apart(chain: Chain | None, readers: int) -> str:
    """Tell why a multiplication and an addition are not part of a chain.

    Args:
        chain: The chain whose outputs they take, or None.
        readers: Number of operations that take these outputs.

    Returns:
        The reason, for a report.
    """
    if chain is None:
        return "it does not directly follow a binary layer, so it stays in floats"
    before = f"'{chain.mark.path}'"
    if readers > 1:
        return f"the outputs of {before} before it are needed elsewhere too"
    if chain.residual is not None:
        return "it follows the sum of two branches, so it stays in floats"
    if chain.mark.bias is not None:
        return f"no sign follows that would take it in with the bias of {before}"
    return f"no sign follows that would take it in with what follows {before}"


def _is_plain(op, code):
    """Tell whether an operation is of a kind and has no activation function in it."""
    if op.builtin != code:
        return False
    return op.options.fusedActivationFunction == 0


def float_terms(chain: Chain) -> Terms | None:
    """Return the terms of a chain that yields floats.

    They give the same floats as the operations one by one, but for a kernel with
    magnitudes, whose products Keras rounds in an order of its own.

    Args:
        chain: The chain.

    Returns:
        The terms, or None where it has none.
    """
    if chain.pool is not None:
        return None
    return _single(chain.steps, chain.mark)


def bit_terms(chain: Chain) -> Terms | None:
    """Return the terms of a chain whose sign alone is needed.

    Args:
        chain: The chain.

    Returns:
        The terms, or None where it has none.
    """
    channels = chain.mark.composite.out_channels
    if chain.residual is not None:
        return _single(chain.steps, chain.mark)
    if not chain.is_binary:
        if chain.pool is None:
            return _single(chain.steps, chain.mark)
        if not chain.steps:
            late = _single(chain.late_steps, chain.mark)
            return late and Terms(late.scale, late.bias, pool_first=True)
        return None if chain.late_steps else _single(chain.steps, chain.mark)
    largest = chain.mark.composite.fan_in
    steps = [*chain.steps, *chain.late_steps]
    scale, bias = thresholds(steps, channels, largest)
    # Weights of the other sign turn a falling step into one that grows, so that the
    # pooling takes the largest product, and without one every scale is 1.
    grows = directions(chain.steps, channels) if chain.pool is not None else scale
    return Terms(scale * grows, bias, grows < 0, pool_first=chain.pool is not None)


def _single(steps, mark):
    """Put steps into one multiplication and one addition, where that is exact."""
    channels = mark.composite.out_channels
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)
    steps = list(steps)
    if len(steps) == 2 and steps[0].shift is None and steps[1].scale is not None:
        # Magnitudes of the kernel and batch normalization.
        with np.errstate(over="ignore", under="ignore"):
            steps = [Step(steps[0].scale * steps[1].scale, steps[1].shift)]
    if len(steps) == 2 and steps[0].shift is None and steps[1].scale is None:
        steps = [Step(steps[0].scale, steps[1].shift)]
    if len(steps) > 1:
        return None
    step = steps[0] if steps else Step(None, None)
    return Terms(
        ones if step.scale is None else step.scale,
        zeros if step.shift is None else step.shift + np.float32(0),
    )

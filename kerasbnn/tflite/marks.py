"""Marks: calls of layers that pass through the TensorFlow converter by number.

While a model is exported, a layer that the converter shall not touch emits a custom
operation that carries nothing but the number of its mark. What the mark stands for
stays here, so that no weights travel through TensorFlow.
"""

from dataclasses import dataclass, field

import numpy as np

from kerasbnn.runtime.composites import CONV_2D, DENSE, Composite

DOT = "KerasbnnDot"
AFFINE = "KerasbnnAffine"
SIGN = "KerasbnnSign"
INT8_KERNEL = "KerasbnnInt8Kernel"
ROUNDING = "KerasbnnRounding"


@dataclass(frozen=True, eq=False)
class Dot:
    """Dot products with binary or ternary weights.

    Attributes:
        path: Path of the layer in the model.
        kernel: Attribute of the layer that holds the latent weights.
        composite: What it computes, on inputs of floats.
        values: int8 weights of -1, 0 and 1: `(out, in)`, `(out, height, width, in)` or,
            depthwise, `(height, width, out)`.
        scale: float32 magnitude of the weights of each output, or None for 1.
        bias: float32 bias of each output, or None.
    """

    path: str
    kernel: str
    composite: Composite
    values: np.ndarray
    scale: np.ndarray | None
    bias: np.ndarray | None

    @property
    def name(self) -> str:
        """Path of the layer, and of the kernel where it has two."""
        if self.kernel in ("kernel", ""):
            return self.path
        return f"{self.path}/{self.kernel}"


@dataclass(frozen=True, eq=False)
class Affine:
    """One multiplication and one addition for each channel, both rounded.

    Attributes:
        path: Path of the layer in the model.
        scale: float32 factor of each channel, or None for 1.
        shift: float32 addend of each channel.
    """

    path: str
    scale: np.ndarray | None
    shift: np.ndarray


@dataclass(frozen=True, eq=False)
class Sign:
    """The sign of a tensor, +1 for 0.

    Attributes:
        path: Path of the layer whose inputs it quantizes, or of the quantizer.
    """

    path: str


@dataclass(frozen=True, eq=False)
class Int8Kernel:
    """A kernel of evenly spaced levels: `(values - zero_point) * scale`.

    Attributes:
        path: Path of the layer in the model.
        kernel: Attribute of the layer that holds the latent weights.
        values: int8, in the shape of the kernel.
        scale: float32 distance of two levels, of a shape that can be broadcast to it.
        zero_point: Which value stands for 0, integers of that shape.
        bias: Number of weights of the bias that goes with it.
    """

    path: str
    kernel: str
    values: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    bias: int = 0


@dataclass(frozen=True, eq=False)
class Rounding:
    """Activations rounded to the nearest of evenly spaced levels, halves up.

    With `m` and `M` for the ends it is
    `floor((max(min(x, M), m) - m) * inverse - offset + 1/2) * scale`, in this order.

    Attributes:
        path: Path of the layer whose inputs it quantizes, or of the quantizer.
        minimum: Value of the first level, float32 as all others, of a shape that can be
            broadcast to the activations.
        maximum: Value of the last level.
        inverse: Levels per unit.
        offset: Levels from the first one to 0.
        scale: Distance of two levels.
    """

    path: str
    minimum: np.ndarray
    maximum: np.ndarray
    inverse: np.ndarray
    offset: np.ndarray
    scale: np.ndarray


Mark = Dot | Affine | Sign | Int8Kernel | Rounding
OPERATIONS = {
    Dot: DOT,
    Affine: AFFINE,
    Sign: SIGN,
    Int8Kernel: INT8_KERNEL,
    Rounding: ROUNDING,
}


@dataclass
class Marks:
    """The marks of one export, in the order of the calls.

    Attributes:
        marks: The marks; the number of one is its place.
        left_float: Why a quantized layer is not packed, by its path.
    """

    marks: list[Mark] = field(default_factory=list)
    left_float: dict[str, str] = field(default_factory=dict)

    def emit(self, mark: Mark, inputs):
        """Emit the operation of a mark.

        Args:
            mark: The mark.
            inputs: A TensorFlow tensor of floats.

        Returns:
            Tensor with the shape of the outputs; its values are of no use.
        """
        number = len(self.marks)
        self.marks.append(mark)
        name = OPERATIONS[type(mark)]
        return emit_operation(name, number, [inputs], lambda x: _stand_in(mark, x))


def emit_operation(name: str, number: int, inputs, stand_in):
    """Emit a custom operation that carries a number through the converter.

    Args:
        name: Name of the operation.
        number: The number.
        inputs: List of TensorFlow tensors.
        stand_in: Function of these that returns a tensor with the shape of the output;
            its values are of no use.

    Returns:
        The output.
    """
    import tensorflow as tf

    implements = (
        f'name: "{name}" '
        'attr { key: "tfl_fusable_op" value { b: true } } '
        f'attr {{ key: "mark" value {{ i: {number} }} }}'
    )
    operation = tf.function(
        stand_in, experimental_implements=implements, autograph=False
    )
    return operation(*inputs)


def _stand_in(mark, x):
    """Return something of the right shape; the converter never sees inside."""
    import tensorflow as tf

    if isinstance(mark, Int8Kernel):
        return tf.zeros(mark.values.shape) + x
    if not isinstance(mark, Dot):
        return x + 1.0
    composite = mark.composite
    if composite.name == DENSE:
        return tf.matmul(x, tf.zeros((composite.in_channels, composite.out_channels)))
    padding = "SAME" if composite.same else "VALID"
    strides = (composite.stride_h, composite.stride_w)
    dilations = (composite.dilation_h, composite.dilation_w)
    taps = (composite.kernel_h, composite.kernel_w)
    if composite.name == CONV_2D:
        channels = composite.in_channels // composite.groups
        kernel = tf.zeros((*taps, channels, composite.out_channels))
        return tf.nn.convolution(
            x, kernel, strides, padding=padding, dilations=dilations
        )
    # Of a depthwise convolution TensorFlow asks for equal strides.
    kernel = tf.zeros((*taps, composite.in_channels, composite.out_channels))
    return tf.nn.convolution(x, kernel, strides, padding=padding, dilations=dilations)

"""TFMOT's 8-bit quantizers: levels between a lowest and a highest value seen."""

import numbers

import keras
from keras import ops

from kerasbnn._registration import register
from kerasbnn.quantizers.base import Quantizer
from kerasbnn.quantizers.gradients import widened
from kerasbnn.tfmot.fake_quantization import Levels, fake_quantize, levels_of

MOVING_AVERAGE_DECAY = 0.999


class RangeQuantizer(Quantizer):
    """Base class: rounds to the levels of a range that it learns from what it sees.

    Subclasses say in `moved_range` how the range follows from that of a batch.

    Args:
        num_bits: Bits per value, an integer from 2 to 16.
        per_axis: Whether each channel has a range of its own: each output channel of a
            kernel, each channel of inputs.
        symmetric: Whether the range is as wide below 0 as above.
        narrow_range: Whether to leave the lowest level out, so that with 8 bits the
            levels are -127 to 127 and a symmetric range has 0 in the middle.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        ValueError: `num_bits` is not one of the above.
    """

    stateful = True
    channel_axes = (-1,)
    initial_range = (-6.0, 6.0)

    def __init__(
        self,
        num_bits=8,
        per_axis=False,
        symmetric=False,
        narrow_range=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        is_integer = isinstance(num_bits, numbers.Integral) and not isinstance(
            num_bits, bool
        )
        if not is_integer or not 2 <= num_bits <= 16:
            raise ValueError(
                f"`num_bits` must be an integer from 2 to 16. Received: {num_bits!r}. "
                "For 1 bit use a quantizer such as 'ste_sign'."
            )
        self.num_bits = self.precision = int(num_bits)
        self.per_axis = bool(per_axis)
        self.symmetric = bool(symmetric)
        self.narrow_range = bool(narrow_range)

    @property
    def has_ranges_of_channels(self) -> bool:
        """Whether each channel has a range of its own."""
        return self.per_axis

    def build_for_channels(self, shape, channel_axes):
        self.channel_axes = channel_axes
        self.build(shape)

    def build(self, input_shape):
        rank = len(input_shape)
        axes = {axis % rank for axis in self.channel_axes}
        if not self.has_ranges_of_channels:
            axes = set()
        sizes = [input_shape[axis] for axis in sorted(axes)]
        if None in sizes:
            raise ValueError(
                f"{type(self).__name__} with per_axis=True has a range for each "
                f"channel, so the size of axis {sorted(axes)} must be known. Received "
                f"shape: {tuple(input_shape)}. Declare it in keras.Input."
            )
        self._reduced_axes, self._broadcast_shape = None, ()
        if axes:
            self._reduced_axes = tuple(a for a in range(rank) if a not in axes)
            self._broadcast_shape = tuple(
                input_shape[a] if a in axes else 1 for a in range(rank)
            )
        self.min_value, self.max_value = (
            self.add_weight(
                name=name,
                shape=sizes,
                initializer=keras.initializers.Constant(value),
                # Half precision would move the levels.
                dtype="float64" if self.variable_dtype == "float64" else "float32",
                autocast=False,
                trainable=False,
            )
            for name, value in zip(
                ("min_value", "max_value"), self.initial_range, strict=True
            )
        )

    def moved_range(self, lowest, highest):
        """Tell the range from now on.

        Args:
            lowest: Lowest value of a batch, a tensor of the shape of `min_value`.
            highest: Highest value of it.

        Returns:
            Its ends.
        """
        raise NotImplementedError

    def levels(self, dtype="float32") -> Levels:
        """Return the levels of the range as it is now.

        Args:
            dtype: Dtype of the result.

        Returns:
            Levels whose tensors can be broadcast to what is quantized.
        """
        minimum, maximum = (
            ops.cast(ops.reshape(variable, self._broadcast_shape), dtype)
            for variable in (self.min_value, self.max_value)
        )
        return levels_of(minimum, maximum, self.num_bits, self.narrow_range)

    def call(self, inputs, training=None):
        x = widened(inputs)
        # A layer that is frozen keeps its levels.
        if training and self.trainable:
            dtype = self.min_value.dtype
            seen = ops.cast(ops.stop_gradient(x), dtype)
            moved = self.moved_range(
                *self._balanced(
                    ops.min(seen, axis=self._reduced_axes),
                    ops.max(seen, axis=self._reduced_axes),
                )
            )
            self.min_value.assign(moved[0])
            self.max_value.assign(moved[1])
        return ops.cast(fake_quantize(x, self.levels(x.dtype)), inputs.dtype)

    def _balanced(self, lowest, highest):
        """Make the range of a batch one that is symmetric or holds 0."""
        if not self.symmetric:
            return ops.minimum(lowest, 0.0), ops.maximum(highest, 0.0)
        # Of signed integers there is one more below 0 than above.
        count = 2**self.num_bits
        ratio = -1.0 if self.narrow_range else -(count - 2) / count
        return (
            ops.minimum(lowest, highest / ratio),
            ops.maximum(highest, lowest * ratio),
        )

    def get_config(self):
        return {
            **super().get_config(),
            "num_bits": self.num_bits,
            "per_axis": self.per_axis,
            "symmetric": self.symmetric,
            "narrow_range": self.narrow_range,
        }


@register
class LastValueQuantizer(RangeQuantizer):
    r"""Levels between the lowest and the highest value of the last batch: for kernels.

    Forward: `q(x) = s round((clip(x, a, b) - a) / s) + a`, halves up, with
    `2^num_bits` levels at a distance of `s`, one of them 0. In training `a` is the
    lowest value of `x` and `b` the highest, the range being widened to hold 0 and, with
    `symmetric`, to both sides alike; else they are those of the last step.
    Gradient: `dq/dx = 1 if a <= x <= b else 0`, the range counting as a constant.

    Values, gradients and ranges are those of TFMOT's quantizer of the same name; TFMOT
    need not be installed. `min_value` and `max_value` are weights that are saved and
    not trained, -6 and 6 before the first step of training, so every layer needs an
    instance of its own. A layer with `trainable=False` keeps its range.

    With `per_axis` TFMOT takes the last axis of a kernel. Here it is the axis that the
    layer has its output channels on: for depthwise kernels each pair of input channel
    and multiplier, for transposed ones the last but one.

    Args:
        num_bits: Bits per value, an integer from 2 to 16.
        per_axis: Whether each channel has a range of its own.
        symmetric: Whether the range is as wide below 0 as above; LiteRT asks for it in
            kernels whose channels have ranges of their own.
        narrow_range: Whether to leave the lowest level out, so that with 8 bits the
            levels are -127 to 127 and a symmetric range has 0 in the middle.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        ValueError: `num_bits` is not one of the above, or the same instance was given
            to two layers.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn import QuantConv2D
        >>> from kerasbnn.tfmot import LastValueQuantizer
        >>> stem = QuantConv2D(
        ...     8, 3, kernel_quantizer=LastValueQuantizer(
        ...         num_bits=8, per_axis=True, symmetric=True, narrow_range=True
        ...     ),
        ... )
        >>> outputs = stem(np.ones((1, 8, 8, 3), "float32"), training=True)
        >>> values = ops.convert_to_numpy(stem.quantize_kernel())[..., 0]
        >>> levels = values / np.abs(values).max() * 127
        >>> bool(np.allclose(levels, levels.round(), atol=1e-4))
        True

    Reference:
        Jacob et al., arXiv 1712.05877, section 3.1.
    """

    def moved_range(self, lowest, highest):
        return lowest, highest


@register
class MovingAverageQuantizer(RangeQuantizer):
    r"""Levels between moving averages of the lowest and the highest values: for inputs.

    As `LastValueQuantizer`, but each step of training moves the ends of the range
    towards those of the batch by a thousandth of the way, from -6 and 6 on.

    Values, gradients and ranges are those of TFMOT's quantizer of the same name; with
    `per_axis`, which TFMOT refuses here, each channel has a range of its own.

    Args:
        num_bits: Bits per value, an integer from 2 to 16.
        per_axis: Whether each channel has a range of its own.
        symmetric: Whether the range is as wide below 0 as above.
        narrow_range: Whether to leave the lowest level out.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        ValueError: `num_bits` is not one of the above, or the same instance was given
            to two layers.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantDense
        >>> from kerasbnn.tfmot import MovingAverageQuantizer
        >>> head = QuantDense(10, input_quantizer=MovingAverageQuantizer(num_bits=8))
        >>> outputs = head(np.ones((1, 32), "float32"), training=True)
        >>> round(float(head.input_quantizer.max_value), 3)
        5.995

    Reference:
        Jacob et al., arXiv 1712.05877, section 3.1.
    """

    def moved_range(self, lowest, highest):
        share = 1.0 - MOVING_AVERAGE_DECAY
        return tuple(
            end - (end - seen) * share
            for end, seen in ((self.min_value, lowest), (self.max_value, highest))
        )


@register
class AllValuesQuantizer(RangeQuantizer):
    r"""Levels between the lowest and the highest value of all batches.

    As `LastValueQuantizer`, but the range only grows, from nothing on: before the first
    step of training it maps everything to 0.

    Values, gradients and ranges are those of TFMOT's quantizer of the same name, which
    takes `per_axis` but has one range all the same.

    Args:
        num_bits: Bits per value, an integer from 2 to 16.
        per_axis: Kept for TFMOT's sake; there is one range.
        symmetric: Whether the range of a batch is as wide below 0 as above.
        narrow_range: Whether to leave the lowest level out.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        ValueError: `num_bits` is not one of the above, or the same instance was given
            to two layers.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.tfmot import AllValuesQuantizer
        >>> quantizer = AllValuesQuantizer(num_bits=8)
        >>> for values in ([-1.0, 2.0], [0.0, 4.0]):
        ...     outputs = quantizer(np.array(values, "float32"), training=True)
        >>> float(quantizer.min_value), float(quantizer.max_value)
        (-1.0, 4.0)

    Reference:
        Jacob et al., arXiv 1712.05877, section 3.1.
    """

    initial_range = (0.0, 0.0)

    @property
    def has_ranges_of_channels(self) -> bool:
        """Whether each channel has a range of its own: as in TFMOT, none has."""
        return False

    def moved_range(self, lowest, highest):
        return (
            ops.minimum(ops.minimum(self.min_value, lowest), 0.0),
            ops.maximum(ops.maximum(self.max_value, highest), 0.0),
        )

"""Fake quantization: floats rounded to the levels that integers would have.

The arithmetic is that of TensorFlow's `fake_quant_with_min_max_vars`, float32 operation
by operation, on every backend.
"""

from dataclasses import dataclass
from typing import Any

from keras import ops

from kerasbnn.quantizers.gradients import with_gradient


@dataclass(frozen=True, eq=False)
class Levels:
    """The evenly spaced values that a range is rounded to; 0 is one of them.

    Attributes:
        scale: Distance of two levels, a tensor; 0 where the range is empty.
        zero_point: Which level is 0, a tensor of whole numbers as floats, counted as
            unsigned integers of `num_bits` are.
        lowest: Number of the first level: 0, or 1 for a narrow range.
        highest: Number of the last one, `2^num_bits - 1`.
    """

    scale: Any
    zero_point: Any
    lowest: int
    highest: int

    @property
    def minimum(self):
        """Value of the first level."""
        return (self.lowest - self.zero_point) * self.scale

    @property
    def maximum(self):
        """Value of the last level."""
        return (self.highest - self.zero_point) * self.scale

    @property
    def is_empty(self):
        """Whether there is no other level than 0."""
        return ops.equal(self.scale, 0)

    @property
    def inverse(self):
        """Levels per unit; 1 where the range is empty."""
        return 1 / ops.where(self.is_empty, ops.ones_like(self.scale), self.scale)

    @property
    def offset(self):
        """Levels from the first one to 0, by TensorFlow's arithmetic."""
        return ops.floor(-self.minimum * self.inverse + 0.5)


def levels_of(minimum, maximum, num_bits: int, narrow_range: bool) -> Levels:
    """Move a range by less than one level, so that 0 is a level.

    Args:
        minimum: Float tensor, at most 0.
        maximum: Float tensor of the same shape, at least 0.
        num_bits: Bits of one value, 2 to 16.
        narrow_range: Whether to leave the lowest level out.

    Returns:
        The levels.

    Example:
        >>> from keras import ops
        >>> from kerasbnn.tfmot.fake_quantization import levels_of
        >>> ends = ops.convert_to_tensor([-1.0, 2.0])
        >>> levels = levels_of(ends[0], ends[1], num_bits=2, narrow_range=False)
        >>> float(levels.minimum), float(levels.scale), float(levels.maximum)
        (-1.0, 1.0, 2.0)

    Reference:
        Jacob et al., arXiv 1712.05877, section 3.1.
    """
    lowest, highest = int(narrow_range), 2**num_bits - 1
    scale = (maximum - minimum) / (highest - lowest)
    is_empty = ops.equal(scale, 0)
    from_minimum = lowest - minimum / ops.where(is_empty, ops.ones_like(scale), scale)
    # Halves go up. Adding 1/2 before taking the floor would round the sum.
    floor = ops.floor(from_minimum)
    nearest = ops.where(from_minimum - floor >= 0.5, floor + 1, floor)
    return Levels(scale, ops.clip(nearest, lowest, highest), lowest, highest)


def fake_quantize(x, levels: Levels):
    """Round values to the nearest level; halves go up.

    Forward: `q(x) = s (floor((clip(x, a, b) - a) / s - z + 1/2))` for levels from `a`
    to `b`, at a distance of `s`, the one numbered `z` from `a` on being 0.
    Gradient: `dq/dx = 1 if a <= x <= b else 0`; for an empty range `q = 0`, and 1.

    Args:
        x: Float tensor of any shape.
        levels: Levels whose tensors can be broadcast to the shape of `x`.

    Returns:
        Tensor of the shape and dtype of `x`.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.tfmot.fake_quantization import fake_quantize, levels_of
        >>> ends = ops.convert_to_tensor([-1.0, 2.0])
        >>> levels = levels_of(ends[0], ends[1], num_bits=2, narrow_range=False)
        >>> values = fake_quantize(np.array([-9, -0.5, 0.4, 1.7], "float32"), levels)
        >>> ops.convert_to_numpy(values).tolist()
        [-1.0, 0.0, 0.0, 2.0]

    Reference:
        Jacob et al., arXiv 1712.05877, section 3; Bengio et al., arXiv 1308.3432, for
        the gradient.
    """
    minimum, maximum, is_empty = levels.minimum, levels.maximum, levels.is_empty
    inverse, offset, scale = levels.inverse, levels.offset, levels.scale

    def forward(x):
        within = ops.maximum(ops.minimum(x, maximum), minimum)
        return ops.floor((within - minimum) * inverse - offset + 0.5) * scale

    def backward(x, upstream):
        is_within = ops.logical_and(x >= minimum, x <= maximum)
        passes = ops.logical_or(is_within, is_empty)
        return ops.where(passes, upstream, ops.cast(0, upstream.dtype))

    return with_gradient(ops.convert_to_tensor(x), forward, backward)

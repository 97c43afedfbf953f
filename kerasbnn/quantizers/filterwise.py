"""What the quantizers share that binarize whole filters in a basis of their own."""

import math

from keras import ops

from kerasbnn._checks import checked_number
from kerasbnn.quantizers.base import Quantizer, plain
from kerasbnn.quantizers.gradients import widened
from kerasbnn.quantizers.sign import axes_within


class FilterwiseSign(Quantizer):
    """Base class: signs of each filter in another basis than that of the inputs.

    A filter is what lies along all axes of a kernel but those of its channels.
    Subclasses make their weights in `add_basis` and define `binarize`.

    Args:
        clip_value: Positive float, or None for a gradient without limit.
        scale: Whether to multiply each filter by its best magnitude.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        TypeError: `clip_value` is neither a number nor None.
        ValueError: `clip_value` is not positive.
    """

    precision = 1
    stateful = True
    channel_axes = (-1,)

    def __init__(self, clip_value=None, scale=False, **kwargs):
        super().__init__(**kwargs)
        self.clip_value = checked_number(
            "clip_value", clip_value, minimum=0, exclusive=True, optional=True
        )
        self.scale = bool(scale)
        # A constraint on the weights does not bound what the mask is about, but keeps
        # it from growing for ever.
        self.starves = clip_value is not None

    def build_for_channels(self, shape, channel_axes):
        self.channel_axes = channel_axes
        self.build(shape)

    def build(self, input_shape):
        rank = len(input_shape)
        channels = {axis % rank for axis in self.channel_axes}
        sizes = [input_shape[axis] for axis in range(rank) if axis not in channels]
        if not sizes or None in sizes:
            raise ValueError(
                f"{type(self).__name__} binarizes the filters of a kernel, whose "
                f"shape must be known. Received shape: {tuple(input_shape)}, with the "
                f"axes {self.channel_axes} for channels. For activations use "
                "kerasbnn.layers.GeneralizedBinarization."
            )
        self.add_basis(math.prod(sizes))
        self.built = True

    def add_basis(self, fan_in):
        """Make the weights of the basis.

        Args:
            fan_in: Number of weights of a filter.
        """
        raise NotImplementedError

    def binarize(self, filters):
        """Binarize filters in the basis.

        Args:
            filters: Float tensor of shape `(filters, fan_in)`.

        Returns:
            Tensor of that shape, and one of shape `(filters, 1)`: the magnitude by
            which the first comes nearest to the filters.
        """
        raise NotImplementedError

    def call(self, inputs):
        weights = axes_within(inputs, self.channel_axes)
        channels = [a for a in range(len(inputs.shape)) if a not in weights]
        order = (*channels, *weights)
        moved = ops.transpose(widened(inputs), order)
        fan_in = math.prod(inputs.shape[axis] for axis in weights)
        binarized, magnitude = self.binarize(ops.reshape(moved, (-1, fan_in)))
        if self.scale:
            binarized *= ops.stop_gradient(magnitude)
        outputs = ops.reshape(binarized, moved.shape)
        inverse = [order.index(axis) for axis in range(len(order))]
        return ops.cast(ops.transpose(outputs, inverse), inputs.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "clip_value": plain(self.clip_value),
            "scale": self.scale,
        }

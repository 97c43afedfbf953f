"""ReActNet's quantizer: a sign whose threshold each channel learns."""

from keras import ops

from kerasbnn._registration import register
from kerasbnn.quantizers.base import Quantizer
from kerasbnn.quantizers.gradients import polynomial, sign, with_gradient


@register
class RSign(Quantizer):
    r"""Sign with a learned shift per channel.

    Forward: `q(x) = sign(x + b)` with one trainable `b` per channel, zero at first.
    Gradient: with `u = x + b`, `dq/dx = 2 - 2|u| if |u| <= 1 else 0`, and `dq/db` its
    sum over all positions of the channel.

    The shift is a weight, so every layer needs an instance of its own. As a layer by
    itself it takes the last axis for that of the channels.

    Args:
        **kwargs: Arguments of `Quantizer`.

    Raises:
        ValueError: The same instance was given to two layers.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.quantizers import RSign
        >>> signs = RSign()(np.array([[-0.3, 0.0], [2.0, -1.0]], "float32"))
        >>> ops.convert_to_numpy(signs).tolist()
        [[-1.0, 1.0], [1.0, -1.0]]

    Reference:
        Liu et al., ReActNet, arXiv 2003.03488.
    """

    precision = 1
    starves = True
    stateful = True
    channel_axes = (-1,)

    def build_for_channels(self, shape, channel_axes):
        self.channel_axes = channel_axes
        self.build(shape)

    def build(self, input_shape):
        rank = len(input_shape)
        channels = {axis % rank for axis in self.channel_axes}
        sizes = [input_shape[a] if a in channels else 1 for a in range(rank)]
        if None in sizes:
            raise ValueError(
                f"RSign learns one shift per channel, so the size of axis "
                f"{sorted(channels)} must be known. Received shape: "
                f"{tuple(input_shape)}. Declare it in keras.Input."
            )
        self.shift = self.add_weight(
            name="shift", shape=[s for s in sizes if s != 1] or [1], initializer="zeros"
        )
        self._broadcast_shape = tuple(sizes)

    def call(self, inputs):
        shift = ops.reshape(self.shift, self._broadcast_shape)
        shifted = inputs + ops.cast(shift, inputs.dtype)
        return with_gradient(shifted, sign, polynomial)

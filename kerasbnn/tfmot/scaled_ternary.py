"""Ternary levels with a magnitude for each output channel."""

from keras import ops

from kerasbnn._registration import register
from kerasbnn.quantizers import SteTern
from kerasbnn.quantizers.gradients import widened
from kerasbnn.quantizers.sign import axes_within


@register
class ScaledSteTern(SteTern):
    r"""`SteTern`, scaled by the mean magnitude of the weights that it keeps.

    Forward: `q(w) = a t(w)` with `t(w)` of `SteTern` and `a` the mean of `|w|` over
    those weights of an output channel for which `t(w)` is not 0.
    Gradient: that of `SteTern` times `a`; the scale counts as a constant.

    What `TernaryQuantizer(scale=True)` becomes in `from_tfmot`; for kernels.

    Args:
        **kwargs: Arguments of `SteTern`.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.tfmot.scaled_ternary import ScaledSteTern
        >>> kernel = np.array([[0.5, 2.0], [-1.5, 0.01]], "float32")
        >>> ops.convert_to_numpy(ScaledSteTern()(kernel)).tolist()
        [[1.0, 2.0], [-1.0, 0.0]]

    Reference:
        Li et al., Ternary Weight Networks, arXiv 1605.04711, section 2.2.
    """

    channelwise = True

    def call(self, inputs, channel_axes=(-1,)):
        levels = super().call(inputs)
        axes = axes_within(inputs, channel_axes)
        kept = ops.stop_gradient(ops.abs(widened(levels)))
        total = ops.sum(ops.abs(widened(inputs)) * kept, axis=axes, keepdims=True)
        scale = total / ops.maximum(ops.sum(kept, axis=axes, keepdims=True), 1)
        return ops.stop_gradient(ops.cast(scale, inputs.dtype)) * levels

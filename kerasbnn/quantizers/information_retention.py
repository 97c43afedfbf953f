"""IR-Net's quantizer: a standardised sign whose gradient sharpens over training."""

import math

from keras import ops

from kerasbnn._checks import checked_number
from kerasbnn._registration import register
from kerasbnn.quantizers.base import Quantizer, plain
from kerasbnn.quantizers.gradients import as_tensor, sign, widened, with_gradient
from kerasbnn.quantizers.sign import axes_within


@register
class IRNetSign(Quantizer):
    r"""Sign of standardised weights with the error-decay gradient of IR-Net.

    Forward: `q(w) = s sign(z)` with `z = (w - mean(w)) / std(w)` over each output
    channel (the unbiased standard deviation) and `s = 2^round(log2(mean |z|))`. Each
    channel so has about as many +1 as -1, the most information that a bit can carry.
    Gradient: `dq/dz = s k t (1 - tanh(t z)^2)` with `k = max(1 / t, 1)`, and on through
    the standardisation; `s` counts as a constant. A small `t` gives a wide gradient
    that updates all weights, a large one a gradient close to that of sign.

    IR-Net raises `t` from 0.01 to 10 log-linearly over training:
    `callbacks.QuantizerSchedule` does that. Standardised weights never leave the range
    of the gradient for good, so no clip constraint is needed.

    Args:
        temperature: The `t` above, a positive float.
        standardize: Whether to standardise; False for activations.
        scale: Whether to multiply by the power of two `s`; without it values are ±1.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        TypeError: `temperature` is not a number.
        ValueError: `temperature` is not positive.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.quantizers import IRNetSign
        >>> signs = IRNetSign()(np.array([[0.1], [0.2], [0.9]], "float32"))
        >>> ops.convert_to_numpy(signs).tolist()
        [[-1.0], [-1.0], [1.0]]

    Reference:
        Qin et al., Forward and Backward Information Retention for Accurate Binary
        Neural Networks, arXiv 1909.10788.
    """

    precision = 1
    channelwise = True

    def __init__(self, temperature=0.1, standardize=True, scale=True, **kwargs):
        super().__init__(**kwargs)
        self.temperature = checked_number(
            "temperature", temperature, minimum=0, exclusive=True
        )
        self.standardize = bool(standardize)
        self.scale = bool(scale)

    def call(self, inputs, channel_axes=(-1,)):
        axes = axes_within(inputs, channel_axes)
        # A variance underflows in half precision.
        z = widened(inputs)
        if self.standardize:
            z = _standardized(z, axes)
        signs = with_gradient(z, sign, self._backward)
        if self.scale:
            magnitude = ops.mean(ops.abs(z), axis=axes, keepdims=True)
            signs *= ops.stop_gradient(_nearest_power_of_two(magnitude))
        return ops.cast(signs, inputs.dtype)

    def _backward(self, z, upstream):
        t = as_tensor(self.temperature, z)
        k = ops.maximum(1 / t, ops.ones_like(t))
        # 1 - tanh^2 is 1 / cosh^2, which keeps its digits where tanh is almost 1.
        return upstream * k * t * ops.square(1 / ops.cosh(t * z))

    def get_config(self):
        return {
            **super().get_config(),
            "temperature": plain(self.temperature),
            "standardize": self.standardize,
            "scale": self.scale,
        }


def _standardized(w, axes):
    centred = w - ops.mean(w, axis=axes, keepdims=True)
    # The size of a batch is a tensor where it is not known before run time.
    sizes = ops.shape(w)
    count = ops.cast(math.prod(sizes[axis] for axis in axes), w.dtype)
    squares = ops.sum(ops.square(centred), axis=axes, keepdims=True)
    variance = squares / ops.maximum(count - 1, ops.ones_like(count))
    # A channel of equal weights has no spread to divide by: it stays at zero. The
    # inner maximum also keeps the square root's gradient finite there.
    tiny = ops.cast(1e-12, w.dtype)
    return centred / ops.sqrt(ops.maximum(variance, tiny))


def _nearest_power_of_two(magnitude):
    floored = ops.maximum(magnitude, ops.cast(1e-12, magnitude.dtype))
    exponent = ops.round(ops.log2(floored))
    power = ops.exp2(exponent)
    return ops.where(magnitude > 0, power, ops.ones_like(magnitude))

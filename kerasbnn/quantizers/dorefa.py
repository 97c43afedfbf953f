"""The DoReFa-Net quantizer: k bits, uniform levels."""

import numbers

from keras import ops

from kerasbnn._registration import register
from kerasbnn.quantizers.base import Quantizer
from kerasbnn.quantizers.gradients import widened, with_gradient

MODES = ("activations", "weights")


@register
class DoReFa(Quantizer):
    r"""Uniform `k`-bit quantizer for activations in [0, 1] or weights in [-1, 1].

    Forward, activations: `q(x) = round(n clip(x, 0, 1)) / n` with `n = 2^k - 1`.
    Forward, weights: `q(w) = 2 round(n (tanh(w) / (2 m) + 1/2)) / n - 1` with
    `m = max |tanh(w)|`.
    Gradient: that of the same expression without the rounding, `m` counting as a
    constant: `dq/dx = 1 if 0 <= x <= 1 else 0`, and `dq/dw = (1 - tanh(w)^2) / m`.

    Halves round to the even neighbour, as in Larq, so a weight of exactly 0 at
    `k_bit=1` becomes -1; what is stored and packed is the quantized value.

    Args:
        k_bit: Bits per value, an integer from 1 to 16.
        mode: `"activations"` or `"weights"`.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        ValueError: `k_bit` or `mode` is not one of the above.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.quantizers import DoReFa
        >>> levels = DoReFa(k_bit=2)(np.array([-0.5, 0.4, 3.0], "float32"))
        >>> ops.convert_to_numpy(levels).round(3).tolist()
        [0.0, 0.3330000042915344, 1.0]

    Reference:
        Zhou et al., DoReFa-Net, arXiv 1606.06160.
    """

    def __init__(self, k_bit=2, mode="activations", **kwargs):
        super().__init__(**kwargs)
        is_integer = isinstance(k_bit, numbers.Integral) and not isinstance(k_bit, bool)
        if not is_integer or not 0 < k_bit < 17:
            raise ValueError(
                f"`k_bit` must be an integer from 1 to 16. Received: {k_bit!r}."
            )
        if mode not in MODES:
            raise ValueError(f"`mode` must be one of {MODES}. Received: {mode!r}.")
        self.k_bit = self.precision = int(k_bit)
        self.mode = mode

    def _round(self, x):
        steps = 2**self.k_bit - 1
        return with_gradient(
            x, lambda x: ops.round(x * steps) / steps, lambda x, upstream: upstream
        )

    def call(self, inputs):
        # In half precision the levels of many bits fall together or overflow.
        x = widened(inputs)
        if self.mode == "activations":
            levels = self._round(with_gradient(x, _clipped, _within_clip))
        else:
            limited = ops.tanh(x)
            largest = ops.stop_gradient(ops.max(ops.abs(limited)))
            # All-zero weights have no scale: they stay in the middle of the range.
            largest = ops.where(largest > 0, largest, ops.ones_like(largest))
            levels = 2 * self._round(limited / (2 * largest) + 0.5) - 1
        return ops.cast(levels, inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "k_bit": self.k_bit, "mode": self.mode}


def _clipped(x):
    return ops.clip(x, 0, 1)


def _within_clip(x, upstream):
    # Both limits pass the gradient; a backend's own clip may stop or halve it there.
    is_within = ops.logical_and(ops.greater_equal(x, 0), ops.less_equal(x, 1))
    return ops.where(is_within, upstream, ops.cast(0, upstream.dtype))

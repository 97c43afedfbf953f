"""The DoReFa-Net quantizer: k bits, uniform levels."""

from keras import ops

from kerasbnn._registration import register
from kerasbnn.quantizers.base import Quantizer
from kerasbnn.quantizers.gradients import identity_within, with_gradient

MODES = ("activations", "weights")


@register
class DoReFa(Quantizer):
    r"""Uniform `k`-bit quantizer for activations in [0, 1] or weights in [-1, 1].

    Forward, activations: `q(x) = round(n clip(x, 0, 1)) / n` with `n = 2^k - 1`.
    Forward, weights: `q(w) = 2 round(n (tanh(w) / (2 m) + 1/2)) / n - 1` with
    `m = max |tanh(w)|`.
    Gradient: that of the same expression without the rounding, `m` counting as a
    constant: `dq/dx = 1 if 0 <= x <= 1 else 0`, and `dq/dw = (1 - tanh(w)^2) / m`.

    Halves round to the even neighbour, as in Larq, so a weight of exactly 0 at `k_bit=1`
    becomes -1; what is stored and packed is the quantized value.

    Args:
        k_bit: Bits per value, an integer from 1 to 16.
        mode: `"activations"` or `"weights"`.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        ValueError: `k_bit` or `mode` is not one of the above.

    Example:
        >>> from kerasbnn.quantizers import DoReFa
        >>> DoReFa(k_bit=2)([-0.5, 0.4, 3.0])  # -> [0.0, 0.333, 1.0]

    Reference:
        Zhou et al., DoReFa-Net, arXiv 1606.06160.
    """

    def __init__(self, k_bit=2, mode="activations", **kwargs):
        super().__init__(**kwargs)
        if isinstance(k_bit, bool) or not isinstance(k_bit, int) or not 0 < k_bit < 17:
            raise ValueError(
                f"`k_bit` must be an integer from 1 to 16. Received: {k_bit!r}."
            )
        if mode not in MODES:
            raise ValueError(f"`mode` must be one of {MODES}. Received: {mode!r}.")
        self.k_bit = k_bit
        self.mode = mode

    @property
    def precision(self):
        return self.k_bit

    def _round(self, x):
        steps = 2**self.k_bit - 1
        return with_gradient(
            x, lambda x: ops.round(x * steps) / steps, lambda x, upstream: upstream
        )

    def call(self, inputs):
        if self.mode == "activations":
            # |x - 1/2| <= 1/2 is 0 <= x <= 1, with both limits' gradients kept.
            clipped = with_gradient(
                inputs,
                lambda x: ops.clip(x, 0, 1),
                lambda x, upstream: identity_within(0.5)(x - 0.5, upstream),
            )
            return self._round(clipped)
        limited = ops.tanh(inputs)
        largest = ops.stop_gradient(ops.max(ops.abs(limited)))
        # All-zero weights have no largest; they stay in the middle of the range.
        centred = ops.divide_no_nan(limited, 2 * largest) + 0.5
        return 2 * self._round(centred) - 1

    def get_config(self):
        return {**super().get_config(), "k_bit": self.k_bit, "mode": self.mode}

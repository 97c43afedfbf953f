"""The ternary quantizer: -1, 0 or +1."""

from keras import ops

from kerasbnn._checks import checked_number
from kerasbnn._registration import register
from kerasbnn.quantizers.base import Quantizer, plain
from kerasbnn.quantizers.gradients import (
    as_tensor,
    identity_within,
    widened,
    with_gradient,
)


def optimal_threshold(magnitudes):
    """Find the threshold whose ternary vector makes the smallest angle with the values.

    Among the vectors that keep the signs of the `k` largest values and are zero
    elsewhere, the cosine with the original is the sum of those magnitudes over
    `sqrt(k)`, up to a constant; the best `k` maximises it.

    Args:
        magnitudes: Absolute values, float tensor of any shape.

    Returns:
        Scalar tensor: the smallest magnitude to keep.

    Example:
        >>> from keras import ops
        >>> from kerasbnn.quantizers.ternary import optimal_threshold
        >>> threshold = optimal_threshold(ops.convert_to_tensor([0.25, 1.0, 0.75]))
        >>> float(threshold)
        0.75

    Reference:
        Anderson & Berg, arXiv 1705.07199 (the angle as the measure of a quantizer).
    """
    ascending = ops.sort(ops.reshape(magnitudes, (-1,)))
    descending = ops.flip(ascending, axis=0)
    # The size of activations is not known before run time.
    kept = ops.cast(ops.arange(1, ops.shape(descending)[0] + 1), "float32")
    # In low precision a running sum over many values stalls.
    cosines = ops.cumsum(ops.cast(descending, "float32")) / ops.sqrt(kept)
    return ops.take(descending, ops.argmax(cosines))


@register
class SteTern(Quantizer):
    r"""Ternary quantizer with the straight-through gradient.

    Forward: `q(x) = sign(x) if |x| > t else 0`.
    Gradient: `dq/dx = 1 if |x| <= clip_value else 0`, the limit included; with
    `clip_value=None` it is 1 everywhere.

    The threshold `t` is `threshold_value`; or `0.7 mean |x|`, the rule of ternary
    weight networks; or the optimum for the values at hand: the one for which the
    ternary tensor makes the smallest angle with `x` (for Gaussian values
    `t = 0.612 sigma`, 25.85 degrees and 45.9 % zeros). The optimum sorts the values, so
    it is for kernels rather than for activations.

    Args:
        threshold_value: Float from 0 on, in the units of `x`.
        ternary_weight_networks: Whether to use `0.7 mean |x|` instead.
        clip_value: Positive float, or None for a gradient without limit.
        optimal_threshold: Whether to use the optimal threshold instead.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        TypeError: `threshold_value` or `clip_value` is not a number.
        ValueError: A value out of range, or two threshold rules at once.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.quantizers import SteTern
        >>> kernel = np.array([-0.3, 0.01, 2.0], "float32")
        >>> levels = SteTern(threshold_value=0.05)(kernel)
        >>> ops.convert_to_numpy(levels).tolist()
        [-1.0, 0.0, 1.0]

    Reference:
        Li et al., Ternary Weight Networks, arXiv 1605.04711; Anderson & Berg,
        arXiv 1705.07199 (ternary geometry and its optimal threshold).
    """

    precision = 2

    def __init__(
        self,
        threshold_value=0.05,
        ternary_weight_networks=False,
        clip_value=1.0,
        optimal_threshold=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if ternary_weight_networks and optimal_threshold:
            raise ValueError(
                "SteTern takes one threshold rule, but both "
                "`ternary_weight_networks` and `optimal_threshold` are True. "
                "Set one of them to False."
            )
        self.threshold_value = checked_number(
            "threshold_value", threshold_value, minimum=0
        )
        self.ternary_weight_networks = bool(ternary_weight_networks)
        self.optimal_threshold = bool(optimal_threshold)
        self.clip_value = checked_number(
            "clip_value", clip_value, minimum=0, exclusive=True, optional=True
        )

    def _is_kept(self, x):
        magnitudes = ops.abs(x)
        if self.optimal_threshold:
            # The threshold is itself one of the magnitudes to keep.
            return ops.greater_equal(magnitudes, optimal_threshold(magnitudes))
        if self.ternary_weight_networks:
            threshold = ops.cast(0.7 * ops.mean(widened(magnitudes)), x.dtype)
        else:
            threshold = as_tensor(self.threshold_value, x)
        return ops.greater(magnitudes, threshold)

    def call(self, inputs):
        def ternarize(x):
            return ops.where(self._is_kept(x), ops.sign(x), ops.cast(0, x.dtype))

        return with_gradient(inputs, ternarize, identity_within(self.clip_value))

    def get_config(self):
        return {
            **super().get_config(),
            "threshold_value": plain(self.threshold_value),
            "ternary_weight_networks": self.ternary_weight_networks,
            "clip_value": plain(self.clip_value),
            "optimal_threshold": self.optimal_threshold,
        }

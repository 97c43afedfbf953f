"""The step quantizer: one bit, 0 or 1."""

from keras import ops

from kerasbnn._checks import checked_number
from kerasbnn._registration import register
from kerasbnn.quantizers.base import Quantizer, plain
from kerasbnn.quantizers.gradients import identity_within, with_gradient


def heaviside(x):
    """Return 1 where `x > 0` and 0 elsewhere, in the dtype of `x`."""
    return ops.where(ops.greater(x, 0), ops.cast(1, x.dtype), ops.cast(0, x.dtype))


@register
class SteHeaviside(Quantizer):
    r"""Unit step with the straight-through gradient.

    Forward: `q(x) = 1 if x > 0 else 0`.
    Gradient: `dq/dx = 1 if |x| <= clip_value else 0`, the limit included; with
    `clip_value=None` it is 1 everywhere.

    Args:
        clip_value: Positive float, or None for a gradient without limit.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        TypeError: `clip_value` is neither a number nor None.
        ValueError: `clip_value` is not positive.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.quantizers import SteHeaviside
        >>> steps = SteHeaviside()(np.array([-0.3, 0.0, 2.0], "float32"))
        >>> ops.convert_to_numpy(steps).tolist()
        [0.0, 0.0, 1.0]

    Reference:
        Bengio et al., Estimating or Propagating Gradients Through Stochastic Neurons,
        arXiv 1308.3432.
    """

    precision = 1

    def __init__(self, clip_value=1.0, **kwargs):
        super().__init__(**kwargs)
        self.clip_value = checked_number(
            "clip_value", clip_value, minimum=0, exclusive=True, optional=True
        )
        self.starves = clip_value is not None

    def call(self, inputs):
        return with_gradient(inputs, heaviside, identity_within(self.clip_value))

    def get_config(self):
        return {**super().get_config(), "clip_value": plain(self.clip_value)}

"""Sign quantizers: one bit, +1 or -1, and their pseudo-gradients."""

from keras import ops

from kerasbnn._checks import checked_number
from kerasbnn._registration import register
from kerasbnn.quantizers.base import Quantizer, plain
from kerasbnn.quantizers.gradients import (
    as_tensor,
    identity_within,
    polynomial,
    sign,
    widened,
    with_gradient,
)


@register
class SteSign(Quantizer):
    r"""Sign with the straight-through gradient.

    Forward: `q(x) = +1 if x >= 0 else -1`.
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
        >>> from kerasbnn.quantizers import SteSign
        >>> signs = SteSign()(np.array([-0.3, 0.0, 2.0], "float32"))
        >>> ops.convert_to_numpy(signs).tolist()
        [-1.0, 1.0, 1.0]

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

    precision = 1

    def __init__(self, clip_value=1.0, **kwargs):
        super().__init__(**kwargs)
        self.clip_value = checked_number(
            "clip_value", clip_value, minimum=0, exclusive=True, optional=True
        )
        self.starves = clip_value is not None

    def call(self, inputs):
        return with_gradient(inputs, sign, identity_within(self.clip_value))

    def get_config(self):
        return {**super().get_config(), "clip_value": plain(self.clip_value)}


@register
class ApproxSign(Quantizer):
    r"""Sign with the gradient of a piecewise quadratic approximation.

    Forward: `q(x) = +1 if x >= 0 else -1`.
    Gradient: `dq/dx = 2 - 2|x| if |x| <= 1 else 0`.

    Args:
        **kwargs: Arguments of `Quantizer`.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.quantizers import ApproxSign
        >>> signs = ApproxSign()(np.array([-0.3, 0.0, 2.0], "float32"))
        >>> ops.convert_to_numpy(signs).tolist()
        [-1.0, 1.0, 1.0]

    Reference:
        Liu et al., Bi-Real Net, arXiv 1808.00278.
    """

    precision = 1
    starves = True

    def call(self, inputs):
        return with_gradient(inputs, sign, polynomial)


@register
class SwishSign(Quantizer):
    r"""Sign with the gradient of the sign-swish function.

    Forward: `q(x) = +1 if x >= 0 else -1`.
    Gradient: `dq/dx = beta (2 - beta x tanh(beta x / 2)) / (1 + cosh(beta x))`.

    Args:
        beta: Positive float; the larger, the steeper the approximation of sign.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        TypeError: `beta` is not a number.
        ValueError: `beta` is not positive.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.quantizers import SwishSign
        >>> signs = SwishSign(beta=5.0)(np.array([-0.3, 0.0, 2.0], "float32"))
        >>> ops.convert_to_numpy(signs).tolist()
        [-1.0, 1.0, 1.0]

    Reference:
        Darabi et al., Regularized Binary Network Training, arXiv 1812.11800.
    """

    precision = 1
    starves = True

    def __init__(self, beta=5.0, **kwargs):
        super().__init__(**kwargs)
        self.beta = checked_number("beta", beta, minimum=0, exclusive=True)

    def call(self, inputs):
        def backward(x, upstream):
            # cosh overflows where |beta x| > 88 in float32; the slope is 0 from 40 on.
            bx = ops.clip(as_tensor(self.beta, x) * x, -40, 40)
            slope = (2 - bx * ops.tanh(bx / 2)) / (1 + ops.cosh(bx))
            return upstream * as_tensor(self.beta, x) * slope

        return with_gradient(inputs, sign, backward)

    def get_config(self):
        return {**super().get_config(), "beta": plain(self.beta)}


@register
class MagnitudeAwareSign(Quantizer):
    r"""Sign scaled by the mean magnitude of each output channel.

    Forward: `q(w) = a sign(w)` with `a = mean |w|` over each output channel.
    Gradient: `dq/dw = a if |w| <= clip_value else 0`; the scale counts as a constant.

    Args:
        clip_value: Positive float, or None for a gradient without limit.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        TypeError: `clip_value` is neither a number nor None.
        ValueError: `clip_value` is not positive.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.quantizers import MagnitudeAwareSign
        >>> kernel = np.array([[0.5, -2.0], [-1.5, 4.0]], "float32")
        >>> scaled = MagnitudeAwareSign()(kernel)
        >>> ops.convert_to_numpy(scaled).tolist()
        [[1.0, -3.0], [-1.0, 3.0]]

    Reference:
        Liu et al., Bi-Real Net, arXiv 1808.00278; the scale is that of Rastegari et
        al., XNOR-Net, arXiv 1603.05279.
    """

    precision = 1
    channelwise = True

    def __init__(self, clip_value=1.0, **kwargs):
        super().__init__(**kwargs)
        self.clip_value = checked_number(
            "clip_value", clip_value, minimum=0, exclusive=True, optional=True
        )
        self.starves = clip_value is not None

    def call(self, inputs, channel_axes=(-1,)):
        axes = axes_within(inputs, channel_axes)
        scale = ops.mean(ops.abs(widened(inputs)), axis=axes, keepdims=True)
        signs = with_gradient(inputs, sign, identity_within(self.clip_value))
        return ops.stop_gradient(ops.cast(scale, inputs.dtype)) * signs

    def get_config(self):
        return {**super().get_config(), "clip_value": plain(self.clip_value)}


def axes_within(tensor, channel_axes):
    """Return the axes of `tensor` that are not channel axes, in order."""
    rank = len(tensor.shape)
    channels = {axis % rank for axis in channel_axes}
    return tuple(axis for axis in range(rank) if axis not in channels)

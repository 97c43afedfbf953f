"""Larq's activations, which pass through the origin and are flat or leaky beyond ±1."""

from keras import ops

from kerasbnn.larq.registration import register
from kerasbnn.quantizers.gradients import with_gradient

__all__ = ["hard_tanh", "leaky_tanh"]


@register
def hard_tanh(x):
    """Clip to [-1, 1].

    The gradient is 1 within the limits and at them, 0 beyond.

    Args:
        x: Float tensor of any shape.

    Returns:
        Tensor of the same shape and dtype.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.larq.activations import hard_tanh
        >>> clipped = hard_tanh(np.array([-3.0, 0.5, 1.5], "float32"))
        >>> ops.convert_to_numpy(clipped).tolist()
        [-1.0, 0.5, 1.0]

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830, section 1.3.
    """
    x = ops.convert_to_tensor(x)
    return with_gradient(x, _clipped, _within)


@register
def leaky_tanh(x, alpha=0.2):
    """Clip to [-1, 1], with the slope `alpha` beyond the limits.

    At the limits themselves the gradient is `1 + alpha`, as in Larq, where both pieces
    count.

    Args:
        x: Float tensor of any shape.
        alpha: Slope beyond ±1, a float.

    Returns:
        Tensor of the same shape and dtype.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.larq.activations import leaky_tanh
        >>> leaky = leaky_tanh(np.array([-3.0, 0.5, 1.5], "float32"), alpha=0.5)
        >>> ops.convert_to_numpy(leaky).tolist()
        [-2.0, 0.5, 1.25]
    """
    x = ops.convert_to_tensor(x)

    def forward(x):
        beyond = (ops.maximum(x, 1) - 1) + (ops.minimum(x, -1) + 1)
        return ops.cast(_clipped(x) + beyond * alpha, x.dtype)

    def backward(x, upstream):
        leak = ops.where(ops.greater_equal(ops.abs(x), 1), upstream * alpha, 0.0)
        return ops.cast(_within(x, upstream) + leak, upstream.dtype)

    return with_gradient(x, forward, backward)


def _clipped(x):
    return ops.clip(x, -1, 1)


def _within(x, upstream):
    # A backend's own clip may stop or halve the gradient at the limits.
    is_within = ops.less_equal(ops.abs(x), 1)
    return ops.where(is_within, upstream, ops.cast(0, upstream.dtype))

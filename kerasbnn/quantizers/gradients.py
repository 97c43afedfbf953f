"""Pseudo-gradients: what flows back through a function whose own gradient is zero."""

from typing import Any

import keras
from keras import ops


def with_gradient(inputs, forward, backward) -> Any:
    """Apply `forward` to `inputs`, but differentiate as `backward` says.

    Args:
        inputs: Float tensor of any shape.
        forward: Maps the inputs to outputs of the same shape.
        backward: Maps `(inputs, upstream)`, the upstream gradient having the shape of
            the outputs, to the gradient with respect to the inputs.

    Returns:
        `forward(inputs)`.

    Example:
        >>> from keras import ops
        >>> from kerasbnn.quantizers.gradients import sign, with_gradient
        >>> def identity_gradient(x, upstream):
        ...     return upstream
        >>> x = ops.convert_to_tensor([-2.0, 3.0])
        >>> signs = with_gradient(x, sign, identity_gradient)
        >>> ops.convert_to_numpy(signs).tolist()
        [-1.0, 1.0]

    Reference:
        Bengio et al., Estimating or Propagating Gradients, arXiv 1308.3432.
    """

    @ops.custom_gradient
    def function(x):
        def grad(*args, upstream=None):
            # Keras hands the upstream gradient over by position on TensorFlow and
            # PyTorch, and JAX by position too; the name is Keras' documented form.
            if upstream is None:
                (upstream,) = args
            return backward(x, upstream)

        return forward(x), grad

    # A Keras variable reaches custom_gradient as a variable on TensorFlow, which then
    # asks for its gradient; the cast reads its value.
    return function(ops.cast(inputs, inputs.dtype))


def as_tensor(value, like):
    """Read a number, or the variable a schedule holds it in, in the dtype of `like`."""
    return ops.cast(value, like.dtype)


def widened(x):
    """Read half-precision values in float32, and others in their own dtype."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return ops.cast(x, "float32" if dtype in ("float16", "bfloat16") else dtype)


def sign(x):
    """Return +1 where `x >= 0` and -1 elsewhere, in the dtype of `x`."""
    # Two scalar constants: the form that converters recognise as a sign. Where the
    # processor takes subnormal numbers for 0, as TensorFlow and JAX have it do, so
    # does this.
    return ops.where(
        ops.greater_equal(x, 0), ops.cast(1, x.dtype), ops.cast(-1, x.dtype)
    )


def identity_within(clip_value):
    """Pass the gradient where `|x| <= clip_value`, the limit included.

    Weights that a constraint has clipped to exactly the limit can so move back.
    """
    if clip_value is None:
        return lambda x, upstream: upstream

    def backward(x, upstream):
        return ops.where(
            ops.less_equal(ops.abs(x), as_tensor(clip_value, x)),
            upstream,
            ops.cast(0, upstream.dtype),
        )

    return backward


def polynomial(x, upstream):
    """Derivative of Bi-Real Net's piecewise polynomial: `2 - 2|x|` within [-1, 1]."""
    slope = ops.relu(2 - 2 * ops.abs(x))
    return slope * upstream

"""The TensorFlow operations that Larq Compute Engine recognises, and that it does not.

It makes a binary convolution of `Conv2D` where the inputs are a sign in a form that it
knows and the kernel is a constant, and it takes that form for a sign wherever it is.
"""

import numpy as np

# Names of operations, by which they are found again in the graph.
SIGN, CONVOLUTION, THRESHOLD = "binary_sign", "binary_convolution", "threshold"

# The smallest number below 0. On ARM, Larq Compute Engine takes the sign bit, which -0
# has too, whereas the sum of -0 and this number's opposite has none.
_JUST_BELOW_ZERO = -np.finfo(np.float32).smallest_subnormal


def recognised_signs(x, never_minus_zero: bool):
    """Return signs in the form that becomes bits.

    Args:
        x: float32 tensor.
        never_minus_zero: Whether no value can be -0.

    Returns:
        Tensor of -1 and 1; 1 for 0.
    """
    import tensorflow as tf

    limit = tf.constant(0.0 if never_minus_zero else _JUST_BELOW_ZERO, tf.float32)
    return tf.raw_ops.SelectV2(
        condition=tf.raw_ops.GreaterEqual(x=x, y=limit),
        t=tf.constant(1.0),
        e=tf.constant(-1.0),
        name=SIGN,
    )


def plain_signs(x):
    """Return signs in a form that stays float arithmetic.

    Args:
        x: float32 tensor.

    Returns:
        Tensor of -1 and 1; 1 for 0.
    """
    import tensorflow as tf

    return 2.0 * tf.cast(x >= 0.0, tf.float32) - 1.0


def binary_convolution(x, kernel: np.ndarray, strides, dilations, padding: str):
    """Return a convolution that becomes one of bits.

    Args:
        x: What `recognised_signs` returns, `(batch, height, width, channels)`; padded
            with 1, or not at all.
        kernel: Array of -1 and 1, `(height, width, channels, filters)`.
        strides: Vertical and horizontal stride.
        dilations: The same for the dilation.
        padding: `"VALID"`, or `"SAME"` for zeros.

    Returns:
        float32 tensor of whole numbers.
    """
    import tensorflow as tf

    return tf.raw_ops.Conv2D(
        input=x,
        filter=tf.constant(kernel, tf.float32),
        strides=[1, *strides, 1],
        dilations=[1, *dilations, 1],
        padding=padding,
        name=CONVOLUTION,
    )


def scaled_and_shifted(x, scale, shift, name: str | None = None):
    """Multiply and add channel by channel, both rounded.

    Args:
        x: Tensor with channels last.
        scale: float32 array, one for each channel, or None.
        shift: The same.
        name: Name of the addition.

    Returns:
        Tensor of the same shape.
    """
    import tensorflow as tf

    if scale is not None:
        x = tf.raw_ops.Mul(x=x, y=tf.constant(scale, tf.float32))
    if shift is not None:
        # No -0, so that no sum is -0.
        x = tf.raw_ops.AddV2(
            x=x, y=tf.constant(shift + np.float32(0), tf.float32), name=name
        )
    return x


def scaled_and_shifted_apart(x, scale, shift):
    """Multiply and add, each rounded by itself whatever is before.

    Converters put products and sums with constants into a convolution before them, but
    not past a negation.

    Args:
        x: Tensor with channels last.
        scale: float32 array, one for each channel, or None.
        shift: The same.

    Returns:
        Tensor of the same shape.
    """
    import tensorflow as tf

    # Without a product, the sum with a negation would be simplified.
    factor = np.full_like(shift, -1) if scale is None else -scale
    return scaled_and_shifted(tf.negative(x), factor, shift)


def max_pooling(x, pool: "tuple[tuple, tuple, str]"):
    """Return the largest values of windows.

    Args:
        x: `(batch, height, width, channels)`.
        pool: Size of the window, strides, padding.

    Returns:
        float32 tensor.
    """
    import tensorflow as tf

    size, strides, padding = pool
    return tf.nn.max_pool2d(x, size, strides, padding)

"""Padding with a value other than zero, so that padded inputs stay binary."""

from keras import ops


def checked_pad_value(value):
    """Return the padding value if it is 0, 1 or -1, or raise.

    Args:
        value: The layer's `pad_values` argument.

    Returns:
        The value as an int.

    Raises:
        ValueError: The value is not one of the three.

    Example:
        >>> from kerasbnn.layers.padding import checked_pad_value
        >>> checked_pad_value(1.0)
        1
    """
    allowed = (0, 1, -1)
    if isinstance(value, bool) or value not in allowed:
        raise ValueError(
            f"`pad_values` must be 0, 1 or -1. Received: {value!r}. Use 1 or -1 to "
            "keep the border of a binary input binary, or 0 for Keras' own padding."
        )
    return int(value)


def pad_spatially(inputs, layer):
    """Pad a convolution's inputs as its `padding` says, but with `layer.pad_values`.

    Args:
        inputs: Tensor with `layer.rank` spatial axes, in `layer.data_format`.
        layer: A convolution layer.

    Returns:
        The padded inputs and the padding that is left to the convolution itself.
    """
    if layer.pad_values == 0 or layer.padding == "valid":
        return inputs, layer.padding
    first = 1 if layer.data_format == "channels_last" else 2
    sizes = ops.shape(inputs)
    widths = [(0, 0)] * len(inputs.shape)
    for i in range(layer.rank):
        reach = (layer.kernel_size[i] - 1) * layer.dilation_rate[i]
        if layer.padding == "causal":
            widths[first + i] = (reach, 0)
        else:
            widths[first + i] = _same(sizes[first + i], layer.strides[i], reach)
    return ops.pad(inputs, widths, constant_values=layer.pad_values), "valid"


def _same(size, stride, reach):
    """Split TensorFlow's "same" padding into what goes before and what after."""
    if stride == 1:
        total = reach
    else:
        # As many outputs as strides fit, and inputs enough for the last of them. The
        # size is a tensor where it is not known before run time.
        last = (size - 1) // stride * stride
        total = last + reach + 1 - size
        if isinstance(total, int):
            total = max(total, 0)
        else:
            total = ops.maximum(total, 0)
    before = total // 2
    return before, total - before

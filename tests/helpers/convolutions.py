"""The operations of the layers written out in numpy: sums over explicit positions.

Arrays are channels last: inputs `(batch, *spatial, channels)`, kernels as Keras stores
them.
"""

import numpy as np


def padded(x, window, strides, dilation, padding, pad_value=0.0):
    """Pad as TensorFlow defines "same", or on the left alone for "causal"."""
    widths = [(0, 0)]
    for size, k, stride, d in zip(
        x.shape[1:-1], window, strides, dilation, strict=True
    ):
        reach = (k - 1) * d
        if padding == "same":
            outputs = -(-size // stride)
            total = max((outputs - 1) * stride + reach + 1 - size, 0)
            widths.append((total // 2, total - total // 2))
        elif padding == "causal":
            widths.append((reach, 0))
        else:
            widths.append((0, 0))
    return np.pad(x, [*widths, (0, 0)], constant_values=pad_value)


def windows(x, window, strides, dilation):
    """Yield each output position with its window `(batch, *window, channels)`."""
    counts = [
        (size - (k - 1) * d - 1) // stride + 1
        for size, k, stride, d in zip(
            x.shape[1:-1], window, strides, dilation, strict=True
        )
    ]
    for position in np.ndindex(*counts):
        index = tuple(
            slice(p * s, p * s + (k - 1) * d + 1, d)
            for p, s, k, d in zip(position, strides, window, dilation, strict=True)
        )
        yield counts, position, x[(slice(None), *index)]


def conv(x, kernel, strides, padding, dilation, groups=1, pad_value=0.0):
    """Convolution of any rank with a kernel `(*window, channels / groups, filters)`."""
    window, filters = kernel.shape[:-2], kernel.shape[-1]
    x = padded(x, window, strides, dilation, padding, pad_value)
    inputs_each, filters_each = kernel.shape[-2], filters // groups
    outputs = None
    for counts, position, patch in windows(x, window, strides, dilation):
        if outputs is None:
            outputs = np.zeros((x.shape[0], *counts, filters))
        for f in range(filters):
            first = f // filters_each * inputs_each
            part = patch[..., first : first + inputs_each]
            product = part * kernel[..., f]
            axes = tuple(range(1, product.ndim))
            outputs[(slice(None), *position, f)] = product.sum(axis=axes)
    return outputs


def depthwise_conv(x, kernel, strides, padding, dilation, pad_value=0.0):
    """Depthwise convolution with a kernel `(*window, channels, multiplier)`."""
    window, (channels, multiplier) = kernel.shape[:-2], kernel.shape[-2:]
    x = padded(x, window, strides, dilation, padding, pad_value)
    outputs = None
    for counts, position, patch in windows(x, window, strides, dilation):
        if outputs is None:
            outputs = np.zeros((x.shape[0], *counts, channels * multiplier))
        for c in range(channels):
            for m in range(multiplier):
                product = patch[..., c] * kernel[..., c, m]
                axes = tuple(range(1, product.ndim))
                index = (slice(None), *position, c * multiplier + m)
                outputs[index] = product.sum(axis=axes)
    return outputs


def separable_conv(x, depthwise, pointwise, strides, padding, dilation, pad_value=0.0):
    """A depthwise convolution and then a product with `(*ones, channels, filters)`."""
    hidden = depthwise_conv(x, depthwise, strides, padding, dilation, pad_value)
    return hidden @ pointwise.reshape(pointwise.shape[-2:])


def conv_transpose(x, kernel, strides, padding):
    """Transposed convolution with a kernel `(*window, filters, channels)`.

    Every input adds its multiple of the kernel at its place, stride by stride; "same"
    then keeps `size * stride` positions, as the gradient of a "same" convolution would.
    """
    window, (filters, channels) = kernel.shape[:-2], kernel.shape[-2:]
    sizes = x.shape[1:-1]
    full = [(n - 1) * s + k for n, s, k in zip(sizes, strides, window, strict=True)]
    outputs = np.zeros((x.shape[0], *full, filters))
    for position in np.ndindex(*sizes):
        place = tuple(
            slice(p * s, p * s + k)
            for p, s, k in zip(position, strides, window, strict=True)
        )
        for c in range(channels):
            values = x[(slice(None), *position, c)]
            shape = (-1,) + (1,) * (len(window) + 1)
            outputs[(slice(None), *place)] += values.reshape(shape) * kernel[..., c]
    for axis, (n, s, k) in enumerate(zip(sizes, strides, window, strict=True), start=1):
        if padding == "same":
            before = max(k - s, 0) // 2
            length = n * s
        else:
            before, length = 0, n * s + max(k - s, 0)
        missing = max(before + length - outputs.shape[axis], 0)
        widths = [(0, 0)] * outputs.ndim
        widths[axis] = (0, missing)
        outputs = np.pad(outputs, widths)
        outputs = np.take(outputs, range(before, before + length), axis=axis)
    return outputs

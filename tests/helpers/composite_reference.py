"""What a composite computes, written out in numpy from `docs/format.md`."""

import numpy as np


def unpacked(bits, channels):
    """Return -1 and 1 for the bits of little-endian words."""
    flags = np.unpackbits(bits, axis=-1, bitorder="little")[..., :channels]
    return np.where(flags == 1, -1.0, 1.0)


def packed(is_negative):
    """Return little-endian words with a bit for each channel, as bytes."""
    tail = -is_negative.shape[-1] % 32
    widths = [(0, 0)] * (is_negative.ndim - 1) + [(0, tail)]
    return np.packbits(np.pad(is_negative, widths), axis=-1, bitorder="little")


def same_padding(size, reach, stride):
    steps = -(-size // stride)
    total = max((steps - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def windows(x, taps, strides, dilations, pads, value):
    """Yield the tap and what each output position sees through it."""
    x = np.pad(x, [(0, 0), *pads, (0, 0)], constant_values=value)
    reach = [(k - 1) * d + 1 for k, d in zip(taps, dilations, strict=True)]
    height, width = (
        (size - r) // s + 1
        for size, r, s in zip(x.shape[1:3], reach, strides, strict=True)
    )
    for i in range(taps[0]):
        for j in range(taps[1]):
            top, left = i * dilations[0], j * dilations[1]
            yield (
                (i, j),
                x[
                    :,
                    top : top + (height - 1) * strides[0] + 1 : strides[0],
                    left : left + (width - 1) * strides[1] + 1 : strides[1],
                ],
            )


def max_pool(y, composite):
    taps = (composite.pool_h, composite.pool_w)
    strides = (composite.pool_stride_h, composite.pool_stride_w)
    pads = [(0, 0), (0, 0)]
    if composite.pool_same:
        pads = [
            same_padding(n, k, s)
            for n, k, s in zip(y.shape[1:3], taps, strides, strict=True)
        ]
    seen = windows(y, taps, strides, (1, 1), pads, -np.inf)
    return np.max([values for _, values in seen], axis=0)


def reference(composite, x, weights, scale, bias, residual=None):
    """Compute a composite.

    Args:
        composite: A `Composite`.
        x: Its inputs: bits as bytes, or floats.
        weights: Weights of -1, 0 and 1: `(out, in)`, `(out, h, w, in / groups)`, or
            `(h, w, out)` for a depthwise convolution.
        scale: float32 `(out,)`.
        bias: float32 `(out,)`.
        residual: float32, shape of the outputs, or None.

    Returns:
        Bits as bytes, or floats.
    """
    if composite.input == 0:
        a = unpacked(x, composite.in_channels)
    elif composite.input == 1:
        a = np.where(x < 0, -1.0, 1.0)
    else:
        a = x.astype(np.float64)
    is_dense = composite.name == "kerasbnn.dense"
    if is_dense:
        a, weights = a[:, None, None], weights[:, None, None]
    taps = (composite.kernel_h, composite.kernel_w)
    strides = (composite.stride_h, composite.stride_w)
    dilations = (composite.dilation_h, composite.dilation_w)
    pads = [(0, 0), (0, 0)]
    if composite.same:
        pads = [
            same_padding(size, (k - 1) * d + 1, s)
            for size, k, d, s in zip(
                a.shape[1:3], taps, dilations, strides, strict=True
            )
        ]
    dot = 0.0
    for (i, j), seen in windows(a, taps, strides, dilations, pads, composite.pad_value):
        if composite.name == "kerasbnn.depthwise_conv2d":
            multiplier = composite.out_channels // composite.in_channels
            dot = dot + np.repeat(seen, multiplier, axis=-1) * weights[i, j]
            continue
        groups = composite.groups
        parts = np.split(seen, groups, axis=-1)
        filters = np.split(weights[:, i, j], groups)
        pairs = zip(parts, filters, strict=True)
        dot = dot + np.concatenate([p @ f.T.astype(np.float64) for p, f in pairs], -1)
    # Exact: integers, or sums of few multiples of 1/256.
    y = dot.astype(np.float32)
    if composite.pool_h and composite.pool_first:
        y = max_pool(y, composite)
    y = (y * scale).astype(np.float32)
    y = (y + bias).astype(np.float32)
    if residual is not None:
        y = (y + residual.reshape(y.shape)).astype(np.float32)
    if composite.pool_h and not composite.pool_first:
        y = max_pool(y, composite)
    if is_dense:
        y = y[:, 0, 0]
    return packed(y < 0) if composite.output == 0 else y

"""A composite as built-in operations, for interpreters without the delegate."""

import dataclasses
import math

import numpy as np

from kerasbnn.runtime.bitpacking import unpack_bits, unpack_ternary, words_for
from kerasbnn.runtime.composites import (
    BITS,
    DENSE,
    DEPTHWISE_CONV_2D,
    FLOAT,
    Composite,
)
from kerasbnn.tflite.builtin_operations import Operations
from kerasbnn.tflite.graph import Subgraph

# LiteRT scales +-1 to +-127 and back: exact for dot products up to here.
LARGEST_EXACT_FAN_IN = 131_999

# Scale of int8 values that stand for themselves; of the whole tensor, as scales of each
# channel take 12 bytes a channel.
ONE = (1.0,)

_BYTES = np.arange(256, dtype=np.uint8)[:, np.newaxis]
# Bits run from the low one on, so the values of a byte are those of its first channels.
SIGNS_OF_BYTE = np.hstack([unpack_bits(_BYTES >> bit, 1) for bit in range(8)])
TERNARY_OF_BYTE = np.hstack(
    [unpack_ternary(_BYTES >> bit, 1) for bit in range(0, 8, 2)]
)


def decompose(
    subgraph: Subgraph,
    composite: Composite,
    inputs: list[int],
    output: int,
    *,
    weights: str,
    has_scale: bool,
    has_bias: bool,
):
    """Write a composite into a subgraph as built-in operations.

    Args:
        subgraph: The subgraph, with its inputs and its output declared.
        composite: What to compute.
        inputs: Tensors of x, filters, scale, bias and, where there is one, residual.
        output: Tensor of the output.
        weights: `"int8"` to multiply in int8 where that is exact, or `"float"`.
        has_scale: Whether a scale is other than 1.
        has_bias: Whether a bias is other than 0.
    """
    x, filters, scale, bias, *residual = inputs
    write = _Decomposition(subgraph, composite, weights)
    y = write.products(*write.activations(x), filters)
    if composite.is_pooled and composite.pool_first:
        y = write.pooled(y)
    pools_last = composite.is_pooled and not composite.pool_first
    steps = []
    if has_scale:
        steps.append(lambda y, out: write.add.multiply(y, scale, out))
    if has_bias:
        steps.append(lambda y, out: write.add.add(y, bias, out))
    if residual:
        steps.append(lambda y, out: write.add.add(y, residual[0], out))
    if pools_last:
        steps.append(write.pooled)
    if composite.output == BITS:
        steps.append(write.packed)
    elif not steps:
        # The subgraph's output must be written by an operation of its own.
        steps.append(lambda y, out: write.add.add(y, bias, out))
    for i, step in enumerate(steps):
        y = step(y, output if i == len(steps) - 1 else None)


class _Decomposition:
    """Appends the parts of one decomposition."""

    def __init__(self, subgraph, composite, weights):
        self.subgraph = subgraph
        self.add = Operations(subgraph)
        self.composite = composite
        # Floats would be rounded to int8, and other kernels are not exact in it.
        self.is_int8 = (
            weights == "int8"
            and composite.input != FLOAT
            and composite.groups == 1
            and composite.name != DEPTHWISE_CONV_2D
            and composite.fan_in <= LARGEST_EXACT_FAN_IN
        )

    def activations(self, x):
        """Return the inputs as floats, padded, and whether padding is left to do."""
        composite = self.composite
        pads = self._padding(self.add.shape(x))
        is_padded = pads is not None
        by_hand = is_padded and composite.pad_value != 0
        if composite.input == BITS:
            if by_hand:
                # The bytes take less time to pad than the floats; what tail bits get
                # is cut off with them.
                value = 255 if composite.pad_value < 0 else 0
                x = self.add.pad(x, pads, value, np.uint8)
            x = self._unpacked_activations(x)
        else:
            if composite.input != FLOAT:
                x = self.add.signs(x)
            if by_hand:
                x = self.add.pad(x, pads, composite.pad_value, np.float32)
        return x, is_padded and not by_hand

    def _padding(self, shape):
        composite = self.composite
        if composite.name == DENSE or not composite.same:
            return None
        pads = [(0, 0)]
        for size, taps, stride, dilation in (
            (shape[1], composite.kernel_h, composite.stride_h, composite.dilation_h),
            (shape[2], composite.kernel_w, composite.stride_w, composite.dilation_w),
        ):
            steps = math.ceil(size / stride)
            total = max((steps - 1) * stride + (taps - 1) * dilation + 1 - size, 0)
            pads.append((total // 2, total - total // 2))
        return [*pads, (0, 0)] if any(map(any, pads)) else None

    def _unpacked_activations(self, x):
        """Turn bytes into the floats that they hold."""
        table = self.add.constant(SIGNS_OF_BYTE, np.int8, ONE)
        # Of the table there is less to convert than of the images.
        table = self.add.dequantize(table)
        indices = self.add.cast(x, np.uint8, np.int32)
        values = self.add.gather(table, indices, np.float32)
        *lead, count = self.add.shape(x)
        values = self.add.reshape(values, (*lead, 8 * count), np.float32)
        if 8 * count != self.composite.in_channels:
            values = self.add.first_channels(values, self.composite.in_channels)
        return values

    def _unpacked_filters(self, filters):
        """Turn bytes into the weights that they hold, int8 or floats."""
        composite = self.composite
        table = SIGNS_OF_BYTE if composite.weight_bits == 1 else TERNARY_OF_BYTE
        channels = composite.in_channels // composite.groups
        if composite.name == DEPTHWISE_CONV_2D:
            shape = (1, *composite.filters_shape)
            filters = self.add.reshape(filters, shape, np.uint8)
            channels = composite.out_channels
        *lead, count = self.add.shape(filters)
        shape = (*lead, count * table.shape[1])
        indices = self.add.cast(filters, np.uint8, np.int32)
        # XNNPACK leaves int8 values without a scale to LiteRT. Where it takes several
        # operations in a row that do not depend on the batch, LiteRT computes something
        # wrong at the first call with more samples than ever before.
        values = self.add.gather(self.add.constant(table, np.int8), indices, np.int8)
        scale = ONE if self.is_int8 else None
        if shape[-1] == channels:
            values = self.add.reshape(values, shape, np.int8, scale=scale)
        else:
            values = self.add.reshape(values, shape, np.int8)
            values = self.add.leading(values, (*lead, channels), np.int8, scale)
        return values if self.is_int8 else self.add.cast(values, np.int8, np.float32)

    def products(self, x, pads_with_zeros, filters):
        """Return the dot products."""
        composite = self.composite
        weights = self._unpacked_filters(filters)
        if composite.name == DENSE:
            version = 9 if self.is_int8 else 2
            return self.add.fully_connected(x, weights, composite.out_channels, version)
        window = {
            "strides": (composite.stride_h, composite.stride_w),
            "dilations": (composite.dilation_h, composite.dilation_w),
            "same": pads_with_zeros,
        }
        _, height, width, _ = self._unpooled_shape(x, pads_with_zeros)
        shape = (-1, height, width, composite.out_channels)
        if composite.name == DEPTHWISE_CONV_2D:
            multiplier = composite.out_channels // composite.in_channels
            return self.add.depthwise_conv_2d(x, weights, shape, window, multiplier)
        version = 5 if self.is_int8 else 6 if composite.groups > 1 else 1
        return self.add.conv_2d(x, weights, shape, window, version)

    def _unpooled_shape(self, x, same):
        plain = dataclasses.replace(self.composite, pool_h=0, same=int(same))
        return plain.output_shape(self.add.shape(x))

    def pooled(self, y, out=None):
        """Return the largest values of each window."""
        composite = self.composite
        _, height, width, channels = self.add.shape(y)
        size = (composite.pool_h, composite.pool_w)
        strides = (composite.pool_stride_h, composite.pool_stride_w)
        sizes = [
            -(-n // s) if composite.pool_same else (n - k) // s + 1
            for n, k, s in zip((height, width), size, strides, strict=True)
        ]
        shape = (-1, *sizes, channels)
        return self.add.max_pool_2d(y, size, strides, composite.pool_same, shape, out)

    def packed(self, y, out):
        """Return the bits of what is negative."""
        *lead, channels = self.add.shape(y)
        bits = self.add.cast(self.add.is_negative(y), np.bool_, np.float32)
        words = words_for(channels)
        if channels != 32 * words:
            widths = [(0, 0)] * len(lead) + [(0, 32 * words - channels)]
            bits = self.add.pad_with_zeros(bits, widths)
        places = self.add.constant(2.0 ** np.arange(8)[np.newaxis])
        bits = self.add.reshape(bits, (-1, 8), np.float32)
        # Sums of powers of two up to 255: exact.
        values = self.add.fully_connected(bits, places, 1)
        values = self.add.reshape(values, (*lead, 4 * words), np.float32)
        return self.add.cast(values, np.float32, np.uint8, out)

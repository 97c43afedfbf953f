"""Writes binary layers as convolutions that Larq Compute Engine packs."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerasbnn.tflite.compute_engine import operations
from kerasbnn.tflite.compute_engine.signs import BeforeSign

WORD = 32

# Of groups of fewer channels most of a word would be empty, and each is a convolution.
_SMALLEST_GROUP = 32


@dataclass(frozen=True)
class Window:
    """How a convolution moves over an image.

    Attributes:
        strides: Vertical and horizontal stride.
        dilations: The same for the dilation.
        pads: Rows above and below, columns on the left and on the right; None for
            zeros as TensorFlow's "SAME" puts them.
        pad_value: -1 or 1.
        groups: Number of groups of channels.
    """

    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[tuple[int, int], ...] | None = ((0, 0), (0, 0))
    pad_value: int = 1
    groups: int = 1


def packed_bytes(shape: tuple[int, ...]) -> int:
    """Return the bytes of a packed kernel.

    Args:
        shape: Height, width, channels, filters.

    Returns:
        The bytes: bits of channels in words of 32.

    Example:
        >>> from kerasbnn.tflite.compute_engine.binary_layers import packed_bytes
        >>> packed_bytes((3, 3, 48, 10))
        720
    """
    height, width, channels, filters = shape
    return height * width * -(-channels // WORD) * WORD // 8 * filters


def reason_against_groups(groups: int, channels: int) -> str | None:
    """Tell why a convolution in groups is not packed.

    Args:
        groups: Number of groups.
        channels: Number of channels of all groups together.

    Returns:
        The reason, or None.
    """
    if groups == 1 or channels // groups >= _SMALLEST_GROUP:
        return None
    return (
        f"its groups have {channels // groups} channels; Larq Compute Engine runs each "
        f"group as a convolution of its own, packed from {_SMALLEST_GROUP} channels on"
    )


def binary_convolution(before: BeforeSign, kernel: np.ndarray, window: Window) -> Any:
    """Write a convolution of signs.

    Args:
        before: What decides on the signs, `(batch, height, width, channels)`.
        kernel: Array of -1 and 1, `(height, width, channels in a group, filters)`.
        window: How it moves.

    Returns:
        Tensor of the dot products.
    """
    import tensorflow as tf

    pads = None
    if window.pads is not None and any(map(any, window.pads)):
        pads = [(0, 0), *window.pads, (0, 0)]
    if before.flips is not None and (pads is not None or window.groups > 1):
        before = before.unflipped()
    elif before.flips is not None:
        # What the sign has turned, the weights turn back.
        kernel = kernel * before.flips[:, np.newaxis]
        before = before.without_flips
    parts = [before]
    if window.groups > 1:
        # A part of signs would not be recognised, but the signs of a part are.
        values = tf.split(before.values, window.groups, axis=-1)
        parts = [replace(before, values=part) for part in values]
    outputs = []
    for part, weights in zip(
        parts, np.split(kernel, window.groups, axis=-1), strict=True
    ):
        if pads is None:
            x = part.recognised
        elif _is_recognised_padding(window, before, kernel):
            x = tf.pad(part.recognised, pads, constant_values=1.0)
        else:
            value = float(window.pad_value)
            values = tf.pad(part.values, pads, constant_values=value)
            x = replace(part, values=values).recognised
        padding = "SAME" if window.pads is None else "VALID"
        outputs.append(
            operations.binary_convolution(
                x, weights, window.strides, window.dilations, padding
            )
        )
    return outputs[0] if len(outputs) == 1 else tf.concat(outputs, axis=-1)


def same_pads(size: int, taps: int, stride: int, dilation: int) -> tuple[int, int]:
    """Split TensorFlow's "SAME" padding of an axis into what is before and after.

    Args:
        size: Size of the axis.
        taps: Size of the kernel along it.
        stride: Stride.
        dilation: Dilation.

    Returns:
        Positions before and after.

    Example:
        >>> from kerasbnn.tflite.compute_engine.binary_layers import same_pads
        >>> same_pads(8, 3, 2, 1)
        (0, 1)
    """
    reach = (taps - 1) * dilation + 1
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def _is_recognised_padding(window, before, kernel):
    """Tell whether padding after the sign becomes that of the convolution."""
    sizes = before.values.shape[1:3]
    same = tuple(
        same_pads(size, taps, stride, dilation)
        for size, taps, stride, dilation in zip(
            sizes, kernel.shape[:2], window.strides, window.dilations, strict=True
        )
    )
    return window.pad_value == 1 and window.pads == same

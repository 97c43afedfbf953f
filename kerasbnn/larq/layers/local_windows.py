"""Which weights of a locally connected layer meet which inputs."""

import itertools
import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class LocalWindows:
    """The windows of one input shape, and where their weights are kept.

    Attributes:
        output_shape: Spatial shape of the output.
        taps: int array `(windows, taps)`: for each output position, in row-major order,
            the flat input positions that it sees; -1 for one beyond the border.
        kernel_shape: Shape of the kernel as the layer stores it.
        weight_index: int array `(windows, inputs per window, filters)`: for each weight
            of the windows its flat position in the kernel, or the kernel's size where
            the input is beyond the border; None where the kernel has this form itself.
    """

    output_shape: tuple[int, ...]
    taps: np.ndarray
    kernel_shape: tuple[int, ...]
    weight_index: np.ndarray | None


def local_windows(
    input_shape: tuple[int, ...],
    kernel_size: tuple[int, ...],
    strides: tuple[int, ...],
    same: bool,
    channels: int,
    filters: int,
    channels_first: bool,
    implementation: int,
) -> LocalWindows:
    """Lay out the windows and weights of a locally connected layer.

    Args:
        input_shape: Spatial shape of the inputs.
        kernel_size: Size of the window along each axis.
        strides: Its steps.
        same: Whether windows reach beyond the border; each is then centred at its
            position times the stride.
        channels: Number of input channels.
        filters: Number of output channels.
        channels_first: Whether channels come before the spatial axes.
        implementation: How Keras 2 stores the kernel: 1, each window's weights; 2, a
            weight for every pair of input and output; 3, the weights of those pairs
            alone that are connected, by output and then by input.

    Returns:
        The layout.

    Example:
        >>> from kerasbnn.larq.layers.local_windows import local_windows
        >>> windows = local_windows((5,), (2,), (2,), False, 1, 1, False, 1)
        >>> windows.taps.tolist(), windows.kernel_shape
        ([[0, 1], [2, 3]], (2, 2, 1))
    """
    output_shape = tuple(
        -(-size // step) if same else (size - reach) // step + 1
        for size, reach, step in zip(input_shape, kernel_size, strides, strict=True)
    )
    taps = _taps(input_shape, output_shape, kernel_size, strides, same)
    windows, inputs = len(taps), taps.shape[1] * channels
    if implementation == 1:
        kernel_shape: tuple[int, ...] = (windows, inputs, filters)
        return LocalWindows(output_shape, taps, kernel_shape, None)
    positions, is_there = _pairs(taps, input_shape, channels, filters, channels_first)
    if implementation == 2:
        if channels_first:
            kernel_shape = (channels, *input_shape, filters, *output_shape)
        else:
            kernel_shape = (*input_shape, channels, *output_shape, filters)
        size = math.prod(kernel_shape)
        into, out_of = positions
        index = np.where(is_there, into * windows * filters + out_of, size)
        return LocalWindows(output_shape, taps, kernel_shape, index)
    into, out_of = (position[is_there] for position in positions)
    rank = np.empty(into.size, dtype=np.int64)
    rank[np.lexsort((into, out_of))] = np.arange(into.size)
    index = np.full(is_there.shape, into.size, dtype=np.int64)
    index[is_there] = rank
    return LocalWindows(output_shape, taps, (into.size,), index)


def _taps(input_shape, output_shape, kernel_size, strides, same):
    rows = []
    for corner in itertools.product(*(range(size) for size in output_shape)):
        row = []
        for offset in itertools.product(*(range(size) for size in kernel_size)):
            position = [
                at * step + beside - (reach // 2 if same else 0)
                for at, step, beside, reach in zip(
                    corner, strides, offset, kernel_size, strict=True
                )
            ]
            inside = all(
                0 <= at < size for at, size in zip(position, input_shape, strict=True)
            )
            row.append(np.ravel_multi_index(position, input_shape) if inside else -1)
        rows.append(row)
    shape = (math.prod(output_shape), math.prod(kernel_size))
    return np.array(rows, dtype=np.int64).reshape(shape)


def _pairs(taps, input_shape, channels, filters, channels_first):
    """Return the flat input and output positions of every weight of the windows."""
    windows, reach = taps.shape
    channel = np.arange(channels)
    if channels_first:
        into = channel[:, None] * math.prod(input_shape) + taps[:, None, :]
        is_there = np.broadcast_to(taps[:, None, :] >= 0, into.shape)
        out_of = np.arange(filters)[None, :] * windows + np.arange(windows)[:, None]
    else:
        into = taps[:, :, None] * channels + channel
        is_there = np.broadcast_to(taps[:, :, None] >= 0, into.shape)
        out_of = np.arange(windows)[:, None] * filters + np.arange(filters)[None, :]
    shape = (windows, reach * channels, filters)
    into = np.broadcast_to(into.reshape(windows, -1, 1), shape)
    is_there = np.broadcast_to(is_there.reshape(windows, -1, 1), shape)
    return (into, np.broadcast_to(out_of[:, None, :], shape)), is_there

"""Dot products of windows with filters, from built-in operations."""

import dataclasses

import numpy as np

from kerasbnn.auditing.kernels import AuditedKernel
from kerasbnn.auditing.operations import (
    ConvOperation,
    DenseOperation,
    DepthwiseOperation,
    PointwiseOperation,
    TransposedOperation,
)
from kerasbnn.auditing.windows import Axis, Windows
from kerasbnn.tflite.probes.operations import ProbeOperations
from kerasbnn.tflite.probes.staircases import Staircase, find_staircase

# A convolution of lines is one of images of this height.
_LINE = Axis(inputs=1, outputs=1, taps=1)


@dataclasses.dataclass(frozen=True, eq=False)
class FilterLayout:
    """A kernel as LiteRT has it.

    Attributes:
        kind: `"dense"`, `"conv_2d"`, `"depthwise_conv_2d"` or `"conv_3d"`.
        shape: Shape of the weights in the file.
        filter_axis: Axis of that shape along which filters lie.
        continuous: float32 continuous weights of that shape.
        staircase: What turns them into quantized ones.
        groups: Groups of filters with inputs of their own, where `kind` is `"conv_2d"`.
        multiplier: Filters of each channel, where `kind` is `"depthwise_conv_2d"`.
    """

    kind: str
    shape: tuple[int, ...]
    filter_axis: int
    continuous: np.ndarray
    staircase: Staircase
    groups: int = 1
    multiplier: int = 1


def lay_out(kernel: AuditedKernel) -> FilterLayout | str:
    """Lay a kernel out as LiteRT has it.

    Args:
        kernel: The kernel.

    Returns:
        The layout, or why the kernel cannot be measured in a file.
    """
    if not kernel.has_latent:
        return "there are no continuous weights behind the quantized ones"
    operation = kernel.operation
    known: dict = {}
    if isinstance(operation, (DenseOperation, PointwiseOperation)):
        kind, axis = "dense", 0
    elif isinstance(operation, DepthwiseOperation):
        kind, axis = "depthwise_conv_2d", -1
        known["multiplier"] = kernel.continuous.shape[-1]
    elif kernel.continuous.ndim <= 4:
        kind, axis = "conv_2d", 0
        if isinstance(operation, ConvOperation):
            known["groups"] = operation.groups
    else:
        kind, axis = "conv_3d", -1
        if isinstance(operation, ConvOperation) and operation.groups > 1:
            return "LiteRT has no convolution of volumes in groups"
    continuous, quantized = (
        _arranged(operation, kind, values)
        for values in (kernel.continuous, kernel.quantized)
    )
    flat = [
        np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
        for values in (continuous, quantized)
    ]
    staircase = find_staircase(*flat)
    if isinstance(staircase, str):
        return staircase
    return FilterLayout(kind, continuous.shape, axis, continuous, staircase, **known)


def _arranged(operation, kind, values):
    values = operation.prepared_kernel(np.asarray(values, np.float32))
    if kind == "dense":
        return np.ascontiguousarray(values.reshape(values.shape[-2:]).T)
    if isinstance(operation, TransposedOperation):
        # As a convolution: taps run the other way, and channels change places.
        taps = (slice(None, None, -1),) * (values.ndim - 2)
        values = values[taps].swapaxes(-1, -2)
    if kind == "depthwise_conv_2d":
        values = values.reshape(*values.shape[:-2], -1)
        if values.ndim == 2:
            values = values[np.newaxis]
        return np.ascontiguousarray(values[np.newaxis])
    if values.ndim == 3:
        values = values[np.newaxis]
    if kind == "conv_2d":
        values = values.transpose(3, 0, 1, 2)
    return np.ascontiguousarray(values)


class ProductWriter:
    """Appends the products of one call of a kernel.

    Args:
        add: Appends operations.
        layout: The kernel.
        windows: Its windows over the inputs.
    """

    def __init__(self, add: ProbeOperations, layout: FilterLayout, windows: Windows):
        self.add = add
        self.layout = layout
        self.windows = windows

    def continuous_weights(self) -> int:
        """Add the continuous weights; the file has them once."""
        return self.add.constant(self.layout.continuous)

    def quantized_weights(self) -> int:
        """Compute the quantized weights from the continuous ones."""
        layout, steps = self.layout, self.layout.staircase
        rank, axis = len(layout.shape), layout.filter_axis
        # LiteRT broadcasts up to four axes.
        is_flat = rank > 4
        values = layout.continuous
        if is_flat:
            values = values.reshape(-1, values.shape[-1])
        weights = self.add.constant(values)

        def by_filter(numbers):
            if len(numbers) == 1:
                return self.add.constant(numbers[0])
            shape = [1] * values.ndim
            shape[axis] = -1
            return self.add.constant(numbers.reshape(shape))

        thresholds = list(steps.thresholds)
        results = list(steps.values)
        if not thresholds:
            thresholds, results = [np.zeros(1, np.float32)], results * 2
        quantized = by_filter(results[-1])
        for threshold, result in zip(thresholds[::-1], results[-2::-1], strict=True):
            below = self.add.less(weights, by_filter(threshold))
            quantized = self.add.select(below, by_filter(result), quantized)
        if is_flat:
            quantized = self.add.reshape(quantized, layout.shape, np.float32)
        return quantized

    def prepared(self, x) -> int:
        """Pad and spread the inputs as the windows say.

        Args:
            x: Inputs `(rows, *spatial, channels)`.

        Returns:
            What `products` takes.
        """
        if self.layout.kind == "dense":
            shape = self.add.shape(x)
            if len(shape) == 2:
                return x
            return self.add.reshape(x, (-1, shape[-1]), np.float32)
        if len(self.windows.axes) == 1:
            rows, size, channels = self.add.shape(x)
            x = self.add.reshape(x, (rows, 1, size, channels), np.float32)
        for place, axis in enumerate(self._axes, start=1):
            if axis.spacing > 1:
                x = self._spread(x, place, axis.spacing)
        pads = [(0, 0), *map(_padding, self._axes), (0, 0)]
        if any(before < 0 or after < 0 for before, after in pads):
            x = self._cropped(x, pads)
        pads = [(max(before, 0), max(after, 0)) for before, after in pads]
        if any(map(any, pads)):
            x = self.add.pad(x, pads, self.windows.pad_value, np.float32)
        return x

    @property
    def _axes(self):
        axes = self.windows.axes
        return [_LINE, *axes] if len(axes) == 1 else axes

    def _spread(self, x, place, spacing):
        """Put zeros between the positions along an axis, and behind the last one."""
        shape = self.add.shape(x)
        split = (-1, shape[place], int(np.prod(shape[place + 1 :])))
        # Rows and axes before this one are rows of a matrix.
        x = self.add.reshape(x, split, np.float32)
        widths = [(0, 0), (0, 0), (0, (spacing - 1) * split[2])]
        x = self.add.pad_with_zeros(x, widths)
        spread = (*shape[:place], shape[place] * spacing, *shape[place + 1 :])
        return self.add.reshape(x, spread, np.float32)

    def _cropped(self, x, pads):
        shape = self.add.shape(x)
        begin = [max(-before, 0) for before, _ in pads]
        size = [
            -1 if n == -1 else n - first - max(-after, 0)
            for n, first, (_, after) in zip(shape, begin, pads, strict=True)
        ]
        return self.add.part(x, begin, size)

    def products(self, x, weights) -> int:
        """Return the products `(rows, *outputs, filters)`.

        Args:
            x: What `prepared` returned.
            weights: Weights in the shape of the layout.
        """
        layout = self.layout
        outputs = [axis.outputs for axis in self.windows.axes]
        filters = layout.shape[layout.filter_axis]
        if layout.kind == "dense":
            y = self.add.fully_connected(x, weights, filters)
        else:
            y = self._convolved(x, weights, filters)
        shape = (-1, *outputs, filters)
        if self.add.shape(y) != shape:
            y = self.add.reshape(y, shape, np.float32)
        return y

    def _convolved(self, x, weights, filters):
        layout, axes = self.layout, self._axes
        shape = (-1, *(axis.outputs for axis in axes), filters)
        strides = tuple(axis.stride for axis in axes)
        dilations = tuple(axis.dilation for axis in axes)
        if layout.kind == "conv_3d":
            return self.add.conv_3d(x, weights, shape, strides, dilations)
        window = {"strides": strides, "dilations": dilations, "same": False}
        if layout.kind == "depthwise_conv_2d":
            return self.add.depthwise_conv_2d(
                x, weights, shape, window, layout.multiplier
            )
        version = 6 if layout.groups > 1 else 1
        return self.add.conv_2d(x, weights, shape, window, version)


def _padding(axis):
    """Return how much an axis is padded before and after, negative to crop."""
    size = axis.inputs * axis.spacing
    reach = (axis.outputs - 1) * axis.stride + (axis.taps - 1) * axis.dilation + 1
    after = reach - axis.before - size
    # What a stride leaves over does no harm.
    return axis.before, 0 if -axis.stride < after < 0 else after

"""The linear map behind each dense layer and convolution."""

import math
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from kerasbnn.auditing.windows import Axis, Windows
from kerasbnn.models.operation_counts import (
    CONVOLUTIONS,
    DEPTHWISE,
    SEPARABLE,
    TRANSPOSED,
)


@dataclass(frozen=True)
class Operation:
    """Base class: products of windows of the inputs with filters, channels last.

    Inputs `(n, *spatial, channels)` and outputs `(n, *spatial, filters)` are float32
    tensors.

    Attributes:
        layer: The layer.
        kernel: The attribute that holds its kernel.
        channel_axes: Axes of the kernel along which each position is a filter.
    """

    layer: keras.layers.Layer
    kernel: str = "kernel"
    channel_axes: tuple[int, ...] = (-1,)

    @property
    def groups(self) -> int:
        """Number of groups of filters that see channels of their own."""
        return 1

    @property
    def has_axes_of_layer(self) -> bool:
        """Whether the products have the axes of the layer's outputs, in their order."""
        return True

    def prepared(self, inputs):
        """Return a layer's inputs in the form that `apply` takes."""
        inputs = ops.cast(inputs, "float32")
        if getattr(self.layer, "data_format", None) == "channels_first":
            return ops.moveaxis(inputs, 1, -1)
        return inputs

    def filters(self, kernel):
        """Return a kernel as vectors, in the order in which `windows` has the inputs.

        Args:
            kernel: Prepared kernel, a numpy array.

        Returns:
            Array `(groups, fan_in, filters per group)`.
        """
        *taps, inputs, filters = kernel.shape
        groups, size = self.groups, filters // self.groups
        flat = kernel.reshape(-1, inputs, groups, size)
        return flat.transpose(2, 0, 1, 3).reshape(groups, -1, size)

    def prepared_kernel(self, kernel):
        """Return a kernel in the form that the other methods take.

        Args:
            kernel: Numpy array of the shape that the layer has.
        """
        return kernel

    def joined(self, first, second):
        """Return a kernel with the filters of both, for `split` to take apart.

        Args:
            first: Prepared kernel.
            second: Prepared kernel of the same shape.
        """
        shape = first.shape
        size = self.groups, shape[-1] // self.groups
        pair = [kernel.reshape(*shape[:-1], *size) for kernel in (first, second)]
        return np.concatenate(pair, axis=-1).reshape(*shape[:-1], -1)

    def split(self, products):
        """Return the products of the two kernels that `joined` put together.

        Args:
            products: Numpy array `(..., 2 * filters)`.

        Returns:
            Two arrays `(n, filters)`.
        """
        parts = products.reshape(
            -1, self.groups, 2, products.shape[-1] // 2 // self.groups
        )
        rows = len(parts)
        return parts[:, :, 0].reshape(rows, -1), parts[:, :, 1].reshape(rows, -1)

    def windows(self, shape) -> Windows:
        """Return the windows over inputs of a shape.

        Args:
            shape: Shape of prepared inputs.
        """
        raise NotImplementedError

    def apply(self, inputs, kernel):
        """Return the products, without bias and activation.

        Args:
            inputs: Prepared inputs.
            kernel: Prepared kernel as a float32 tensor, with any number of filters.
        """
        raise NotImplementedError


class DenseOperation(Operation):
    """A matrix product along the last axis."""

    def prepared(self, inputs):
        return ops.cast(inputs, "float32")

    def windows(self, shape):
        return Windows([Axis(size, size, 1) for size in shape[1:-1]])

    def apply(self, inputs, kernel):
        return ops.matmul(inputs, kernel)


class EinsumOperation(DenseOperation):
    """A sum over the axes that inputs and kernel share, as a matrix product."""

    @property
    def has_axes_of_layer(self):
        return False

    def labels(self):
        """Return the labels of the inputs, of the kernel, and those summed over.

        Raises:
            ValueError: The sum is no product with a matrix.
        """
        inputs, rest = self.layer.equation.replace(" ", "").split(",")
        kernel, outputs = rest.split("->")
        summed = [label for label in kernel if label not in outputs]
        shared = set(kernel) & set(inputs) & set(outputs)
        if shared or not set(summed) <= set(inputs):
            raise ValueError(
                f"the equation {self.layer.equation!r} is no product of the inputs "
                "with one matrix"
            )
        return inputs, kernel, summed

    def prepared(self, inputs):
        labels, _, summed = self.labels()
        x = ops.cast(inputs, "float32")
        rank = len(x.shape)
        before, _, after = labels.partition("...")
        axes = {label: i for i, label in enumerate(before)}
        axes.update({label: rank - len(after) + i for i, label in enumerate(after)})
        last = [axes[label] for label in summed]
        first = [axis for axis in range(rank) if axis not in last]
        size = math.prod(x.shape[axis] for axis in last)
        x = ops.transpose(x, first + last)
        return ops.reshape(x, (-1, *ops.shape(x)[1 : len(first)], size))

    def prepared_kernel(self, kernel):
        _, labels, summed = self.labels()
        others = [label for label in labels if label not in summed]
        order = [labels.index(label) for label in [*summed, *others]]
        fan_in = math.prod(kernel.shape[i] for i in order[: len(summed)])
        return kernel.transpose(order).reshape(fan_in, -1)


class ConvOperation(Operation):
    """A convolution in one, two or three dimensions, with groups or without."""

    @property
    def groups(self):
        return self.layer.groups

    def windows(self, shape):
        layer = self.layer
        axes = []
        for i, size in enumerate(shape[1:-1]):
            reach = (layer.kernel_size[i] - 1) * layer.dilation_rate[i]
            before, outputs = _padding(size, reach, layer.strides[i], layer.padding)
            axes.append(
                Axis(
                    size,
                    outputs,
                    layer.kernel_size[i],
                    layer.strides[i],
                    layer.dilation_rate[i],
                    before,
                )
            )
        return Windows(axes, getattr(layer, "pad_values", 0))

    def apply(self, inputs, kernel):
        inputs, padding = self._padded(inputs)
        return ops.conv(
            inputs,
            kernel,
            strides=list(self.layer.strides),
            padding=padding,
            data_format="channels_last",
            dilation_rate=self.layer.dilation_rate,
        )

    def _padded(self, inputs):
        windows = self.windows(inputs.shape)
        if self.layer.padding != "causal" and windows.pad_value == 0:
            return inputs, self.layer.padding
        widths = [(0, 0)]
        for axis in windows.axes:
            reach = (axis.outputs - 1) * axis.stride + (axis.taps - 1) * axis.dilation
            after = max(reach + 1 - axis.inputs - axis.before, 0)
            widths.append((axis.before, after))
        widths.append((0, 0))
        return ops.pad(inputs, widths, constant_values=windows.pad_value), "valid"


class DepthwiseOperation(ConvOperation):
    """A convolution of each channel by itself."""

    @property
    def groups(self):
        return getattr(self.layer, self.kernel).shape[-2]

    def filters(self, kernel):
        channels, multiplier = kernel.shape[-2:]
        flat = kernel.reshape(-1, channels, multiplier)
        return flat.transpose(1, 0, 2)

    def joined(self, first, second):
        return np.concatenate([first, second], axis=-1)

    def apply(self, inputs, kernel):
        inputs, padding = self._padded(inputs)
        return ops.depthwise_conv(
            inputs,
            kernel,
            strides=tuple(self.layer.strides),
            padding=padding,
            data_format="channels_last",
            dilation_rate=self.layer.dilation_rate,
        )


class PointwiseOperation(Operation):
    """The second step of a separable convolution: a matrix product over channels."""

    def windows(self, shape):
        return Windows([Axis(size, size, 1) for size in shape[1:-1]])

    def prepared(self, inputs):
        return inputs

    def apply(self, inputs, kernel):
        rank = len(kernel.shape) - 2
        return ops.matmul(inputs, ops.reshape(kernel, kernel.shape[rank:]))


class TransposedOperation(Operation):
    """A transposed convolution: a convolution over inputs with zeros between them."""

    def filters(self, kernel):
        rank = kernel.ndim - 2
        # Keras stores (..., outputs, inputs), and the taps run against the windows.
        flipped = kernel[(slice(None, None, -1),) * rank]
        return super().filters(flipped.swapaxes(-1, -2))

    def joined(self, first, second):
        return np.concatenate([first, second], axis=-2)

    def windows(self, shape):
        layer = self.layer
        outputs = layer.compute_output_shape(_as_layer_shape(layer, shape))
        channels_first = layer.data_format == "channels_first"
        spatial = outputs[2:] if channels_first else outputs[1:-1]
        axes = []
        for i, size in enumerate(shape[1:-1]):
            taps, dilation = layer.kernel_size[i], layer.dilation_rate[i]
            reach, stride = (taps - 1) * dilation, layer.strides[i]
            cropped = 0
            if layer.padding == "same":
                cropped = max((size - 1) * stride + reach + 1 - spatial[i], 0) // 2
            axes.append(
                Axis(size, spatial[i], taps, 1, dilation, reach - cropped, stride)
            )
        return Windows(axes)

    def apply(self, inputs, kernel):
        return ops.conv_transpose(
            inputs,
            kernel,
            strides=list(self.layer.strides),
            padding=self.layer.padding,
            output_padding=self.layer.output_padding,
            data_format="channels_last",
            dilation_rate=self.layer.dilation_rate,
        )


def _padding(size, reach, stride, padding):
    """Return the padding before the inputs, and the number of outputs."""
    if padding == "valid":
        return 0, max((size - reach - 1) // stride + 1, 0)
    if padding == "causal":
        return reach, (size - 1) // stride + 1
    outputs = -(-size // stride)
    total = max((outputs - 1) * stride + reach + 1 - size, 0)
    return total // 2, outputs


def _as_layer_shape(layer, shape):
    if layer.data_format == "channels_first":
        return (shape[0], shape[-1], *shape[1:-1])
    return tuple(shape)


def operations_of(layer: keras.layers.Layer) -> list[Operation]:
    """Return the operations of a layer, in the order in which it does them.

    Args:
        layer: A built layer.

    Returns:
        One operation for each kernel; none for a layer that is neither dense nor a
        convolution.

    Raises:
        ValueError: The products of the layer are none with a matrix; says why.

    Example:
        >>> import keras
        >>> from kerasbnn.auditing.operations import operations_of
        >>> layer = keras.layers.SeparableConv2D(8, 3)
        >>> layer.build((None, 6, 6, 2))
        >>> [operation.kernel for operation in operations_of(layer)]
        ['depthwise_kernel', 'pointwise_kernel']
    """
    if isinstance(layer, keras.layers.EinsumDense):
        _, labels, summed = EinsumOperation(layer).labels()
        kept = [i for i, label in enumerate(labels) if label not in summed]
        return [EinsumOperation(layer, channel_axes=tuple(kept))]
    if isinstance(layer, keras.layers.Dense):
        return [DenseOperation(layer)]
    if isinstance(layer, SEPARABLE):
        return [
            DepthwiseOperation(layer, "depthwise_kernel", (-2, -1)),
            PointwiseOperation(layer, "pointwise_kernel"),
        ]
    if isinstance(layer, DEPTHWISE):
        return [DepthwiseOperation(layer, "kernel", (-2, -1))]
    if isinstance(layer, TRANSPOSED):
        return [TransposedOperation(layer, "kernel", (-2,))]
    if isinstance(layer, CONVOLUTIONS):
        return [ConvOperation(layer)]
    return []

"""Built-in operations of LiteRT, as functions that append them to a subgraph."""

import numpy as np
from ai_edge_litert.schema_py_generated import (
    AddOptionsT,
    BuiltinOperator,
    CastOptionsT,
    Conv2DOptionsT,
    DepthwiseConv2DOptionsT,
    DequantizeOptionsT,
    FillOptionsT,
    FullyConnectedOptionsT,
    GatherOptionsT,
    LessOptionsT,
    MaximumMinimumOptionsT,
    MulOptionsT,
    Padding,
    PadOptionsT,
    PadV2OptionsT,
    Pool2DOptionsT,
    ReshapeOptionsT,
    SelectV2OptionsT,
    SliceOptionsT,
    StridedSliceOptionsT,
    SubOptionsT,
)
from numpy.typing import DTypeLike

from kerasbnn.tflite.graph import Subgraph, tensor_type


class Operations:
    """Appends operations to a subgraph and returns the tensors that they make.

    Where a method takes `out`, that tensor is written instead of a new one.

    Args:
        subgraph: The subgraph.
        operators: List to append to; by default that of the subgraph.
    """

    def __init__(self, subgraph: Subgraph, operators: list | None = None):
        self.subgraph = subgraph
        self.operators = subgraph.operators if operators is None else operators

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return the shape of a tensor, -1 for an open size."""
        return self.subgraph.shape(tensor)

    def constant(self, values, dtype: DTypeLike = np.float32, scale=None) -> int:
        """Add a constant."""
        return self.subgraph.add_constant(np.asarray(values, dtype), scale)

    def append(
        self,
        builtin,
        inputs,
        shape,
        dtype,
        options=None,
        version=1,
        out=None,
        scale=None,
    ) -> int:
        """Append an operation with one output."""
        if out is None:
            out = self.subgraph.add_tensor(shape, dtype, scale=scale)
        self.operators.append(
            self.subgraph.make_operator(builtin, inputs, [out], options, version)
        )
        return out

    def cast(self, x, source, target, out=None) -> int:
        """Convert values to another type."""
        options = CastOptionsT()
        options.inDataType = tensor_type(source)
        options.outDataType = tensor_type(target)
        return self.append(
            BuiltinOperator.CAST, [x], self.shape(x), target, options, out=out
        )

    def dequantize(self, x) -> int:
        """Turn int8 values with a scale into floats."""
        shape, options = self.shape(x), DequantizeOptionsT()
        return self.append(
            BuiltinOperator.DEQUANTIZE, [x], shape, np.float32, options, 2
        )

    def zeros(self, count) -> int:
        """Make zeros, which takes less room than a constant."""
        inputs = [self.constant([count], np.int32), self.constant(0.0)]
        return self.append(
            BuiltinOperator.FILL, inputs, (count,), np.float32, FillOptionsT()
        )

    def reshape(self, x, shape, dtype, out=None, scale=None) -> int:
        """Change the shape; -1 for the open size."""
        return self.append(
            BuiltinOperator.RESHAPE,
            [x, self.constant(shape, np.int32)],
            shape,
            dtype,
            ReshapeOptionsT(),
            out=out,
            scale=scale,
        )

    def leading(self, x, shape, dtype, scale=None) -> int:
        """Take what lies within a shape, which leaves no size open."""
        inputs = [
            x,
            self.constant(np.zeros(len(shape)), np.int32),
            self.constant(shape, np.int32),
        ]
        options = SliceOptionsT()
        return self.append(
            BuiltinOperator.SLICE, inputs, shape, dtype, options, scale=scale
        )

    def first_channels(self, x, count) -> int:
        """Take the first channels of floats.

        As `x[..., :count]`, which XNNPACK leaves to LiteRT. Where XNNPACK takes several
        operations in a row, LiteRT computes something wrong at the first call with more
        samples than ever before. And of an open batch size, `leading` makes a tensor
        whose shape is found out at run time, with which LiteRT's `CompiledModel` does.
        """
        ends = ([0, 0], [0, count], [1, 1])
        inputs = [x, *(self.constant(values, np.int32) for values in ends)]
        shape = (*self.shape(x)[:-1], count)
        options = StridedSliceOptionsT()
        options.ellipsisMask = 1
        return self.append(
            BuiltinOperator.STRIDED_SLICE, inputs, shape, np.float32, options, 6
        )

    def gather(self, table, indices, dtype, scale=None) -> int:
        """Look rows of a table up."""
        (_, width) = self.shape(table)
        shape = (*self.shape(indices), width)
        inputs, options = [table, indices], GatherOptionsT()
        return self.append(
            BuiltinOperator.GATHER, inputs, shape, dtype, options, 2, scale=scale
        )

    def pad(self, x, widths, value, dtype) -> int:
        """Pad with a value; widths as for `numpy.pad`."""
        shape = tuple(
            size if size == -1 else size + before + after
            for size, (before, after) in zip(self.shape(x), widths, strict=True)
        )
        inputs = [x, self.constant(widths, np.int32), self.constant([value], dtype)]
        version = 2 if dtype == np.uint8 else 1
        return self.append(
            BuiltinOperator.PADV2, inputs, shape, dtype, PadV2OptionsT(), version
        )

    def pad_with_zeros(self, x, widths) -> int:
        """Pad floats with 0; widths as for `numpy.pad`."""
        shape = tuple(
            size if size == -1 else size + before + after
            for size, (before, after) in zip(self.shape(x), widths, strict=True)
        )
        inputs = [x, self.constant(widths, np.int32)]
        return self.append(
            BuiltinOperator.PAD, inputs, shape, np.float32, PadOptionsT()
        )

    def multiply(self, x, y, out=None) -> int:
        """Multiply floats; `y` may be broadcast."""
        options, shape = MulOptionsT(), self.shape(x)
        return self.append(
            BuiltinOperator.MUL, [x, y], shape, np.float32, options, out=out
        )

    def add(self, x, y, out=None) -> int:
        """Add floats; `y` may be broadcast."""
        options, shape = AddOptionsT(), self.shape(x)
        return self.append(
            BuiltinOperator.ADD, [x, y], shape, np.float32, options, out=out
        )

    def subtract(self, x, y) -> int:
        """Subtract floats; `y` may be broadcast."""
        options, shape = SubOptionsT(), self.shape(x)
        return self.append(BuiltinOperator.SUB, [x, y], shape, np.float32, options)

    def clipped(self, x, lowest, highest) -> int:
        """Clip floats; the ends may be broadcast."""
        shape = self.shape(x)
        for builtin, end in (
            (BuiltinOperator.MINIMUM, highest),
            (BuiltinOperator.MAXIMUM, lowest),
        ):
            options = MaximumMinimumOptionsT()
            x = self.append(builtin, [x, end], shape, np.float32, options)
        return x

    def floor(self, x) -> int:
        """Round floats down."""
        return self.append(BuiltinOperator.FLOOR, [x], self.shape(x), np.float32)

    def is_negative(self, x) -> int:
        """Tell where floats are below 0."""
        inputs, options = [x, self.constant(0.0)], LessOptionsT()
        return self.append(
            BuiltinOperator.LESS, inputs, self.shape(x), np.bool_, options
        )

    def signs(self, x, out=None) -> int:
        """Return the signs of floats, +1 for 0."""
        inputs = [self.is_negative(x), self.constant(-1.0), self.constant(1.0)]
        shape, options = self.shape(x), SelectV2OptionsT()
        return self.append(
            BuiltinOperator.SELECT_V2, inputs, shape, np.float32, options, out=out
        )

    def fully_connected(self, x, weights, outputs, version=1, out=None) -> int:
        """Multiply rows by a matrix `(outputs, inputs)`."""
        return self.append(
            BuiltinOperator.FULLY_CONNECTED,
            [x, weights, -1],
            (-1, outputs),
            np.float32,
            FullyConnectedOptionsT(),
            version,
            out,
        )

    def conv_2d(self, x, weights, shape, window, version=1) -> int:
        """Convolve images; `window` has strides, dilations and the padding."""
        options = Conv2DOptionsT()
        _set_window(options, window)
        inputs = [x, weights, self.zeros(shape[-1])]
        return self.append(
            BuiltinOperator.CONV_2D, inputs, shape, np.float32, options, version
        )

    def depthwise_conv_2d(self, x, weights, shape, window, multiplier) -> int:
        """Convolve each channel apart."""
        options = DepthwiseConv2DOptionsT()
        _set_window(options, window)
        options.depthMultiplier = multiplier
        # Version 2 is the one with dilation.
        return self.append(
            BuiltinOperator.DEPTHWISE_CONV_2D,
            [x, weights, self.zeros(shape[-1])],
            shape,
            np.float32,
            options,
            2,
        )

    def max_pool_2d(self, x, size, strides, same, shape, out=None) -> int:
        """Take the largest value of each window."""
        options = Pool2DOptionsT()
        options.padding = Padding.SAME if same else Padding.VALID
        options.filterHeight, options.filterWidth = size
        options.strideH, options.strideW = strides
        return self.append(
            BuiltinOperator.MAX_POOL_2D, [x], shape, np.float32, options, out=out
        )


def _set_window(options, window):
    options.strideH, options.strideW = window["strides"]
    options.dilationHFactor, options.dilationWFactor = window["dilations"]
    options.padding = Padding.SAME if window["same"] else Padding.VALID

"""Built-in operations of LiteRT that only probes need."""

import math

import numpy as np
from ai_edge_litert.schema_py_generated import (
    BatchMatMulOptionsT,
    BuiltinOperator,
    Conv3DOptionsT,
    LessOptionsT,
    NotEqualOptionsT,
    Padding,
    ReducerOptionsT,
    SelectV2OptionsT,
    SliceOptionsT,
    SubOptionsT,
)

from kerasbnn.tflite.builtin_operations import Operations


class ProbeOperations(Operations):
    """Appends operations to a subgraph and returns the tensors that they make."""

    def subtract(self, x, y) -> int:
        """Subtract floats; `y` may be broadcast."""
        options, shape = SubOptionsT(), self.shape(x)
        return self.append(BuiltinOperator.SUB, [x, y], shape, np.float32, options)

    def total(self, x, axes) -> int:
        """Sum floats along axes, which stay with the size 1."""
        return self._reduced(BuiltinOperator.SUM, x, axes)

    def average(self, x, axes) -> int:
        """Take the mean of floats along axes, which stay with the size 1."""
        return self._reduced(BuiltinOperator.MEAN, x, axes)

    def _reduced(self, builtin, x, axes):
        options = ReducerOptionsT()
        options.keepDims = True
        sizes = self.shape(x)
        shape = tuple(1 if i in axes else size for i, size in enumerate(sizes))
        inputs = [x, self.constant(axes, np.int32)]
        return self.append(builtin, inputs, shape, np.float32, options)

    def less(self, x, y) -> int:
        """Tell where floats are below others; one of the two may be broadcast."""
        options = LessOptionsT()
        shape = max(self.shape(x), self.shape(y), key=len)
        return self.append(BuiltinOperator.LESS, [x, y], shape, np.bool_, options)

    def differs(self, x, y) -> int:
        """Tell where Booleans differ."""
        options, shape = NotEqualOptionsT(), self.shape(x)
        return self.append(BuiltinOperator.NOT_EQUAL, [x, y], shape, np.bool_, options)

    def select(self, condition, x, y) -> int:
        """Take floats where a condition holds, others elsewhere; both broadcast."""
        options, shape = SelectV2OptionsT(), self.shape(condition)
        inputs = [condition, x, y]
        return self.append(
            BuiltinOperator.SELECT_V2, inputs, shape, np.float32, options
        )

    def as_floats(self, x) -> int:
        """Turn Booleans into 0 and 1."""
        return self.cast(x, np.bool_, np.float32)

    def multiply_matrices(self, x, y) -> int:
        """Multiply a constant matrix `(n, k)` with each of `(batch, k, m)`."""
        shape = (-1, self.shape(x)[-2], self.shape(y)[-1])
        options = BatchMatMulOptionsT()
        return self.append(
            BuiltinOperator.BATCH_MATMUL, [x, y], shape, np.float32, options
        )

    def conv_3d(self, x, weights, shape, strides, dilations) -> int:
        """Convolve volumes, without padding."""
        options = Conv3DOptionsT()
        options.padding = Padding.VALID
        options.strideD, options.strideH, options.strideW = strides
        (
            options.dilationDFactor,
            options.dilationHFactor,
            options.dilationWFactor,
        ) = dilations
        inputs = [x, weights, self.zeros(shape[-1])]
        return self.append(BuiltinOperator.CONV_3D, inputs, shape, np.float32, options)

    def part(self, x, begin, size) -> int:
        """Cut floats out; a size of -1 takes all that is left."""
        inputs = [x, self.constant(begin, np.int32), self.constant(size, np.int32)]
        options, shape = SliceOptionsT(), tuple(size)
        return self.append(BuiltinOperator.SLICE, inputs, shape, np.float32, options)

    def flat_rows(self, x) -> int:
        """Turn `(rows, ...)` into `(rows, values)`."""
        shape = (-1, math.prod(self.shape(x)[1:]))
        return self.reshape(x, shape, np.float32)

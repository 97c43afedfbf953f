"""From quantizers with a range to marks."""

import keras
import numpy as np
from keras import ops

from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.tflite.marks import Int8Kernel, Rounding
from kerasbnn.tfmot.range_quantizers import RangeQuantizer

INT8 = np.iinfo(np.int8)


def ranged_kernels(named: list[tuple[str, keras.layers.Layer]]) -> dict[int, tuple]:
    """Find the kernels whose quantizer has a range.

    Args:
        named: The layers of a model by path, as `named_layers` yields them.

    Returns:
        Path, layer and role by the id of the quantizer, of layers that compute in
        float32.
    """
    return {
        id(quantizer): (path, layer, role)
        for path, layer in named
        if isinstance(layer, QuantizedLayer) and layer.compute_dtype == "float32"
        for role in layer.kernel_roles
        if isinstance(quantizer := getattr(layer, role.quantizer), RangeQuantizer)
    }


def int8_kernel(path: str, layer: QuantizedLayer, role) -> Int8Kernel | None:
    """Write a kernel as int8 values with their scales, which give the same floats.

    Args:
        path: Path of the layer.
        layer: The layer, whose quantizer has a range.
        role: Which of its kernels.

    Returns:
        The mark; None where the levels are too many for int8.
    """
    levels = getattr(layer, role.quantizer).levels()
    values = _array(layer.quantize_kernel(role.kernel))
    scale, zero = _array(levels.scale), _array(levels.zero_point)
    # Any scale will do for zeros, but one of 0 is none.
    scale = np.where(scale > 0, scale, np.float32(1))
    steps = np.rint(values.astype(np.float64) / scale)
    if not np.array_equal(steps.astype(np.float32) * scale, values):
        return None
    scale, zero = (x.reshape(x.shape or (1,) * steps.ndim) for x in (scale, zero))
    shared = tuple(a for a in range(steps.ndim) if scale.shape[a] == 1)
    lowest, highest = (
        reduce(steps, axis=shared, keepdims=True) for reduce in (np.min, np.max)
    )
    # Of levels that lie to one side of 0, the lowest is -128.
    fits = (lowest >= INT8.min) & (highest <= INT8.max)
    zero_point = np.where(fits, 0, zero + INT8.min).astype(np.int64)
    stored = steps + zero_point
    if stored.min() < INT8.min or stored.max() > INT8.max:
        return None
    is_last = role is layer.kernel_roles[-1]
    bias = layer.bias if is_last else None
    return Int8Kernel(
        path,
        role.kernel,
        stored.astype(np.int8),
        scale,
        zero_point,
        0 if bias is None else int(np.prod(bias.shape)),
    )


def rounding(path: str, quantizer: RangeQuantizer) -> Rounding:
    """Make the mark of activations with a range.

    Args:
        path: Path of the layer whose inputs they are, or of the quantizer.
        quantizer: The quantizer.

    Returns:
        The mark.
    """
    levels = quantizer.levels()
    return Rounding(
        path,
        *(
            _array(values)
            for values in (
                *(levels.minimum, levels.maximum),
                *(levels.inverse, levels.offset, levels.scale),
            )
        ),
    )


def _array(values) -> np.ndarray:
    return np.array(ops.convert_to_numpy(values), np.float32)

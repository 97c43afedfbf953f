"""From what was fused to what the report says of each layer."""

import math

import keras

from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.layer_paths import named_layers, own_weights, sublayers
from kerasbnn.runtime.composites import BITS, FLOAT
from kerasbnn.tflite.fusion import Placed
from kerasbnn.tflite.levels import StoredKernel
from kerasbnn.tflite.marks import Marks
from kerasbnn.tflite.report import ConvertedLayer
from kerasbnn.tfmot.range_quantizers import RangeQuantizer

_INPUTS = {BITS: "bits", FLOAT: "floats"}


def converted_layers(
    model: keras.Model,
    marks: Marks,
    placed: list[Placed],
    stored: list[StoredKernel],
) -> tuple[ConvertedLayer, ...]:
    """Tell what became of each layer with weights.

    Args:
        model: The model.
        marks: The marks of its export.
        placed: The composites that were made of them.
        stored: The kernels that are stored as int8.

    Returns:
        An entry for each kernel that is packed or stored as int8, and for each layer
        that has others and is not part of another's operation.
    """
    by_layer: dict[str, list[Placed]] = {}
    for one in placed:
        by_layer.setdefault(one.chain.mark.path, []).append(one)
    fused = {path for one in placed for path in one.chain.fused}
    found = []
    # What the range of a quantizer has become is part of its layer's operations.
    ranges = {
        id(part)
        for _, layer in named_layers(model)
        if isinstance(layer, QuantizedLayer)
        for part in sublayers(layer)
        if isinstance(part, RangeQuantizer)
    }
    for path, layer in named_layers(model):
        if id(layer) in ranges:
            continue
        if path in by_layer:
            seen = set()
            for one in by_layer[path]:
                # A shared layer is stored once.
                if one.chain.mark.name not in seen:
                    seen.add(one.chain.mark.name)
                    found.append(_packed(one, layer))
            continue
        int8 = [kernel for kernel in stored if kernel.path == path]
        found += [_int8(kernel, layer) for kernel in int8]
        has_others = not int8 or len(int8) < len(layer.kernel_roles)
        if has_others and own_weights(layer) and path not in fused:
            found.append(_left_float(path, layer, marks, int8))
    return tuple(found)


def _packed(one, layer):
    mark, composite = one.chain.mark, one.composite
    weights = mark.values.size
    reason = "its kernel has the values -1 and 1"
    if composite.weight_bits == 2:
        reason = "its kernel has the values -1, 0 and 1"
    if mark.scale is not None:
        reason += " times a magnitude per channel"
    fused = list(one.chain.fused)
    if composite.output == BITS:
        fused.append("sign")
    return ConvertedLayer(
        name=mark.name,
        type=type(layer).__name__,
        packed=True,
        weight_bits=composite.weight_bits,
        inputs=_INPUTS.get(composite.input, "signs"),
        outputs=_INPUTS[composite.output],
        fused=tuple(fused),
        reason=reason,
        float32_bytes=4 * (weights + (0 if mark.bias is None else mark.bias.size)),
        bytes=one.constant_bytes,
    )


def _int8(kernel, layer):
    has_several = len(layer.kernel_roles) > 1
    role = next(r for r in layer.kernel_roles if r.kernel == kernel.kernel)
    bits = getattr(layer, role.quantizer).num_bits
    return ConvertedLayer(
        name=f"{kernel.path}/{kernel.kernel}" if has_several else kernel.path,
        type=type(layer).__name__,
        packed=False,
        weight_bits=8,
        inputs="floats",
        outputs="floats",
        fused=(),
        reason=f"its kernel has the levels of {bits} bits, stored as int8"
        + (" per channel" if kernel.channels > 1 else ""),
        float32_bytes=4 * (kernel.weights + kernel.bias),
        bytes=kernel.bytes,
    )


def _left_float(path, layer, marks, int8):
    reason = marks.left_float.get(path, "")
    if not reason and not isinstance(layer, QuantizedLayer):
        reason = "a layer of Keras, converted by TensorFlow"
    return ConvertedLayer(
        name=path,
        type=type(layer).__name__,
        packed=False,
        weight_bits=32,
        inputs="floats",
        outputs="floats",
        fused=(),
        reason=reason or "it is not called",
        float32_bytes=4 * sum(math.prod(w.shape) for w in own_weights(layer))
        - sum(4 * (kernel.weights + kernel.bias) for kernel in int8),
        bytes=None,
    )

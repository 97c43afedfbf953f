"""From the exported graph to what the report says of each layer."""

import math
from collections import defaultdict

import keras

from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.layer_paths import named_layers, own_weights
from kerasbnn.tflite.compute_engine.binary_layers import packed_bytes
from kerasbnn.tflite.compute_engine.graphs import Frozen
from kerasbnn.tflite.compute_engine.lowering import Lowering
from kerasbnn.tflite.compute_engine.operations import SIGN, THRESHOLD
from kerasbnn.tflite.report import ConvertedLayer

# A threshold of 32 bits for each channel where bits are written, else a factor and an
# addend.
_THRESHOLD_BYTES, _AFFINE_BYTES = 4, 8


def exported_layers(
    model: keras.Model, lowering: Lowering, exported: Frozen
) -> tuple[ConvertedLayer, ...]:
    """Tell what Larq Compute Engine makes of each layer with weights.

    Args:
        model: The model.
        lowering: What became of its layers.
        exported: What the outputs of the model need.

    Returns:
        An entry for each layer that is not part of another's operation; the bytes of
        binary ones are those in the file of Larq Compute Engine.
    """
    graph = _Graph(exported)
    calls = defaultdict(list)
    for call in lowering.quantized.binary:
        calls[call.path].append(call)
    found = []
    for path, layer in named_layers(model):
        if path in calls:
            # A shared layer is stored once.
            found.append(_binary(calls[path], layer, lowering, graph))
        elif path in lowering.normalized and not any(
            graph.has(tensor) for tensor in lowering.normalized[path]
        ):
            continue
        elif own_weights(layer):
            found.append(_float(path, layer, lowering))
    return tuple(found)


class _Graph:
    """The operations that the outputs of the model need."""

    def __init__(self, exported):
        self.operations = {node.name: node for node in exported.graph_def.node}
        self.readers = defaultdict(list)
        for node in exported.graph_def.node:
            for name in node.input:
                self.readers[name.partition(":")[0]].append(node)

    def has(self, tensor) -> bool:
        """Tell whether a tensor of the trace is needed."""
        return tensor.op.name in self.operations

    def writes_bits(self, tensor) -> bool:
        """Tell whether nothing but the sign against a threshold reads a tensor."""
        name = tensor.op.name
        kinds = ("Mul", "AddV2", "MaxPool", "GreaterEqual", "SelectV2")
        while True:
            readers = self.readers[name]
            if len(readers) != 1 or readers[0].op not in kinds:
                return False
            (reader,) = readers
            name = reader.name
            # Each at most once, and in this order.
            kinds = kinds[kinds.index(reader.op) + 1 :]
            last = name.split("/")[-1]
            if reader.op == "AddV2" and not last.startswith(THRESHOLD):
                return False
            if reader.op == "SelectV2":
                return last.startswith(SIGN)


def _binary(calls, layer, lowering, graph):
    call = calls[0]
    writes_bits = all(
        not one.zero_padded and one.convolutions == 1 and graph.writes_bits(one.dots)
        for one in calls
    )
    fused = [
        path
        for path, tensors in lowering.normalized.items()
        if lowering.follows.get(path) == call.path
        and not any(graph.has(tensor) for tensor in tensors)
    ]
    reason = "LceBconv2d"
    if len(calls) * call.convolutions > 1:
        reason = f"{len(calls) * call.convolutions} operations LceBconv2d"
    per_channel = _THRESHOLD_BYTES if writes_bits else _AFFINE_BYTES
    channels = call.kernel_shape[-1]
    return ConvertedLayer(
        name=call.path,
        type=type(layer).__name__,
        packed=True,
        weight_bits=1,
        inputs="signs",
        outputs="bits" if writes_bits else "floats",
        fused=(*fused, "sign") if writes_bits else tuple(fused),
        reason=reason,
        float32_bytes=_float32_bytes(layer),
        bytes=packed_bytes(call.kernel_shape) + per_channel * channels,
    )


def _float(path, layer, lowering):
    reason = lowering.quantized.left_float.get(path, "")
    if not reason and not isinstance(layer, QuantizedLayer):
        reason = "a layer of Keras, in floats"
    return ConvertedLayer(
        name=path,
        type=type(layer).__name__,
        packed=False,
        weight_bits=32,
        inputs="floats",
        outputs="floats",
        fused=(),
        reason=reason or "it is not called",
        float32_bytes=_float32_bytes(layer),
        bytes=None,
    )


def _float32_bytes(layer):
    return 4 * sum(math.prod(weight.shape) for weight in own_weights(layer))

"""The kernels of a model that can be audited, with continuous and quantized values."""

import math
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasbnn import quantizers
from kerasbnn._checks import suggestion
from kerasbnn.auditing.operations import Operation, operations_of
from kerasbnn.constraints import WeightClip
from kerasbnn.layers.base import QuantizedLayer, apply_quantizer
from kerasbnn.models.bit_widths import known_precision
from kerasbnn.models.layer_paths import named_layers
from kerasbnn.quantizers import NoOp, Quantizer
from kerasbnn.quantizers.base import plain
from kerasbnn.quantizers.filterwise import FilterwiseSign


@dataclass(frozen=True)
class AuditedKernel:
    """One kernel of a layer.

    Attributes:
        name: Path of the layer, and the kernel's attribute where it has two.
        path: Path of the layer.
        operation: The linear operation that uses the kernel.
        continuous: Continuous weights, float32 array of the kernel's shape.
        quantized: What they are quantized to.
        quantizer: Name of the quantizer.
        is_quantized: Whether it is the layer's own.
        bits: Bits per quantized weight, or None where that is not known.
        clip_value: Where its gradient or the constraint ends, or None.
        has_latent: Whether continuous weights are behind the quantized ones.
        is_elementwise: Whether each weight is quantized by itself, not in a basis of
            other directions.
    """

    name: str
    path: str
    operation: Operation
    continuous: np.ndarray
    quantized: np.ndarray
    quantizer: str
    is_quantized: bool
    bits: float | None
    clip_value: float | None
    has_latent: bool = True
    is_elementwise: bool = True

    @property
    def layer(self) -> keras.layers.Layer:
        """The layer."""
        return self.operation.layer


def find_kernels(
    model: keras.Model, layers=None, quantizer="ste_sign"
) -> tuple[list[AuditedKernel], dict[str, str]]:
    """Find all kernels of dense layers and convolutions.

    Args:
        model: The model.
        layers: Paths of layers to keep to, or None.
        quantizer: What layers without a quantizer of their own are measured with.

    Returns:
        The kernels, and why others are skipped, by the path of the layer.

    Raises:
        ValueError: The quantizer is unknown or None, or the model has no such layer.

    Example:
        >>> import keras
        >>> from kerasbnn.auditing.kernels import find_kernels
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> [kernel.bits for kernel in find_kernels(model)[0]]
        [1]
    """
    if quantizers.get(quantizer) is None:
        raise ValueError(
            "`quantizer` must say how to quantize layers that have none of their own, "
            'such as "ste_sign" or "ste_tern". Received: None.'
        )
    layers = _checked_layers(model, layers)
    found: list[AuditedKernel] = []
    skipped: dict[str, str] = {}
    recurrent: set[int] = set()
    for path, layer in named_layers(model):
        if isinstance(layer, keras.layers.RNN):
            recurrent.update(id(part) for _, part in named_layers(layer))
        if layers is not None and path not in layers:
            continue
        if id(layer) in recurrent:
            continue
        if isinstance(layer, (keras.layers.RNN, keras.layers.Embedding)):
            skipped[path] = "recurrent layers and embeddings are not audited"
            continue
        if not layer.built:
            if _is_candidate(layer):
                skipped[path] = (
                    "it has no weights yet: call the model once, or give it a "
                    "keras.Input"
                )
            continue
        try:
            operations = operations_of(layer)
        except ValueError as error:
            skipped[path] = str(error)
            continue
        if operations and getattr(layer, "quantization_mode", None) is not None:
            skipped[path] = f"Keras has quantized it to {layer.quantization_mode}"
            continue
        for operation in operations:
            found.append(_kernel_of(path, operation, len(operations), quantizer))
    return found, skipped


def _is_candidate(layer):
    kinds = (keras.layers.Dense, keras.layers.EinsumDense)
    return isinstance(layer, kinds) or hasattr(layer, "kernel_size")


def _kernel_of(path, operation, count, quantizer):
    layer, attribute = operation.layer, operation.kernel
    name = path if count == 1 else f"{path}/{attribute}"
    role = None
    if isinstance(layer, QuantizedLayer):
        role = next(r for r in layer.kernel_roles if r.kernel == attribute)
    own = getattr(layer, role.quantizer) if role else None
    if role is not None:
        continuous = _to_float32(layer.latent_kernel(attribute))
    else:
        continuous = _to_float32(getattr(layer, attribute))
    if own is None:
        own = quantizers.get(quantizer)
        is_quantized = False
        if isinstance(own, Quantizer):
            # One for each kernel, as it may have weights of the kernel's shape.
            own = type(own).from_config(own.get_config())
            own.build_for_channels(continuous.shape, operation.channel_axes)
        quantized = _to_float32(
            apply_quantizer(
                own, ops.convert_to_tensor(continuous), operation.channel_axes
            )
        )
    else:
        is_quantized = True
        quantized = _to_float32(layer.quantize_kernel(attribute))
    return AuditedKernel(
        name,
        path,
        operation,
        continuous,
        quantized,
        getattr(own, "__name__", type(own).__name__),
        is_quantized,
        known_precision(own),
        _clip_value(layer, role, own) if is_quantized else None,
        has_latent=not isinstance(own, NoOp),
        is_elementwise=not isinstance(own, FilterwiseSign),
    )


def _clip_value(layer, role, quantizer):
    """Return where the gradient of the weights ends, or the constraint holds them."""
    constraint: Any = getattr(layer, role.constraint, None)
    if isinstance(constraint, WeightClip):
        return float(constraint.clip_value)
    if not getattr(quantizer, "starves", False):
        return None
    value = plain(getattr(quantizer, "clip_value", 1.0))
    return None if value is None or not math.isfinite(value) else float(value)


def _to_float32(values):
    return np.array(ops.convert_to_numpy(ops.cast(values, "float32")))


def _checked_layers(model, layers):
    if layers is None:
        return None
    layers = [layers] if isinstance(layers, str) else list(layers)
    known = [path for path, _ in named_layers(model)]
    for path in layers:
        if path not in known:
            raise ValueError(
                f"Model '{model.name}' has no layer {path!r}.{suggestion(path, known)} "
                "Paths are those that kerasbnn.models.summary shows."
            )
    return layers

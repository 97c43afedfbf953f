"""What the layers of a model weigh and do: bits, bytes and multiply-accumulates."""

import math
from collections import Counter
from dataclasses import dataclass, field

import keras

from kerasbnn._state import TrainingState
from kerasbnn.models import bit_widths, operation_counts
from kerasbnn.models.call_tracing import LayerCall, shape_of, trace_shapes
from kerasbnn.models.input_shapes import symbolic_inputs
from kerasbnn.models.layer_paths import checked_model, named_layers, sublayers
from kerasbnn.quantizers import Quantizer

SINGLE_BIT = "1x1"


@dataclass
class LayerProfile:
    """What one layer weighs and does; `to_dict` says what the numbers are."""

    name: str
    type: str
    calls: int = 0
    input_bits: float | None = None
    output_shapes: list = field(default_factory=list)
    weights: Counter = field(default_factory=Counter)
    packed_bytes: int = 0
    # By pair of bits of input and weight; None where they are not modelled.
    macs: Counter | None = field(default_factory=Counter)

    def add_weights(self, count, bits):
        """Add `count` weights of `bits` each, which end on a byte of their own."""
        self.weights[bits] += count
        self.packed_bytes += math.ceil(count * bits / 8)

    def to_dict(self) -> dict:
        """Return plain numbers, lists and strings only."""
        return {
            "name": self.name,
            "type": self.type,
            "calls": self.calls,
            "input_bits": self.input_bits,
            "output_shapes": self.output_shapes,
            **_weights_to_dict(self.weights, self.packed_bytes),
            **_macs_to_dict(self.macs),
        }


def profile(model: keras.Model, input_shape=None) -> dict:
    """Count what `summary` shows, without showing it.

    Args:
        model: As for `kerasbnn.models.summary`.
        input_shape: As for `kerasbnn.models.summary`.

    Returns:
        The dict that `kerasbnn.models.summary` returns.

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: The shape of the inputs is not known.

    Example:
        >>> import keras
        >>> from kerasbnn.models.profiling import profile
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> profile(model)["totals"]["macs"]
        {'32x32': 6}
    """
    checked_model(model)
    args, kwargs, batch_size = symbolic_inputs(model, input_shape)
    calls = trace_shapes(model, *args, **kwargs)
    profiles = _profile_layers(model, calls, batch_size)
    return {
        "model": model.name,
        "layers": [entry.to_dict() for entry in profiles],
        "totals": _totals(profiles),
    }


def _profile_layers(model, calls, batch_size):
    bits_by_call = bit_widths.input_bits(calls)
    calls_by_layer: dict[int, list[tuple[LayerCall, float]]] = {}
    for call, bits in zip(calls, bits_by_call, strict=True):
        calls_by_layer.setdefault(id(call.layer), []).append((call, bits))

    counted: set[int] = set()
    profiles = []
    for path, layer, variables in _entries(model, calls):
        entry = LayerProfile(path or model.name, type(layer).__name__)
        for call, bits in calls_by_layer.get(id(layer), []):
            _add_call(entry, call, bits, batch_size)
        if not entry.calls and not isinstance(layer, operation_counts.WITHOUT_PRODUCTS):
            entry.macs = None
        _add_weights(entry, layer, variables, counted)
        # A container is there for weights of its own only; its parts have entries.
        if _is_unit(layer) or entry.weights:
            profiles.append(entry)
    return profiles


def _entries(model, calls):
    """Return path, layer and the variables to show there, in the order of the calls."""
    order: dict[int, int] = {}
    for call in calls:
        order.setdefault(id(call.layer), len(order))
    inside = set()
    found = [("", model, _own_variables(model))]
    for path, layer in named_layers(model):
        is_hidden = isinstance(layer, (keras.layers.InputLayer, TrainingState))
        if is_hidden or id(layer) in inside:
            continue
        if _is_unit(layer):
            inside.update(id(part) for _, part in named_layers(layer))
            found.append((path, layer, layer.weights))
        else:
            found.append((path, layer, _own_variables(layer)))
    # Sorting is stable: layers that were not called stay in the order of the model.
    return sorted(found, key=lambda entry: order.get(id(entry[1]), len(order)))


def _is_unit(layer):
    """Tell whether a layer is shown as one, rather than as its parts."""
    if isinstance(layer, keras.Model):
        return False
    if operation_counts.is_modelled(layer):
        return True
    if isinstance(layer, operation_counts.NOT_MODELLED):
        return True
    return all(
        isinstance(part, (Quantizer, TrainingState)) for part in sublayers(layer)
    )


def _own_variables(layer):
    in_parts = {id(v) for part in sublayers(layer) for v in part.weights}
    return [v for v in layer.weights if id(v) not in in_parts]


def _add_call(entry, call, bits, batch_size):
    entry.calls += 1
    entry.input_bits = max(bits, entry.input_bits or 0)
    for tensor in call.output_tensors:
        shape = _per_sample(shape_of(tensor), batch_size)
        if shape not in entry.output_shapes:
            entry.output_shapes.append(shape)
    products = None
    if operation_counts.is_modelled(call.layer):
        products = operation_counts.kernel_products(
            call.layer, shape_of(call.inputs[0]), shape_of(call.output_tensors[0])
        )
    if products is None or entry.macs is None:
        entry.macs = None
        return
    quantized = bit_widths.kernel_bits(call.layer)
    for kernel, count in products.items():
        weight_bits = quantized.get(kernel)
        if weight_bits is None:
            variable = bit_widths.stored_kernel(call.layer, kernel)
            weight_bits = bit_widths.stored_bits(variable)
        # What the depthwise step yields is not quantized again.
        is_pointwise = kernel == "pointwise_kernel"
        pair = (bit_widths.FLOAT_BITS if is_pointwise else bits, weight_bits)
        entry.macs[pair] += count // batch_size


def _per_sample(shape, batch_size):
    if shape and shape[0] == batch_size:
        return [None, *shape[1:]]
    return list(shape)


def _add_weights(entry, layer, variables, counted):
    variables = [v for v in variables if id(v) not in counted]
    counted.update(id(v) for v in variables)
    if isinstance(layer, keras.layers.BatchNormalization) and layer.built:
        # Four vectors while it trains; deployed, a factor and an offset per channel.
        for vector in (layer.moving_mean, layer.moving_variance):
            entry.add_weights(math.prod(vector.shape), bit_widths.stored_bits(vector))
        return
    quantized = {}
    if layer.built:
        for kernel, bits in bit_widths.kernel_bits(layer).items():
            quantized[id(bit_widths.stored_kernel(layer, kernel))] = bits
    for variable in variables:
        bits = quantized.get(id(variable)) or bit_widths.stored_bits(variable)
        entry.add_weights(math.prod(variable.shape), bits)


def _weights_to_dict(weights, packed_bytes):
    return {
        "weights": {f"{bits:g}": weights[bits] for bits in sorted(weights)},
        "packed_bytes": packed_bytes,
        "float32_bytes": 4 * weights.total(),
    }


def _macs_to_dict(macs):
    if macs is None:
        return {"macs": None, "macs_1bit": None, "macs_other": None}
    by_bits = {f"{pair[0]:g}x{pair[1]:g}": macs[pair] for pair in sorted(macs)}
    single = by_bits.get(SINGLE_BIT, 0)
    return {"macs": by_bits, "macs_1bit": single, "macs_other": macs.total() - single}


def _totals(profiles):
    weights, macs = Counter(), Counter()
    for entry in profiles:
        weights.update(entry.weights)
        macs.update(entry.macs or {})
    packed_bytes = sum(entry.packed_bytes for entry in profiles)
    totals = {**_weights_to_dict(weights, packed_bytes), **_macs_to_dict(macs)}
    bytes_ratio = totals["float32_bytes"] / packed_bytes if packed_bytes else None
    share = totals["macs_1bit"] / macs.total() if macs.total() else None
    return {
        **totals,
        "compression_ratio": bytes_ratio,
        "share_1bit_macs": share,
        "layers_without_macs": [entry.name for entry in profiles if entry.macs is None],
    }

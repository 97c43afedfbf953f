"""Which layers come in the place of one float layer."""

from dataclasses import dataclass, field

import keras

from kerasbnn.binarizing.dataflow import Dataflow
from kerasbnn.binarizing.graphs import graph_of, is_graph
from kerasbnn.binarizing.plans import COUNTERPARTS, kernel_quantizer
from kerasbnn.binarizing.rebuilding import config_of, copy_unbuilt
from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.layers.conv import PaddedLayer

# BinaryNet's: where weights flip, statistics that lag behind do harm.
MOMENTUM = 0.9

# Arguments of the float layer that the quantized one does not take over: its bias and
# its activation become layers of their own, and LoRA is merged into the latent weights.
_DROPPED = {
    "activation": None,
    "activity_regularizer": None,
    "bias_constraint": None,
    "bias_regularizer": None,
    "use_bias": False,
}
_LORA = ("lora_rank", "lora_alpha")


@dataclass
class Replacement:
    """What comes in the place of one layer.

    Attributes:
        path: Path of the float layer.
        original: The float layer.
        quantized: The quantized layer, without bias and activation.
        input_norm: Batch normalization of the inputs, or None.
        norm: Batch normalization of the outputs, or None where the model has one.
        activation: Layer with the activation of the float layer, or None.
        absorbing: Batch normalizations of the float model that take the scale and the
            bias away; there are some if and only if there is no `norm`.
    """

    path: str
    original: keras.layers.Layer
    quantized: QuantizedLayer
    input_norm: keras.layers.BatchNormalization | None = None
    norm: keras.layers.BatchNormalization | None = None
    activation: keras.layers.Layer | None = None
    absorbing: list[keras.layers.BatchNormalization] = field(default_factory=list)

    @property
    def chain(self) -> list[keras.layers.Layer]:
        """The layers, in the order of their calls."""
        layers = [self.input_norm, self.quantized, self.norm, self.activation]
        return [layer for layer in layers if layer is not None]


class Replacer:
    """Makes the replacements of a model's layers.

    Args:
        model: A model for which `is_graph` holds.
        flow: Its dataflow.
        binarize_inputs: Whether quantized layers take signs, except from the model's
            inputs.
        pad_values: What padding puts around signs.
    """

    def __init__(
        self, model: keras.Model, flow: Dataflow, binarize_inputs: bool, pad_values: int
    ):
        self._flow = flow
        self._binarize_inputs = binarize_inputs
        self._pad_values = pad_values
        self._names_beside: dict[int, list[set[str]]] = {}
        self._note_names(model, set())

    def _note_names(self, model, seen):
        seen.add(id(model))
        operations = graph_of(model).operations
        names = {operation.name for operation in operations}
        for operation in operations:
            self._names_beside.setdefault(id(operation), []).append(names)
            if is_graph(operation) and id(operation) not in seen:
                self._note_names(operation, seen)

    def replace_all(self, chosen) -> list[Replacement]:
        """Make the layers for the places of some.

        Args:
            chosen: Path, layer and word, `"binary"`, `"ternary"` or `"rotated"`, of
                each float layer to replace.

        Returns:
            One replacement for each.
        """
        normalized = {id(layer) for _, layer, _ in chosen if _is_linear(layer)}
        return [
            self._replace(path, layer, word, normalized) for path, layer, word in chosen
        ]

    def _replace(self, path, layer, word, normalized):
        has_signs = self._binarize_inputs and not self._flow.has_raw_inputs(layer)
        quantized = self._quantized(layer, word, has_signs)
        # Outputs have their channels where inputs have them.
        (axis,) = quantized.input_channel_axes
        new = Replacement(path, layer, quantized)
        shared = {"dtype": layer.dtype_policy, "trainable": layer.trainable}
        norm = {**shared, "axis": axis, "momentum": MOMENTUM}
        if has_signs and not self._flow.has_centered_inputs(layer, normalized):
            new.input_norm = keras.layers.BatchNormalization(
                # A sign does not see a positive scale.
                scale=False,
                name=self._new_name(layer, "input_norm"),
                **norm,
            )
        is_linear = _is_linear(layer)
        regularizer = layer.activity_regularizer
        if is_linear and regularizer is None:
            new.absorbing = self._flow.normalizations_after(layer, axis)
        if not new.absorbing:
            new.norm = keras.layers.BatchNormalization(
                beta_regularizer=layer.bias_regularizer if layer.use_bias else None,
                beta_constraint=layer.bias_constraint if layer.use_bias else None,
                activity_regularizer=regularizer if is_linear else None,
                name=self._new_name(layer, "norm"),
                **norm,
            )
        if not is_linear:
            new.activation = self._activation(layer, shared)
        return new

    def _quantized(self, layer, word, has_signs):
        kind = COUNTERPARTS[type(layer)]
        arguments = {**config_of(layer), **_DROPPED}
        arguments["input_quantizer"] = "ste_sign" if has_signs else None
        for role in kind.kernel_roles:
            arguments[role.quantizer] = kernel_quantizer(word)
            arguments[role.constraint] = "weight_clip"
            # How large a latent weight is does not matter to what the layer computes.
            arguments[role.constraint.replace("constraint", "regularizer")] = None
        if has_signs and issubclass(kind, PaddedLayer):
            arguments["pad_values"] = self._pad_values
        for name in _LORA:
            arguments.pop(name, None)
        return kind.from_config(arguments)

    def _activation(self, layer, shared):
        name = self._new_name(layer, "activation")
        if isinstance(layer.activation, keras.layers.Layer):
            return copy_unbuilt(layer.activation, name=name)
        return keras.layers.Activation(
            layer.activation,
            activity_regularizer=layer.activity_regularizer,
            name=name,
            **shared,
        )

    def _new_name(self, layer, suffix):
        """Find a name that no other layer has in the models that hold the layer."""
        name = candidate = f"{layer.name}_{suffix}"
        number = 0
        while any(candidate in names for names in self._names_beside[id(layer)]):
            number += 1
            candidate = f"{name}_{number}"
        for names in self._names_beside[id(layer)]:
            names.add(candidate)
        return candidate


def _is_linear(layer):
    return layer.activation in (None, keras.activations.linear)


def float_chain(new: Replacement) -> list[keras.layers.Layer]:
    """Make the chain of a replacement without quantization.

    Args:
        new: A replacement with a `norm`.

    Returns:
        The float layer without its activation, an unbuilt normalization in the place of
        `norm`, and the activation.
    """
    layer, norm = new.original, new.norm
    assert norm is not None  # noqa: S101
    dropped = dict.fromkeys(set(_LORA) & set(config_of(layer)))
    linear = copy_unbuilt(
        layer, activation="linear", activity_regularizer=None, **dropped
    )
    chain = [linear, copy_unbuilt(norm)]
    if new.activation is not None:
        chain.append(copy_unbuilt(new.activation))
    return chain

"""`from_tfmot`: a trained model of tf_keras, made anew in Keras 3."""

from collections.abc import Mapping
from typing import Any

import keras

from kerasbnn.tfmot.chains import Chain, chain_of
from kerasbnn.tfmot.errors import TranslationError
from kerasbnn.tfmot.tf_keras_graphs import (
    calls_of,
    is_functional,
    is_sequential,
    is_tf_keras_model,
    map_tensors,
)

# Functions of two tensors that tf_keras keeps as a layer, such as `x + y`.
_FUNCTIONS = {
    "__operators__.add": keras.layers.Add,
    "math.add": keras.layers.Add,
    "math.maximum": keras.layers.Maximum,
    "math.minimum": keras.layers.Minimum,
    "math.multiply": keras.layers.Multiply,
    "math.subtract": keras.layers.Subtract,
}


def from_tfmot(model, custom_objects: Mapping[str, Any] | None = None) -> keras.Model:
    """Turn a model that was trained with TFMOT into one of Keras 3.

    Layers whose kernels or inputs are quantized become `Quant*` layers, their latent
    weights being those that were trained, with `SteSign`, `SteTern` or a quantizer of 8
    bits that has the trained range. Other quantizers become layers of their own after
    the layer that they belong to. The outputs are the same but for rounding.

    Layers have the names that they had before `quantize_apply`. The optimizer and what
    else belongs to `compile` are not carried over. Nothing of the given model changes.

    Args:
        model: A model of tf_keras that is sequential, functional, or such models in one
            another: from `quantize_apply` or `quantize_model`, or never quantized.
        custom_objects: Classes of Keras 3, by the names of classes of tf_keras, for
            layers, quantizers, constraints and regularizers of your own. Each is made
            with `from_config` from the config of the other; layers get its weights.

    Returns:
        The model, not compiled.

    Raises:
        TypeError: It is no model of tf_keras.
        TranslationError: A ValueError: something in it has no counterpart. It says
            which layer, and what to do.

    Example:
        >>> from kerasbnn.tfmot import BinaryQuantizeConfig, from_tfmot
        >>> import tensorflow_model_optimization as tfmot, tf_keras
        >>> dense = tf_keras.layers.Dense(2, input_shape=(3,), name="hidden")
        >>> model = tfmot.quantization.keras.quantize_apply(tf_keras.Sequential([
        ...     tfmot.quantization.keras.quantize_annotate_layer(
        ...         dense, BinaryQuantizeConfig("ternary")
        ...     )
        ... ]))
        >>> [type(layer).__name__ for layer in from_tfmot(model).layers]
        ['AllValuesQuantizer', 'QuantDense']

    Reference:
        The quantization-aware training of TFMOT: Jacob et al., arXiv 1712.05877.
    """
    if not is_tf_keras_model(model):
        advice = (
            "It is a model of Keras 3 already."
            if isinstance(model, keras.Model)
            else "Pass what tensorflow_model_optimization's quantize_apply returned."
        )
        raise TypeError(
            "from_tfmot takes a model of tf_keras. Received: an object of type "
            f"{type(model).__name__}. {advice}"
        )
    return _Translation(custom_objects or {}).run(model)


class _Translation:
    """One translation: a layer that is used in several places is translated once."""

    def __init__(self, custom_objects):
        self._custom_objects = custom_objects
        self._chains: dict[int, Chain] = {}
        self._models: dict[int, keras.Model] = {}

    def run(self, model):
        new = self._model(model)
        for chain in self._chains.values():
            chain.settle()
        return new

    def _model(self, model):
        if id(model) not in self._models:
            if is_sequential(model):
                new = self._sequential(model)
            elif is_functional(model):
                new = self._functional(model)
            else:
                raise TranslationError(
                    f"Model '{model.name}' is a {type(model).__name__} with a `call` "
                    "of its own, which only its class knows. Write it as a functional "
                    "model: tf_keras.Model(inputs, outputs)."
                )
            self._models[id(model)] = new
        return self._models[id(model)]

    def _chain(self, layer):
        if id(layer) not in self._chains:
            self._chains[id(layer)] = chain_of(layer, self._custom_objects)
        return self._chains[id(layer)]

    def _sequential(self, model):
        if not model.built or not model.inputs:
            raise TranslationError(
                f"Model '{model.name}' has no input shape yet. Call it, or "
                "model.build(input_shape), before."
            )
        layers: list[Any] = [_input_of(tensor) for tensor in model.inputs]
        for layer in model.layers:
            if is_tf_keras_model(layer):
                layers.append(self._model(layer))
            else:
                layers += self._chain(layer).layers
        return keras.Sequential(layers, name=model.name, trainable=model.trainable)

    def _functional(self, model):
        inputs = {id(tensor): _input_of(tensor).output for tensor in model.inputs}
        tensors = dict(inputs)

        def new_of(tensor):
            return tensors[id(tensor)]

        for node in calls_of(model):
            args = map_tensors(new_of, node.call_args)
            kwargs = map_tensors(new_of, node.call_kwargs)
            outputs = self._call(node.layer, args, kwargs)
            tensors.update(_paired(node.outputs, outputs))
        new_inputs, outputs = (
            map_tensors(new_of, structure)
            for structure in (model._nested_inputs, model._nested_outputs)
        )
        return keras.Model(
            new_inputs, outputs, name=model.name, trainable=model.trainable
        )

    def _call(self, layer, args, kwargs):
        if type(layer).__name__ == "TFOpLambda":
            kind = _FUNCTIONS.get(layer.symbol)
            operands = [*args, *(x for name, x in kwargs.items() if name != "name")]
            are_tensors = all(isinstance(x, keras.KerasTensor) for x in operands)
            if kind is not None and len(operands) == 2 and are_tensors:
                return kind(name=_valid_name(layer.name))(operands)
        kwargs = {name: x for name, x in kwargs.items() if x is not None}
        if is_tf_keras_model(layer):
            return self._model(layer)(*args, **kwargs)
        chain = self._chain(layer)
        for new in chain.layers:
            if new is chain.main:
                args = [new(*args, **kwargs)]
            else:
                args = [new(args[0])]
        return args[0]


def _input_of(tensor):
    return keras.layers.InputLayer(
        batch_shape=tuple(tensor.shape),
        dtype=tensor.dtype.name,
        name=tensor._keras_history.layer.name,
    )


def _paired(old, new):
    """Yield the ids of tensors of tf_keras, each with the tensor of Keras 3."""
    pairs = []
    map_tensors(lambda tensor: pairs.append(id(tensor)), old)
    return zip(pairs, keras.tree.flatten(new), strict=True)


def _valid_name(name):
    return name.replace("/", "_")

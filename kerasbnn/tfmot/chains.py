"""What one layer of a trained TFMOT model becomes: a chain of layers of Keras 3."""

from collections.abc import Callable
from dataclasses import dataclass, field

import keras

from kerasbnn.tfmot.counterparts import counterpart_of
from kerasbnn.tfmot.errors import TranslationError
from kerasbnn.tfmot.kernels import kernels_of, quantized_class
from kerasbnn.tfmot.plain_layers import keras3_activation, keras3_layer
from kerasbnn.tfmot.tf_keras_graphs import tfmot_class

# TFMOT makes pairs of these around a separable convolution in one dimension.
_RESHAPING = ("sepconv1d_expand", "sepconv1d_squeeze")


@dataclass
class Chain:
    """Layers of Keras 3, each of which takes what the one before returns.

    Attributes:
        layers: The layers, not built.
        main: The one that stands for the layer of tf_keras itself; None if there is
            none.
        settlers: What to call, in this order, once the layers are built.
    """

    layers: list[keras.layers.Layer]
    main: keras.layers.Layer | None = None
    settlers: list[Callable[[], None]] = field(default_factory=list)

    def settle(self):
        """Carry the weights and the ranges over."""
        for settler in self.settlers:
            settler()

    def append_quantizer(self, quantizer, variables, name, place, custom_objects):
        """Add one of TFMOT's quantizers as a layer."""
        found = counterpart_of(quantizer, variables, place, custom_objects)
        if found.quantizer is not None:
            found.quantizer.name = name
            self.layers.append(found.quantizer)
            self.settlers.append(found.settle)


def chain_of(layer, custom_objects) -> Chain:
    """Make the chain for a layer of tf_keras.

    Args:
        layer: A layer of a built model; of the user's, or one that TFMOT put there.
        custom_objects: Classes of Keras 3 by the names of classes of tf_keras.

    Returns:
        The chain. Its main layer has the name of the layer that the user wrote.

    Raises:
        TranslationError: Something of the layer has no counterpart.
    """
    kind = tfmot_class(layer)
    if kind is None:
        return _plain_chain(layer, custom_objects)
    if kind == "QuantizeLayer":
        chain = Chain([])
        if layer.quantizer is not None:
            variables = layer.quantizer_vars
            place = f"QuantizeLayer '{layer.name}'"
            chain.append_quantizer(
                layer.quantizer, variables, layer.name, place, custom_objects
            )
        return chain
    if kind == "QuantizeWrapper":
        return _wrapped_chain(layer, custom_objects)
    if kind == "QuantizeAnnotate":
        raise TranslationError(
            f"Layer '{layer.layer.name}' is annotated, but not quantized yet. Call "
            "tensorflow_model_optimization.quantization.keras.quantize_apply(model), "
            "train what it returns, and pass that."
        )
    raise TranslationError(
        f"Layer '{layer.name}' is a {type(layer).__name__} of TFMOT, which kerasbnn "
        "does not know. Models from quantize_apply and quantize_model can be "
        "translated; strip pruning and clustering with TFMOT's own functions before."
    )


def _plain_chain(layer, custom_objects):
    new = keras3_layer(layer, custom_objects)
    return Chain([new], new, [lambda: _set_all(new, layer, {})])


def _wrapped_chain(wrapper, custom_objects):
    inner = wrapper.layer
    place = f"layer '{inner.name}'"
    if type(inner).__name__ == "Lambda" and inner.name.startswith(_RESHAPING):
        shape = [-1 if size is None else size for size in wrapper.output_shape[1:]]
        new = keras.layers.Reshape(shape, name=inner.name)
        return Chain([new], new)
    chain = Chain([])
    before, around = _activation_quantizers(wrapper)
    arguments = {}
    if before is not None:
        found = counterpart_of(
            before.quantizer,
            before._post_activation_vars,
            f"inputs of {place}",
            custom_objects,
        )
        # A layer without a kernel has no argument for it.
        if kernels_of(inner):
            arguments["input_quantizer"] = found.quantizer
        elif found.quantizer is not None:
            found.quantizer.name = f"{inner.name}_input_quantizer"
            chain.layers.append(found.quantizer)
        chain.settlers.append(found.settle)
    arguments |= _kernel_quantizers(wrapper, place, custom_objects, chain)
    function = None
    if around is not None:
        acts_in_layer = not around._should_pre_quantize()
        function = around.activation if acts_in_layer else _linear
    cls = quantized_class(inner) if arguments else None
    new = keras3_layer(inner, custom_objects, cls, function, **arguments)
    chain.layers.append(new)
    chain.main = new
    variables = {_name_of(v): v for v in wrapper.weights}
    chain.settlers.insert(0, lambda: _set_all(new, inner, variables))
    if around is not None:
        _append_activation(chain, around, inner, custom_objects)
    if wrapper._output_quantizers:
        chain.append_quantizer(
            wrapper._output_quantizers[0],
            wrapper._output_quantizer_vars,
            f"{inner.name}_output_quantizer",
            f"output of {place}",
            custom_objects,
        )
    return chain


def _activation_quantizers(wrapper):
    """Tell which of a wrapper's quantizers are of the inputs and of the activation."""
    inner, found = wrapper.layer, list(wrapper._quantize_activations)
    before = getattr(inner, "_kerasbnn_input_quantizer", None)
    if before is not None and before in found:
        found.remove(before)
    else:
        before = None
    around = found.pop() if found else None
    if found or (around is not None and inner.activation is not around):
        raise TranslationError(
            f"Layer '{inner.name}' has a {type(wrapper.quantize_config).__name__} that "
            "quantizes something other than the layer's one `activation`, which "
            "kerasbnn cannot tell apart. Quantize it with BinaryQuantizeConfig or "
            "TFMOT's defaults."
        )
    return before, around


def _kernel_quantizers(wrapper, place, custom_objects, chain):
    """Return the quantizers of the kernels as arguments of the quantized layer."""
    arguments = {}
    by_name = {kernel.attribute: kernel for kernel in kernels_of(wrapper.layer)}
    for variable, quantizer, quantizer_variables in wrapper._weight_vars:
        name = _name_of(variable)
        if name not in by_name:
            raise TranslationError(
                f"TFMOT quantizes '{name}' of {place}, a "
                f"{type(wrapper.layer).__name__}; the layers of kerasbnn quantize "
                "kernels of dense layers and convolutions. Leave it float."
            )
        kernel = by_name[name]
        found = counterpart_of(
            quantizer,
            quantizer_variables,
            f"'{name}' of {place}",
            custom_objects,
            last_axis_is_channels=-1 in kernel.channel_axes,
        )
        arguments[kernel.quantizer] = found.quantizer
        chain.settlers.append(found.settle)
    return arguments


def _append_activation(chain, around, inner, custom_objects):
    """Add a quantizer before the activation, the activation, and one after it."""

    def add(variables, name):
        place = f"activation of layer '{inner.name}'"
        chain.append_quantizer(around.quantizer, variables, name, place, custom_objects)

    if around._should_pre_quantize():
        add(around._pre_activation_vars, f"{inner.name}_pre_activation_quantizer")
        name = keras3_activation(around.activation, inner.name)
        chain.layers.append(
            keras.layers.Activation(
                name, name=f"{inner.name}_activation", dtype=inner.dtype_policy.name
            )
        )
    if around._should_post_quantize():
        add(around._post_activation_vars, f"{inner.name}_activation_quantizer")


def _linear(x):
    return x


_linear.__name__ = "linear"


def _set_all(new, layer, variables):
    """Give a layer of Keras 3 the weights of one of tf_keras."""
    kernels = kernels_of(layer)
    if not kernels:
        values = layer.get_weights()
        shapes = [tuple(v.shape) for v in new.weights]
        if [v.shape for v in values] != shapes:
            raise TranslationError(
                f"Layer '{layer.name}' has weights of the shapes "
                f"{[v.shape for v in values]}, but {type(new).__name__} of Keras 3 has "
                f"{shapes}. Give both the same, in the same order."
            )
        new.set_weights(values)
        return
    variables = variables or {_name_of(v): v for v in layer.weights}
    for kernel in kernels:
        getattr(new, kernel.counterpart).assign(variables[kernel.attribute].numpy())
    if new.use_bias:
        new.bias.assign(variables["bias"].numpy())


def _name_of(variable):
    return variable.name.partition(":")[0].rpartition("/")[2]

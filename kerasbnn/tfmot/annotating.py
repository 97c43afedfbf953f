"""How layers of tf_keras are quantized with TFMOT: a config for a layer, and a scheme.

Importing this module imports tensorflow-model-optimization.
"""

import difflib

from kerasbnn._checks import checked_number
from kerasbnn._registration import PACKAGE
from kerasbnn.tfmot.kernels import kernels_of
from kerasbnn.tfmot.loading import load
from kerasbnn.tfmot.tf_keras_quantizers import ALIASES

tfmot, tf_keras, tf = load()
quantization = tfmot.quantization.keras

# What a layer holds while its inputs are quantized.
INPUT_QUANTIZER = "_kerasbnn_input_quantizer"


@tf_keras.saving.register_keras_serializable(package=PACKAGE)
class BinaryQuantizeConfig(quantization.QuantizeConfig):
    """Says for `quantize_annotate_layer` what of a layer is quantized, and how.

    A quantizer is `"binary"`, `"ternary"`, or any quantizer of TFMOT; None quantizes
    nothing. The latent weights stay the variables of the layer.

    TFMOT knows no quantizers of inputs. The one of this config comes before all that
    the layer does, its padding with zeros included, as in the `Quant*` layers.

    Args:
        kernel_quantizer: For every kernel of a dense layer or a convolution: also
            depthwise, separable and transposed.
        input_quantizer: For the layer's inputs.
        output_quantizer: For what the layer returns, after its activation; of any
            layer, with `kernel_quantizer=None`.

    Raises:
        ValueError: The name of a quantizer is unknown, or a scale was asked for where
            there are no weights.
        TypeError: A quantizer is none of TFMOT's.

    Example:
        >>> from kerasbnn.tfmot import BinaryQuantizeConfig
        >>> import tensorflow_model_optimization as tfmot, tf_keras
        >>> annotated = tfmot.quantization.keras.quantize_annotate_layer(
        ...     tf_keras.layers.Dense(64), BinaryQuantizeConfig("binary", "binary")
        ... )

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

    def __init__(
        self, kernel_quantizer="binary", input_quantizer=None, output_quantizer=None
    ):
        self.kernel_quantizer = _quantizer("kernel_quantizer", kernel_quantizer)
        self.input_quantizer = _quantizer("input_quantizer", input_quantizer)
        self.output_quantizer = _quantizer("output_quantizer", output_quantizer)
        for name in ("input_quantizer", "output_quantizer"):
            if getattr(getattr(self, name), "scale", False):
                raise ValueError(
                    f"`{name}` must have scale=False: the scale is the mean magnitude "
                    "of weights, which activations have none of."
                )

    def get_weights_and_quantizers(self, layer):
        if self.kernel_quantizer is None:
            return []
        kernels = kernels_of(layer)
        if not kernels:
            raise ValueError(
                f"Layer '{layer.name}' is a {type(layer).__name__}, which has no "
                "kernel that BinaryQuantizeConfig knows: it takes the dense layers and "
                "convolutions of tf_keras. Pass kernel_quantizer=None, or annotate "
                "another layer."
            )
        return [
            (getattr(layer, kernel.attribute), self.kernel_quantizer)
            for kernel in kernels
        ]

    def set_quantize_weights(self, layer, quantize_weights):
        if self.kernel_quantizer is None:
            return
        for kernel, weights in zip(kernels_of(layer), quantize_weights, strict=True):
            setattr(layer, kernel.attribute, weights)

    def get_activations_and_quantizers(self, layer):
        if self.input_quantizer is None:
            return []
        # TFMOT makes the variables of this quantizer, and tells it when it trains.
        return [(tf_keras.activations.linear, self.input_quantizer)]

    def set_quantize_activations(self, layer, quantize_activations):
        if self.input_quantizer is None:
            return
        (quantize,) = quantize_activations
        operation = type(layer).call

        def call(inputs, *args, **kwargs):
            return operation(layer, quantize(inputs), *args, **kwargs)

        layer.call = call
        setattr(layer, INPUT_QUANTIZER, quantize)

    def get_output_quantizers(self, layer):
        return [] if self.output_quantizer is None else [self.output_quantizer]

    def get_config(self):
        return {
            name: _serialized(getattr(self, name))
            for name in ("kernel_quantizer", "input_quantizer", "output_quantizer")
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{name: _deserialized(value) for name, value in config.items()})

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    __hash__ = None


@tf_keras.saving.register_keras_serializable(package=PACKAGE)
class WeightClip(tf_keras.constraints.Constraint):
    """`kerasbnn.constraints.WeightClip` for layers of tf_keras.

    Args:
        clip_value: Largest magnitude a weight may have. Positive float.

    Raises:
        TypeError: `clip_value` is not a number.
        ValueError: `clip_value` is not positive.

    Example:
        >>> from kerasbnn.tfmot import WeightClip
        >>> WeightClip()([-3.0, 0.25]).numpy()
        array([-1.  ,  0.25], dtype=float32)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830, section 1.4.
    """

    def __init__(self, clip_value=1.0):
        self.clip_value = checked_number(
            "clip_value", clip_value, minimum=0, exclusive=True
        )

    def __call__(self, w):
        return tf.clip_by_value(w, -self.clip_value, self.clip_value)

    def get_config(self):
        return {"clip_value": self.clip_value}


class BinaryQuantizeScheme(quantization.QuantizeScheme):
    """A scheme for `quantize_apply` that quantizes what is annotated, and nothing else.

    TFMOT's default scheme prepares networks of 8 bits: it also quantizes the inputs of
    the model and the outputs of float layers in front of annotated ones, to 8 bits, and
    takes separable convolutions apart; it drops the config of a layer with an annotated
    `ReLU` behind it, which is then float. This one leaves all that as it is. A layer
    annotated without a config gets the default one of 8 bits here too.

    Example:
        >>> from kerasbnn.tfmot import BinaryQuantizeConfig, BinaryQuantizeScheme
        >>> import tensorflow_model_optimization as tfmot, tf_keras
        >>> annotated = tf_keras.Sequential([
        ...     tf_keras.Input((8,)),
        ...     tfmot.quantization.keras.quantize_annotate_layer(
        ...         tf_keras.layers.Dense(64, name="hidden"), BinaryQuantizeConfig()
        ...     ),
        ... ])
        >>> model = tfmot.quantization.keras.quantize_apply(
        ...     annotated, scheme=BinaryQuantizeScheme()
        ... )
        >>> [layer.name for layer in model.layers]
        ['quant_hidden']
    """

    def get_layout_transformer(self):
        return _LeaveLayout()

    def get_quantize_registry(self):
        return _NoDefaults()


class _LeaveLayout(quantization.QuantizeLayoutTransform):
    """Changes no layer; gives annotated ones without a config TFMOT's default one."""

    def apply(self, model, layer_quantize_map):
        scheme = quantization.default_8bit.Default8BitQuantizeScheme()
        registry = scheme.get_quantize_registry()
        annotated = dict(layer_quantize_map)
        for layer in model.layers:
            # Inputs have an empty entry, as if they were annotated.
            found = annotated.get(layer.name)
            if found and found["quantize_config"] is None and registry.supports(layer):
                config = registry.get_quantize_config(layer)
                annotated[layer.name] = {**found, "quantize_config": config}
        return model, annotated


class _NoDefaults(quantization.QuantizeRegistry):
    """Knows no layer, so that those that are not annotated are left alone."""

    def supports(self, layer):
        del layer
        return False

    def get_quantize_config(self, layer):
        del layer
        return None


def _quantizer(name, given):
    if isinstance(given, str):
        if given in ALIASES:
            return ALIASES[given]()
        nearest = difflib.get_close_matches(given, ALIASES, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise ValueError(
            f"Unknown {name} {given!r}.{hint} Known are 'binary' and 'ternary'; others "
            "are passed as objects, such as BinaryQuantizer(clip_value=None)."
        )
    if given is None or isinstance(given, quantization.quantizers.Quantizer):
        return given
    raise TypeError(
        f"`{name}` must be 'binary', 'ternary', a quantizer of TFMOT or None. "
        f"Received: {given!r} of type {type(given).__name__}. Quantizers of "
        "kerasbnn.quantizers are for layers of Keras 3; those of kerasbnn.tfmot are "
        "for these."
    )


def _serialized(quantizer):
    if quantizer is None:
        return None
    return tf_keras.utils.legacy.serialize_keras_object(quantizer)


def _deserialized(config):
    if not isinstance(config, dict):
        return config
    known = vars(quantization.quantizers)
    return tf_keras.utils.legacy.deserialize_keras_object(config, module_objects=known)

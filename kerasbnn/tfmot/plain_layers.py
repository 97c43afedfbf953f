"""Layers of tf_keras made anew in Keras 3, from their configs."""

import inspect
from typing import Any

import keras

from kerasbnn.constraints import WeightClip
from kerasbnn.quantizers.base import plain
from kerasbnn.tfmot.errors import TranslationError
from kerasbnn.tfmot.kernels import QUANTIZED, class_name

# Classes with the same name, config and arithmetic in both; dense layers and
# convolutions come on top.
_SAME = """
    Activation ActivityRegularization Add Average AveragePooling1D AveragePooling2D
    AveragePooling3D BatchNormalization Concatenate Cropping1D Cropping2D Cropping3D Dot
    Dropout ELU Flatten GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalMaxPooling1D GlobalMaxPooling2D
    GlobalMaxPooling3D LayerNormalization LeakyReLU MaxPooling1D MaxPooling2D
    MaxPooling3D Maximum Minimum Multiply PReLU Permute ReLU RepeatVector Rescaling
    Reshape Softmax SpatialDropout1D SpatialDropout2D SpatialDropout3D Subtract
    UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
""".split()
# Activations with the same formula in both. That of hard_sigmoid is another.
_ACTIVATIONS = """
    elu exponential gelu linear mish relu relu6 selu sigmoid silu softmax softplus
    softsign swish tanh
""".split()
_RENAMED = {"LeakyReLU": {"alpha": "negative_slope"}}
_OF_EVERY_LAYER = ("activity_regularizer", "dtype", "name")
_KINDS = ("initializer", "regularizer", "constraint")


def keras3_layer(
    layer, custom_objects, cls=None, function=None, **quantizers
) -> keras.layers.Layer:
    """Make a layer of Keras 3 with the config of one of tf_keras.

    Args:
        layer: The layer of tf_keras.
        custom_objects: Classes of Keras 3 by the names of classes of tf_keras.
        cls: Class of Keras 3; None for that of the same name.
        function: The activation of the layer, where its attribute is another.
        **quantizers: Arguments of a quantized layer to add.

    Returns:
        The layer, not built, with the name of the other.

    Raises:
        TranslationError: Keras 3 has no such layer, or not with this config.
    """
    name = type(layer).__name__
    if cls is None and name in custom_objects:
        return custom_objects[name].from_config(layer.get_config())
    if cls is None:
        if class_name(layer) not in (*_SAME, *QUANTIZED):
            raise _no_counterpart(layer, name)
        cls = getattr(keras.layers, name)
    config = {**_config_of(layer), **quantizers}
    for old, new in _RENAMED.get(name, {}).items():
        config[new] = config.pop(old)
    if "activation" in config:
        function = layer.activation if function is None else function
        config["activation"] = keras3_activation(function, layer.name)
    # Not every class of Keras 3 takes it as an argument.
    is_trainable = config.pop("trainable")
    arguments = {}
    for key, value in config.items():
        if key in quantizers or key in _arguments_of(cls):
            arguments[key] = _translated(layer, key, value, custom_objects)
        elif not _is_silent(key, value):
            raise TranslationError(
                f"Layer '{layer.name}' has {key}={value!r}, which {cls.__name__} of "
                "Keras 3 does not know. Train without it."
            )
    new = cls(**arguments)
    new.trainable = is_trainable
    return new


def keras3_activation(function, place: str) -> str:
    """Return the name in Keras 3 of an activation of tf_keras.

    Args:
        function: The function of tf_keras.
        place: Name of the layer, for the error.

    Returns:
        A name that `keras.activations.get` knows.

    Raises:
        TranslationError: There is none with the same formula.
    """
    name = getattr(function, "__name__", type(function).__name__)
    if name == "NoOpActivation":
        return "linear"
    if name in _ACTIVATIONS:
        return name
    raise TranslationError(
        f"Layer '{place}' has the activation {name!r}, which Keras 3 does not have "
        f"with the same formula. Known are: {', '.join(_ACTIVATIONS)}."
    )


def _config_of(layer):
    """Return the config, with what Keras 3 writes in another way."""
    config = dict(layer.get_config())
    config["dtype"] = layer.dtype_policy.name
    if "axis" in config and not isinstance(config["axis"], int):
        axes = [int(axis) for axis in config["axis"]]
        config["axis"] = axes[0] if len(axes) == 1 else axes
    return config


def _is_silent(key, value):
    """Tell whether an entry that Keras 3 has no argument for says nothing."""
    if key == "batch_input_shape" or key.endswith("_initializer"):
        return True
    return value in (None, False) or (key == "groups" and value == 1)


def _arguments_of(cls):
    """Return the names of the arguments that a class of layers takes."""
    names: set[str] = set()
    for base in cls.__mro__:
        if base is keras.layers.Layer:
            return names | set(_OF_EVERY_LAYER)
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        names.update(parameter.name for parameter in parameters)
        if all(parameter.kind is not parameter.VAR_KEYWORD for parameter in parameters):
            break
    return names


def _translated(layer, key, value, custom_objects) -> Any:
    kind = key.rpartition("_")[2]
    if kind not in _KINDS:
        return value
    found = getattr(layer, key, None)
    if found is None:
        return None
    name = type(found).__name__
    if name in custom_objects:
        return custom_objects[name].from_config(found.get_config())
    if type(found).__module__.startswith("kerasbnn.") and name == "WeightClip":
        return WeightClip(**found.get_config())
    cls = getattr(getattr(keras, f"{kind}s"), name, None)
    if cls is not None and type(found).__module__.startswith("tf_keras."):
        config = found.get_config()
        return cls.from_config({name: plain(x) for name, x in config.items()})
    if kind == "initializer":
        # The weights are there already.
        return "zeros"
    raise TranslationError(
        f"Layer '{layer.name}' has the {key} {name}, which Keras 3 does not have. Pass "
        f"a class that takes its config: from_tfmot(model, custom_objects={{{name!r}: "
        "...})."
    )


def _no_counterpart(layer, name):
    if name == "Lambda":
        advice = "Write a layer instead of the function, with a class for each Keras"
    elif name == "TFOpLambda" or name == "SlicingOpLambda":
        advice = "Use a layer instead of the function of TensorFlow"
    else:
        advice = "If it is a layer of your own, write its class for Keras 3 as well"
    return TranslationError(
        f"Layer '{layer.name}' is a {name}, which has no counterpart in Keras 3 that "
        f"kerasbnn knows. {advice}, and pass from_tfmot(model, "
        f"custom_objects={{{name!r}: ...}})."
    )

"""Quantizers: maps to few levels, with gradients to train through them.

Wherever a quantizer is expected, a name (`"ste_sign"`), a config dict, an instance or
any callable will do.
"""

import keras

from kerasbnn._checks import suggestion
from kerasbnn.quantizers.base import Quantizer
from kerasbnn.quantizers.dorefa import DoReFa
from kerasbnn.quantizers.foreign import translated
from kerasbnn.quantizers.heaviside import SteHeaviside
from kerasbnn.quantizers.information_retention import IRNetSign
from kerasbnn.quantizers.no_op import NoOp
from kerasbnn.quantizers.rotated_sign import RotatedSign
from kerasbnn.quantizers.shifted_sign import RSign
from kerasbnn.quantizers.sign import (
    ApproxSign,
    MagnitudeAwareSign,
    SteSign,
    SwishSign,
)
from kerasbnn.quantizers.ternary import SteTern
from kerasbnn.quantizers.whitened_sign import WhitenedSign

__all__ = [
    "ApproxSign",
    "DoReFa",
    "IRNetSign",
    "MagnitudeAwareSign",
    "NoOp",
    "Quantizer",
    "RSign",
    "RotatedSign",
    "SteHeaviside",
    "SteSign",
    "SteTern",
    "SwishSign",
    "WhitenedSign",
    "deserialize",
    "get",
    "serialize",
]

ALIASES: dict[str, type[Quantizer]] = {
    "approx_sign": ApproxSign,
    "dorefa_quantizer": DoReFa,
    "irnet_sign": IRNetSign,
    "magnitude_aware_sign": MagnitudeAwareSign,
    "no_op": NoOp,
    "r_sign": RSign,
    "rotated_sign": RotatedSign,
    "ste_heaviside": SteHeaviside,
    "ste_sign": SteSign,
    "ste_tern": SteTern,
    "swish_sign": SwishSign,
    "whitened_sign": WhitenedSign,
}
# Larq resolves class names too, and two classes by the names they had before.
_CLASSES = {cls.__name__: cls for cls in ALIASES.values()} | {
    "DoReFaQuantizer": DoReFa,
    "NoOpQuantizer": NoOp,
}


def get(identifier):
    """Turn a name, a config, an instance or a callable into a quantizer.

    Args:
        identifier: A name from `ALIASES`, a class or its name, a config dict (Keras'
            own or `{"class_name": ..., "config": {...}}`), a callable, an 8-bit
            quantizer of tensorflow-model-optimization (see `kerasbnn.tfmot`), or None.

    Returns:
        A callable that maps a tensor to a tensor of the same shape, or None.

    Raises:
        ValueError: The name is unknown, or the config describes something else.
        TypeError: The identifier is none of the above.

    Example:
        >>> from kerasbnn import quantizers
        >>> quantizers.get("ste_sign").clip_value
        1.0
    """
    if identifier is None:
        return None
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str):
        identifier = _object_named(identifier)
    if identifier is NoOp:
        raise ValueError(
            "The quantizer 'no_op' needs to know the bits of its values. "
            "Pass an instance, such as NoOp(precision=1)."
        )
    if isinstance(identifier, type):
        identifier = identifier()
    identifier = translated(identifier)
    if identifier is None or callable(identifier):
        return identifier
    raise TypeError(
        "A quantizer must be a name, a config dict, a callable or None. Received: "
        f"{identifier!r} of type {type(identifier).__name__}. "
        f"Known names: {', '.join(sorted(ALIASES))}."
    )


def _object_named(name):
    """Find a class, or a registered function, by its name."""
    found = ALIASES.get(name) or _CLASSES.get(name)
    if found is None:
        found = keras.saving.get_registered_object(name)
    if found is None:
        raise ValueError(
            f"Unknown quantizer {name!r}.{suggestion(name, [*ALIASES, *_CLASSES])} "
            f"Known names: {', '.join(sorted(ALIASES))}. For a quantizer of your own, "
            "pass the object itself or register its class with "
            "keras.saving.register_keras_serializable."
        )
    return found


def serialize(quantizer):
    """Return the config dict of a quantizer.

    Args:
        quantizer: A quantizer, any callable that Keras can serialize, or None.

    Returns:
        A dict for `deserialize`, or None.

    Example:
        >>> from kerasbnn import quantizers
        >>> quantizers.serialize(quantizers.SteSign())["class_name"]
        'SteSign'
    """
    config = keras.saving.serialize_keras_object(quantizer)
    if isinstance(config, dict):
        # The owning layer builds its quantizers for its own shapes.
        config.pop("build_config", None)
    return config


def deserialize(config):
    """Make a quantizer from a config dict.

    Args:
        config: What `serialize` returned, or the short form
            `{"class_name": "SteSign", "config": {"clip_value": 1.0}}`.

    Returns:
        The quantizer, or None for None.

    Raises:
        ValueError: The dict names no known quantizer.
        TypeError: Keras cannot find the class of a dict that Keras wrote.

    Example:
        >>> from kerasbnn import quantizers
        >>> quantizers.deserialize({"class_name": "SwishSign", "config": {"beta": 3}})
        <SwishSign name=swish_sign, built=False>
    """
    if config is None:
        return None
    if "class_name" not in config:
        raise ValueError(
            "A quantizer config needs the key 'class_name'. Received keys: "
            f"{sorted(map(str, config))}. Expected, for example, "
            '{"class_name": "SteSign", "config": {"clip_value": 1.0}}.'
        )
    if "module" in config:
        return keras.saving.deserialize_keras_object(config)
    found = _object_named(config["class_name"])
    return found(**config.get("config") or {}) if isinstance(found, type) else found

"""Makes Larq's names known to Keras, as importing Larq does."""

import keras

from kerasbnn.larq import activations, constraints, layers, metrics, optimizers
from kerasbnn.larq import quantizers as larq_quantizers


def custom_objects():
    """Return what Larq calls its classes and functions, with what they are here.

    `import kerasbnn.larq` makes them known to Keras, so this is only for where a dict
    is asked for.

    Returns:
        Dict of classes and functions by name, for `custom_objects` of Keras' functions
        that load and deserialize.

    Example:
        >>> import keras
        >>> import kerasbnn.larq as lq
        >>> layer = keras.layers.deserialize(
        ...     {"class_name": "QuantDense", "config": {"units": 3}},
        ...     custom_objects=lq.custom_objects(),
        ... )
        >>> layer.units
        3
    """
    by_name = {
        name: getattr(module, name)
        for module in (activations, constraints, layers, metrics, optimizers)
        for name in module.__all__
    }
    return {
        **by_name,
        **larq_quantizers.CLASSES,
        **larq_quantizers.ALIASES,
        "flip_ratio": metrics.FlipRatio,
    }


def register_aliases():
    """Register all names with Keras; one that is there already stays.

    `keras.layers.Activation("ste_sign")` and a `"weight_clip"` of Keras' own layers
    work from then on.
    """
    known = keras.saving.get_custom_objects()
    for name, value in custom_objects().items():
        known.setdefault(name, value)
    try:
        # Keras' own layers look names up in these tables, and nowhere else.
        from keras.src.activations import ALL_OBJECTS_DICT as KERAS_ACTIVATIONS
        from keras.src.constraints import ALL_OBJECTS_DICT as KERAS_CONSTRAINTS
    except ImportError:
        # Another Keras may keep them elsewhere: then layers of ours know the names.
        return
    for name, function in {
        **larq_quantizers.FUNCTIONS,
        "leaky_tanh": activations.leaky_tanh,
    }.items():
        KERAS_ACTIVATIONS.setdefault(name, function)
    KERAS_CONSTRAINTS.setdefault("weight_clip", constraints.WeightClip)

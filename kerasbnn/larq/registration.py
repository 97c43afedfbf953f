"""How what is particular to `kerasbnn.larq` becomes known to Keras."""

import keras

PACKAGE = "kerasbnn.larq"


def register(obj):
    """Register a class or function for saving, apart from ours of the same name.

    Args:
        obj: The class or function.

    Returns:
        The same.
    """
    return keras.saving.register_keras_serializable(package=PACKAGE)(obj)

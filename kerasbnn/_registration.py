"""How kerasbnn's classes become known to Keras' saving and loading."""

import keras

PACKAGE = "kerasbnn"


def register(obj):
    """Register a class or function for saving under the package `kerasbnn`."""
    return keras.saving.register_keras_serializable(package=PACKAGE)(obj)

"""Checks that a model computes with numbers, before anything is made of it."""

import keras
import numpy as np
from keras import ops

from kerasbnn.models.layer_paths import named_layers, own_weights
from kerasbnn.tflite.errors import ConversionError
from kerasbnn.tflite.lowering import batch_normalization_terms


def check_finite(model: keras.Model):
    """Check the weights of all layers, and what batch normalization makes of them.

    Args:
        model: The model, on the TensorFlow backend.

    Raises:
        ConversionError: Some are NaN or infinite; it names the first such layer.
    """
    for path, layer in named_layers(model):
        values = [ops.convert_to_numpy(weight.value) for weight in own_weights(layer)]
        if type(layer) is keras.layers.BatchNormalization and layer.built:
            values += batch_normalization_terms(layer)
        if not all(_is_finite(array) for array in values):
            raise ConversionError(
                f"Layer '{path}' computes with numbers that are NaN or infinite, so "
                "the model predicts nothing. Train it with a smaller learning rate or "
                "clipped gradients, or load weights from before. No file was written.",
                path,
            )


def _is_finite(values):
    # Of other kinds, such as the state of a random generator, all are.
    return not np.issubdtype(values.dtype, np.floating) or np.isfinite(values).all()

"""Channels-first inputs, where the backend has the operation for them."""

import numpy as np
import pytest

from tests.helpers.gradients import BACKEND, array, tensor


def to_first(x):
    """Move the channels of a numpy array from the last axis to the second."""
    return np.moveaxis(x, -1, 1)


def to_last(x):
    """Move the channels of a numpy array from the second axis to the last."""
    return np.moveaxis(x, 1, -1)


def call_channels_first(layer, x):
    """Call a channels-first layer on a channels-last array.

    On TensorFlow the call is compiled with XLA, which has what its eager operations
    lack on a CPU.

    Args:
        layer: A built layer with `data_format="channels_first"`.
        x: Numpy array, channels last.

    Returns:
        The outputs as a numpy array, channels last.
    """
    inputs = tensor(to_first(x))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        layer = tf.function(layer, jit_compile=True)
    return to_last(array(layer(inputs)))


def skip_unless_supported(case, **options):
    """Skip a test where Keras' own layer cannot run channels first."""
    layer = case.keras_class(
        **{**case.arguments, **options}, data_format="channels_first"
    )
    x = np.zeros(case.input_shape)
    layer.build(to_first(x).shape)
    try:
        call_channels_first(layer, x)
    except Exception as error:
        pytest.skip(f"keras.layers.{case.keras_class.__name__}: {str(error)[:200]}")

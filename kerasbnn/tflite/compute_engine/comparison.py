"""Compares a written SavedModel with Keras, sign by sign and output by output."""

import contextlib
from pathlib import Path

import keras
import numpy as np

from kerasbnn.models.input_shapes import symbolic_inputs
from kerasbnn.tflite.decisions import decisions_of_keras
from kerasbnn.tflite.report import Verification
from kerasbnn.tflite.tensorflow_export import SIGNATURE
from kerasbnn.tflite.verification import FoundSigns, compare_with_keras


def compare(
    model: keras.Model, exported, folder: Path, samples: list[np.ndarray], input_shape
) -> Verification:
    """Run a SavedModel in TensorFlow and compare it with Keras.

    Args:
        model: The model, on the TensorFlow backend.
        exported: What was traced of it, `exporter.Exported`.
        folder: What was written.
        samples: An array for each input.
        input_shape: As for `convert`.

    Returns:
        What was compared.

    Raises:
        ConversionError: It computes something else; the error names the layer.
    """
    import tensorflow as tf

    args, kwargs, _ = symbolic_inputs(model, input_shape)
    inputs = keras.tree.pack_sequence_as((args, kwargs), samples)
    decided = decisions_of_keras(model, *inputs)
    tensors = [tf.constant(array) for array in samples]
    with _operation_by_operation():
        run = tf.function(exported.graph, autograph=False)
        values = [array.numpy() for array in run(*tensors)]
        serve = tf.saved_model.load(str(folder)).signatures[SIGNATURE]
        named = dict(zip(exported.names, tensors, strict=True))
        outputs = {name: array.numpy() for name, array in serve(**named).items()}
    signs = [
        FoundSigns(path, _is_negative(before, array))
        for (path, before), array in zip(
            exported.decided, values[len(exported.outputs) :], strict=True
        )
    ]
    return compare_with_keras(signs, outputs, decided, "TensorFlow")


def _is_negative(before, values):
    """Tell where signs are negative."""
    if before.flips is not None:
        values = values * before.flips
    return values < 0


@contextlib.contextmanager
def _operation_by_operation():
    """Let TensorFlow round graphs as it does the calls of layers.

    Its optimizer joins operations, differently for every set of outputs.
    """
    import tensorflow as tf

    options = tf.config.optimizer.get_experimental_options()
    before = bool(options.get("disable_meta_optimizer", False))
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": before})

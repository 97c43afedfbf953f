"""From a Keras model to what TensorFlow's converter makes of it, marks included."""

import contextlib
import re
import tempfile
from collections.abc import Iterator
from typing import Any

import keras

from kerasbnn._saved_models import held_back_errors
from kerasbnn.models.input_shapes import symbolic_inputs
from kerasbnn.tflite.errors import ConversionError
from kerasbnn.tflite.lowering import marked_calls
from kerasbnn.tflite.marks import Marks
from kerasbnn.tflite.recurrent_layers import unrolled

SIGNATURE = "serving_default"


def export(model: keras.Model, input_shape=None) -> tuple[bytes, Marks]:
    """Convert a model with TensorFlow, the binary layers as marks.

    Args:
        model: A built model, on the TensorFlow backend.
        input_shape: As for `symbolic_inputs`.

    Returns:
        A `.tflite` file with custom operations in it, and what they stand for.

    Raises:
        ValueError: The shape of the inputs is malformed, or not known.
        ConversionError: TensorFlow's converter refuses the model.
    """
    with marked_calls(model) as marks, converter_of(model, input_shape) as converter:
        converter.allow_custom_ops = True
        return converter.convert(), marks


@contextlib.contextmanager
def converter_of(model: keras.Model, input_shape=None) -> Iterator[Any]:
    """Trace a model and prepare TensorFlow's converter, without what they print.

    Args:
        model: A built model, on the TensorFlow backend.
        input_shape: As for `symbolic_inputs`.

    Yields:
        A `tf.lite.TFLiteConverter`, which can be used inside.

    Raises:
        ValueError: The shape of the inputs is malformed, or not known.
        ConversionError: Inside, TensorFlow's converter has refused the model.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert_phase import ConverterError

    args, kwargs, _ = symbolic_inputs(model, input_shape)
    tensors = keras.tree.flatten((args, kwargs))
    specs = [
        tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=name)
        for tensor, name in zip(tensors, input_names(model, tensors), strict=True)
    ]

    def serve(*flat):
        called_with = keras.tree.pack_sequence_as((args, kwargs), list(flat))
        outputs = model(*called_with[0], **called_with[1], training=False)
        return named_outputs(model, outputs)

    refusal = None
    with tempfile.TemporaryDirectory() as folder, held_back_errors():
        archive = keras.export.ExportArchive()
        archive.track(model)
        with unrolled(model):
            archive.add_endpoint(SIGNATURE, serve, input_signature=specs)
            archive.write_out(folder, verbose=False)
        try:
            yield tf.lite.TFLiteConverter.from_saved_model(
                folder, signature_keys=[SIGNATURE]
            )
        except ConverterError as error:
            # Its pages on the standard error stay held back.
            refusal = error
    if refusal is not None:
        raise ConversionError(
            f"TensorFlow's converter refuses model '{model.name}': {_reason(refusal)}. "
            "No file was written. Replace the layer that needs it by one of Keras' own."
        ) from refusal


def _reason(error):
    """Return what is wrong, of the pages that the converter writes."""
    lines = str(error).splitlines() or [type(error).__name__]
    # What comes before names the place in the graph, in brackets within brackets.
    return lines[0].rpartition("): ")[2].removesuffix(".")


def input_names(model: keras.Model, tensors) -> list[str]:
    """Return a name for each input of a model.

    Args:
        model: The model.
        tensors: Its inputs, in order.

    Returns:
        The names that the user has given to the inputs; else `input_0`, `input_1`, ...
    """
    names = [tensor.name for tensor in getattr(model, "inputs", None) or []]
    # Keras numbers the names that nobody gave, anew in each process.
    is_given = not any(
        re.fullmatch(r"(keras_tensor|input_layer)(_\d+)?", name) for name in names
    )
    if is_given and len(set(names)) == len(tensors):
        return names
    return [f"input_{i}" for i in range(len(tensors))]


def named_outputs(model: keras.Model, outputs) -> dict:
    """Return the outputs of a model by name.

    Args:
        model: The model.
        outputs: What a call of it has returned.

    Returns:
        Dict from names to tensors, in order.
    """
    if isinstance(outputs, dict) and all(hasattr(v, "shape") for v in outputs.values()):
        return dict(outputs)
    flat = keras.tree.flatten(outputs)
    names = list(getattr(model, "output_names", None) or [])
    if len(set(names)) != len(flat):
        names = [f"output_{i}" for i in range(len(flat))]
    return dict(zip(names, flat, strict=True))

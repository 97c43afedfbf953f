"""From a Keras model to a SavedModel that Larq Compute Engine converts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from kerasbnn._saved_models import held_back_errors
from kerasbnn._written_folders import written_whole
from kerasbnn.models.input_shapes import symbolic_inputs
from kerasbnn.models.layer_paths import named_layers
from kerasbnn.tflite.compute_engine.comparison import compare
from kerasbnn.tflite.compute_engine.graphs import Frozen, frozen
from kerasbnn.tflite.compute_engine.layers import exported_layers
from kerasbnn.tflite.compute_engine.lowering import Lowering, lowered_calls
from kerasbnn.tflite.compute_engine.signs import BeforeSign
from kerasbnn.tflite.errors import ConversionError
from kerasbnn.tflite.finite_weights import check_finite
from kerasbnn.tflite.recurrent_layers import unrolled
from kerasbnn.tflite.report import ConversionReport
from kerasbnn.tflite.tensorflow_export import SIGNATURE, input_names, named_outputs
from kerasbnn.tflite.verification import check_samples, default_samples

# What TensorFlow writes into the folder of a model.
CONTENTS = {"saved_model.pb", "fingerprint.pb", "variables", "assets"}


@dataclass(frozen=True, eq=False)
class Exported:
    """A traced model.

    Attributes:
        names: Names of the inputs.
        specs: A `tf.TensorSpec` for each.
        outputs: Names of the outputs.
        graph: From the inputs to the outputs, and then what decides on the signs.
        lowering: What became of the layers.
    """

    names: list[str]
    specs: list[Any]
    outputs: list[str]
    graph: Frozen
    lowering: Lowering

    @property
    def decided(self) -> list[tuple[str, BeforeSign]]:
        """What decides on the signs, in order."""
        return self.lowering.signs.decided


def check_replaceable(folder: Path):
    """Check that nothing but another such model is lost where a folder is written.

    Args:
        folder: The folder.

    Raises:
        FileExistsError: Something else is there.
        FileNotFoundError: There is no folder to write it into.
    """
    if not folder.parent.is_dir():
        raise FileNotFoundError(
            f"Cannot write '{folder}': there is no folder '{folder.parent}'. Make it, "
            "or name another."
        )
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise FileExistsError(
            f"'{folder}' is a file or a link, but a SavedModel is a folder. Name "
            "another one."
        )
    if folder.is_dir():
        others = sorted({path.name for path in folder.iterdir()} - CONTENTS)
        if others:
            raise FileExistsError(
                f"'{folder}' holds what is not part of a SavedModel: "
                f"{', '.join(others[:5])}. Name another folder."
            )


def convert_for_compute_engine(
    model: keras.Model,
    path: Path,
    sample_inputs,
    input_shape=None,
    verify_samples: bool = True,
) -> ConversionReport:
    """Write a model as a SavedModel for Larq Compute Engine.

    Args:
        model: A built model, on the TensorFlow backend.
        path: The folder; a SavedModel that is there is replaced.
        sample_inputs: As for `kerasbnn.convert`.
        input_shape: The same.
        verify_samples: The same.

    Returns:
        What became of each layer.

    Raises:
        FileExistsError: Something else is in the place of the folder.
        FileNotFoundError: There is no folder to write it into.
        ConversionError: The SavedModel would differ from Keras, or Larq Compute Engine
            would make something else of it.
        ValueError: An argument is not usable.
    """
    check_replaceable(path)
    samples = check_samples(model, sample_inputs, input_shape)
    check_finite(model)
    _check_precision(model)
    exported = export(model, input_shape)
    checked = None
    with written_whole(path, lambda: check_replaceable(path)) as folder:
        write(exported, folder)
        if verify_samples:
            if samples is None:
                samples = default_samples(model, input_shape)
            checked = compare(model, exported, folder, samples, input_shape)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return ConversionReport(
        model=model.name,
        path=str(path),
        bytes=size,
        float32_bytes=4 * model.count_params(),
        layers=exported_layers(
            model,
            exported.lowering,
            exported.graph.first_outputs(len(exported.outputs)),
        ),
        verification=checked,
        format="larq",
    )


def export(model: keras.Model, input_shape=None) -> Exported:
    """Trace a model, layer by layer in forms for Larq Compute Engine.

    Args:
        model: A built model, on the TensorFlow backend.
        input_shape: As for `symbolic_inputs`.

    Returns:
        The traced model.
    """
    import tensorflow as tf

    args, kwargs, _ = symbolic_inputs(model, input_shape)
    tensors = keras.tree.flatten((args, kwargs))
    names = input_names(model, tensors)
    specs = [
        tf.TensorSpec((None, *tensor.shape[1:]), tensor.dtype, name=name)
        for tensor, name in zip(tensors, names, strict=True)
    ]
    found: list[str] = []

    def trace(apart):
        with unrolled(model), lowered_calls(model, apart) as lowering:

            def serve(*flat):
                inputs = keras.tree.pack_sequence_as((args, kwargs), list(flat))
                outputs = model(*inputs[0], **inputs[1], training=False)
                outputs = named_outputs(model, outputs)
                found[:] = list(outputs)
                decided = [before.values for _, before in lowering.signs.decided]
                return [tf.identity(x) for x in (*outputs.values(), *decided)]

            function = tf.function(serve, autograph=False)
            return function.get_concrete_function(*specs), lowering

    with held_back_errors():
        # What a sign depends on is known only at the end of a trace.
        _, lowering = trace(frozenset())
        traced, lowering = trace(lowering.signs.needed_apart())
        graph = frozen(traced)
    return Exported(names, specs, found, graph, lowering)


def write(exported: Exported, folder: Path):
    """Write a SavedModel.

    Args:
        exported: The traced model.
        folder: An empty folder.
    """
    import tensorflow as tf

    graph = exported.graph.first_outputs(len(exported.outputs))

    def serve(**inputs):
        tensors = [inputs[name] for name in exported.names]
        return dict(zip(exported.outputs, graph(*tensors), strict=True))

    specs = dict(zip(exported.names, exported.specs, strict=True))
    function = tf.function(serve, autograph=False).get_concrete_function(**specs)
    with held_back_errors():
        tf.saved_model.save(tf.Module(), str(folder), signatures={SIGNATURE: function})


def _check_precision(model):
    for path, layer in named_layers(model):
        if layer.compute_dtype in ("float16", "bfloat16") and layer.weights:
            raise ConversionError(
                f"Layer '{path}' computes in {layer.compute_dtype}, but Larq Compute "
                "Engine in float32. No file was written. Build the model anew under "
                "keras.config.set_dtype_policy('float32') and set its weights.",
                path,
            )

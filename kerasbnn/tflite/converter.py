"""`convert`: from a Keras model to a compact .tflite file, or to one for Larq."""

import contextlib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from kerasbnn.geometry.files import writable_path, write_bytes
from kerasbnn.models.input_shapes import build
from kerasbnn.models.layer_paths import checked_model
from kerasbnn.runtime.composites import METADATA
from kerasbnn.tflite.compute_engine import (
    check_replaceable,
    convert_for_compute_engine,
)
from kerasbnn.tflite.converted_layers import converted_layers
from kerasbnn.tflite.finishing import (
    check_operations,
    finished,
    input_and_output_shapes,
)
from kerasbnn.tflite.finite_weights import check_finite
from kerasbnn.tflite.fusion import fuse
from kerasbnn.tflite.graph import Graph
from kerasbnn.tflite.levels import lower_levels
from kerasbnn.tflite.metadata import encode, make_metadata
from kerasbnn.tflite.other_backends import run_in_tensorflow
from kerasbnn.tflite.report import ConversionReport
from kerasbnn.tflite.tensorflow_export import export
from kerasbnn.tflite.verification import (
    check_are_arrays,
    check_samples,
    default_samples,
    verify,
)

DECOMPOSITIONS = ("int8", "float")
FORMATS = ("tflite", "larq")


def convert(
    model: keras.Model,
    path: str | Path,
    *,
    input_shape=None,
    sample_inputs=None,
    verify_samples: bool = True,
    name: str | None = None,
    version: str | None = None,
    labels: Sequence[str] | None = None,
    normalization: Mapping[str, Any] | None = None,
    decomposition: str = "int8",
    format: str = "tflite",
) -> ConversionReport:
    """Convert a model to a `.tflite` file with packed binary weights.

    A binary weight takes one bit, a ternary one two, and one with the levels of an
    8-bit quantizer of `kerasbnn.tfmot` eight. Any LiteRT interpreter runs the
    file; `kerasbnn.Interpreter` runs it fast. Dense layers and convolutions with binary
    or ternary kernels are packed, with what follows them; batch normalization and sign
    become exact thresholds, and between binary layers activations are bits. All other
    layers are converted by TensorFlow. The signs that the file decides on are those of
    Keras on TensorFlow; outputs agree within float rounding.

    The file is compared with Keras before it is written, without the delegate and with
    it. The same model gives the same bytes.

    With `format="larq"` a SavedModel is written instead, of which Larq Compute Engine
    makes a file of its own with the same signs and outputs.

    Args:
        model: A trained Keras model, of any kind and on any backend; on JAX or PyTorch
            TensorFlow converts a saved copy in a process of its own.
        path: Where to write the file, or with `format="larq"` the folder; one of the
            same kind that is there is replaced.
        input_shape: Shape of one sample without the batch axis, such as `(32, 32, 3)`;
            only needed where the model does not know it, or leaves a size open.
        sample_inputs: Inputs to compare with Keras on, as `model.predict` takes them;
            None for 4 samples of random multiples of 1/256 between -1 and 1.
        verify_samples: Whether to compare at all.
        name: Name of the model in the file; by default that of `model`.
        version: Version of the model in the file, any text.
        labels: A name for each value of the model's only output, in the file.
        normalization: How raw inputs become those of the model, in the file: a dict
            with `"mean"` and `"std"`, for `(raw - mean) / std`; each a number, or a
            list with one for each channel, the last axis of the inputs.
        decomposition: What interpreters without the delegate multiply binary layers
            in: `"int8"`, or `"float"`, several times slower. Both are exact in LiteRT;
            `"float"` also where an interpreter does not scale signs to whole numbers.
        format: `"tflite"`, or `"larq"` for the SavedModel, which has no place for
            `name`, `version`, `labels`, `normalization` and `decomposition`.

    Returns:
        What became of each layer, in bytes and bits.

    Raises:
        TypeError: `model` is not a Keras model, or another argument is of a wrong type.
        ValueError: An argument is not usable.
        ConversionError: The file would differ from Keras; it names the layer.
        FileNotFoundError: There is no such folder.
        FileExistsError: A SavedModel would replace something else.

    Example:
        >>> import keras
        >>> import kerasbnn
        >>> binary = {
        ...     "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip",
        ...     "use_bias": False,
        ... }
        >>> model = keras.Sequential([
        ...     keras.Input((64,)),
        ...     kerasbnn.QuantDense(256, **binary),
        ...     keras.layers.BatchNormalization(),
        ...     kerasbnn.QuantDense(10, input_quantizer="ste_sign", **binary),
        ... ])
        >>> report = kerasbnn.convert(model, "model.tflite")
        >>> report["quant_dense_1"].bytes < report["quant_dense_1"].float32_bytes / 20
        True

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830, section 1.3,
        for the dot product of bits.
    """
    checked_model(model)
    if format not in FORMATS:
        raise ValueError(f"`format` must be one of {FORMATS}. Received: {format!r}.")
    if decomposition not in DECOMPOSITIONS:
        raise ValueError(
            f"`decomposition` must be one of {DECOMPOSITIONS}. Received: "
            f"{decomposition!r}."
        )
    only_tflite = {
        "name": name,
        "version": version,
        "labels": labels,
        "normalization": normalization,
        "decomposition": decomposition,
    }
    options = {"input_shape": input_shape, "verify_samples": verify_samples}
    if format == "larq":
        _check_not_given(only_tflite)
        options["format"] = format
        path = Path(path)
        check_replaceable(path)
    else:
        options |= only_tflite
        path = writable_path(path)
    check_are_arrays(sample_inputs)
    build(model, input_shape)
    if keras.backend.backend() != "tensorflow":
        values = run_in_tensorflow(
            f"{__name__}:convert", model, path, sample_inputs, options
        )
        return ConversionReport.from_dict(values)
    with _without_notes_on_arrays():
        if format == "larq":
            return convert_for_compute_engine(
                model, path, sample_inputs, input_shape, verify_samples
            )
        return _converted(model, path, sample_inputs, **options)


def _converted(
    model,
    path,
    sample_inputs,
    *,
    input_shape,
    verify_samples,
    name,
    version,
    labels,
    normalization,
    decomposition,
):
    samples = check_samples(model, sample_inputs, input_shape)
    check_finite(model)
    blob, marks = export(model, input_shape)
    graph = Graph(blob)
    stored = lower_levels(graph, marks)
    placed = fuse(graph, marks, decomposition)
    check_operations(graph)
    metadata = make_metadata(
        name or model.name,
        version,
        labels,
        normalization,
        *input_and_output_shapes(graph),
    )
    graph.set_metadata(METADATA, encode(metadata))
    content = finished(graph, placed)
    checked = None
    if verify_samples:
        if samples is None:
            samples = default_samples(model, input_shape)
        main = [p for p in placed if p.subgraph is graph.subgraphs[0]]
        checked = verify(model, content, main, samples, input_shape, bool(placed))
    write_bytes(content, path)
    return ConversionReport(
        model=model.name,
        path=str(path),
        bytes=len(content),
        float32_bytes=4 * model.count_params(),
        layers=converted_layers(model, marks, placed, stored),
        verification=checked,
    )


def _check_not_given(only_tflite):
    """Check that nothing is given that a SavedModel has no place for."""
    defaults = {"decomposition": "int8"}
    for name, value in only_tflite.items():
        if value != defaults.get(name):
            raise ValueError(
                f"`{name}` is for .tflite files; a SavedModel for Larq Compute Engine "
                "has no place for it. Leave it out, or use format='tflite'."
            )


@contextlib.contextmanager
def _without_notes_on_arrays():
    """Silence what numpy 2 says of each variable that Keras on TensorFlow reads."""
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore",
            "__array__ implementation doesn't accept a copy keyword",
            DeprecationWarning,
        )
        yield

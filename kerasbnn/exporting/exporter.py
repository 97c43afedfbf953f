"""`export`: from a Keras model to the folder that a service loads."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from kerasbnn._checks import checked_count
from kerasbnn.auditing import audit
from kerasbnn.exporting.folders import (
    GEOMETRY,
    LABELS,
    MODEL,
    PROBE,
    check_replaceable,
    name_and_version,
    written_whole,
)
from kerasbnn.exporting.report import ExportReport
from kerasbnn.exporting.samples import Samples, collect_samples
from kerasbnn.geometry.files import write_text
from kerasbnn.models.input_shapes import build
from kerasbnn.models.layer_paths import checked_model
from kerasbnn.probing import Probe, Reference
from kerasbnn.tflite import convert, probe


def export(
    model: keras.Model,
    folder: str | Path,
    data,
    *,
    labels: Sequence[str] | None = None,
    normalization: Mapping[str, Any] | None = None,
    name: str | None = None,
    version: str | None = None,
    input_shape=None,
    max_samples: int = 1024,
    verify_samples: bool = True,
    overwrite: bool = False,
    verbose: int | str = "auto",
) -> ExportReport:
    """Write all that a service needs of a model into one folder.

    These files are written, all of them or none:

    - `model.tflite`: the model with packed binary weights, from `kerasbnn.convert`;
    - `model.probe.tflite`: what measures the geometry of its layers on live inputs,
      from `kerasbnn.tflite.probe`;
    - `geometry.json`: what `kerasbnn.audit` finds on `data`, as
      `GeometryReport.to_json` writes it, and with the key `"reference"` what the probe
      measures on it, `kerasbnn.probing.Reference`, to compare live inputs with;
    - `labels.txt`: the labels, where there are any.

    `kerasbnn serve MODEL_DIR` serves all models of a folder.

    Args:
        model: A trained Keras model, of any kind and on any backend, as for `convert`.
        folder: `MODEL_DIR/NAME/VERSION`; NAME and VERSION are those of the model in the
            service, such as `models/digits/1`. Folders that are not there are made.
        data: Inputs as in training, which live ones are compared with, in any form that
            `kerasbnn.audit` takes; at least 64 samples. A few of them also serve to
            compare the files with Keras.
        labels: A name for each value of the model's only output.
        normalization: How raw inputs become those of the model: a dict with `"mean"`
            and `"std"`, as for `convert`. The service needs it to take images.
        name: Name of the model in the files; by default NAME.
        version: Its version in the files; by default VERSION.
        input_shape: Shape of one sample without the batch axis, such as `(32, 32, 3)`;
            only needed where the model does not know it, or leaves a size open.
        max_samples: Number of samples of `data` to use, from its start; at least 64.
        verify_samples: Whether to compare the files with Keras before they are there.
        overwrite: Whether to replace a model that is in the folder already.
        verbose: 0 for silence, `"auto"` or 1 for a progress bar.

    Returns:
        What was written, with the reports of the steps.

    Raises:
        TypeError: `model` is not a Keras model, or another argument is of a wrong type.
        ValueError: An argument is not usable, the data has no samples of the model or
            values that are NaN or infinite, or no layer can be measured.
        ConversionError: A file would differ from Keras; it names the layer.
        FileExistsError: The folder holds a model already, or something else.
        OSError: The folder cannot be written.

    Example:
        >>> import keras, numpy as np
        >>> import kerasbnn
        >>> binary = {
        ...     "kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip",
        ...     "use_bias": False,
        ... }
        >>> model = keras.Sequential([
        ...     keras.Input((64,)),
        ...     kerasbnn.QuantDense(32, **binary),
        ...     keras.layers.BatchNormalization(),
        ...     kerasbnn.QuantDense(3, input_quantizer="ste_sign", **binary),
        ... ])
        >>> x = np.random.default_rng(0).normal(size=(200, 64))
        >>> report = kerasbnn.export(
        ...     model, "models/zoo/1", x, labels=["ape", "bee", "cat"], verbose=0
        ... )
        >>> list(report.files)
        ['model.tflite', 'model.probe.tflite', 'geometry.json', 'labels.txt']

    Reference:
        Anderson & Berg, arXiv 1705.07199, for the geometry.
    """
    checked_model(model)
    folder = Path(folder)
    folder_name, folder_version = name_and_version(folder)
    check_replaceable(folder, overwrite)
    _check_labels(labels)
    max_samples = checked_count("max_samples", max_samples)
    build(model, input_shape)
    samples = collect_samples(model, data, max_samples, input_shape)
    options = {
        "name": folder_name if name is None else name,
        "input_shape": input_shape,
        "sample_inputs": samples.to_verify if verify_samples else None,
        "verify_samples": verify_samples,
    }
    version = folder_version if version is None else version
    with written_whole(folder, overwrite) as new:
        conversion = convert(
            model,
            new / MODEL,
            version=version,
            labels=labels,
            normalization=normalization,
            **options,
        )
        probed = probe(model, new / PROBE, **options)
        geometry = replace(
            audit(model, samples.nested, max_samples=max_samples, verbose=verbose),
            model=options["name"],
        )
        contents = {
            **geometry.to_dict(histograms=False),
            "reference": _reference(new / PROBE, samples).to_dict(),
        }
        write_text(json.dumps(contents, allow_nan=False) + "\n", new / GEOMETRY)
        if labels is not None:
            write_text("\n".join(labels) + "\n", new / LABELS)
        names = (MODEL, PROBE, GEOMETRY, LABELS)
        files = [new / name for name in names if (new / name).exists()]
        sizes = {file.name: file.stat().st_size for file in files}
    return ExportReport(
        folder=str(folder),
        name=options["name"],
        version=version,
        conversion=replace(conversion, path=str(folder / MODEL)),
        probe=replace(probed, path=str(folder / PROBE)),
        geometry=geometry,
        files=sizes,
    )


def _reference(path: Path, samples: Samples) -> Reference:
    """Measure with a probe what live inputs are compared with."""
    with Probe(path) as file:
        # The converter drops inputs that nothing needs.
        return Reference.measure(file, {x: samples.named[x] for x in file.inputs})


def _check_labels(labels):
    """Check that each label is a line of a text; `convert` checks all else."""
    for label in labels or ():
        if isinstance(label, str) and not _is_line(label):
            raise ValueError(
                f"`labels` must be names of one line of text each. Received: {label!r}."
            )


def _is_line(text):
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return text.splitlines() == [text]

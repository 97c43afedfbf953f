"""`probe`: from a Keras model to a file that measures the geometry of its layers."""

from pathlib import Path

import keras

from kerasbnn import quantizers
from kerasbnn.auditing import audit
from kerasbnn.auditing.kernels import AuditedKernel, find_kernels
from kerasbnn.geometry.files import writable_path, write_bytes
from kerasbnn.models.layer_paths import checked_model, named_layers
from kerasbnn.probing.description import METADATA_KEY, ProbeDescription
from kerasbnn.runtime.composites import METADATA
from kerasbnn.tflite.finishing import check_operations, finished
from kerasbnn.tflite.graph import Graph
from kerasbnn.tflite.metadata import encode, make_metadata
from kerasbnn.tflite.other_backends import run_in_tensorflow
from kerasbnn.tflite.probes.building import ProbeBuilder
from kerasbnn.tflite.probes.marking import marked_calls
from kerasbnn.tflite.probes.products import FilterLayout, lay_out
from kerasbnn.tflite.probes.report import ProbedKernel, ProbeReport
from kerasbnn.tflite.probes.verification import verify
from kerasbnn.tflite.tensorflow_export import converter_of
from kerasbnn.tflite.verification import check_samples, default_samples

# Of inputs that nobody has given.
SAMPLES_TO_VERIFY = 16


def probe(
    model: keras.Model,
    path: str | Path,
    *,
    input_shape=None,
    sample_inputs=None,
    verify_samples: bool = True,
    name: str | None = None,
    quantizer="ste_sign",
) -> ProbeReport:
    """Write a `.tflite` file that measures the geometry of a model's layers.

    Any LiteRT interpreter runs the file, without Keras and TensorFlow: it has built-in
    operations only. `kerasbnn.probing.Probe` runs it on batches of inputs and adds up
    what it yields to the figures of `kerasbnn.audit`, in the same report. Each kernel
    is in the file once, as continuous weights; what depends on the weights alone is
    computed here and stored.

    The file holds the continuous weights, so it is as large as these; ship it beside
    the model only where diagnostics are wanted. The same model gives the same bytes.

    Args:
        model: A built Keras model, of any kind and on any backend; on JAX or PyTorch
            TensorFlow converts a saved copy in a process of its own.
        path: Where to write the file.
        input_shape: Shape of one sample without the batch axis, such as `(32, 32, 3)`;
            only needed where the model does not know it, or leaves a size open.
        sample_inputs: Inputs to compare with `kerasbnn.audit` on, as `model.predict`
            takes them; None for 16 samples of random multiples of 1/256 between -1
            and 1.
        verify_samples: Whether to compare at all.
        name: Name of the model in the file; by default that of `model`.
        quantizer: Quantizer that layers without one are measured with: a name, a class
            or an instance.

    Returns:
        What the file measures, and what not and why.

    Raises:
        TypeError: `model` is not a Keras model, or another argument is of a wrong type.
        ValueError: An argument is not usable, or no layer can be measured.
        ConversionError: The file would measure something else; it names the layer.
        FileNotFoundError: There is no such folder.

    Example:
        >>> import keras, numpy as np
        >>> import kerasbnn
        >>> from kerasbnn.probing import Probe
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8)])
        >>> report = kerasbnn.tflite.probe(model, "model.probe.tflite")
        >>> x = np.random.default_rng(0).normal(size=(200, 64)).astype("float32")
        >>> found = Probe("model.probe.tflite").measure(x).report()
        >>> expected = kerasbnn.audit(model, x, verbose=0)
        >>> r = [layers["dense"].products.pooled for layers in (found, expected)]
        >>> abs(r[0] - r[1]) < 1e-6
        True

    Reference:
        Anderson & Berg, arXiv 1705.07199.
    """
    checked_model(model)
    path = writable_path(path)
    if keras.backend.backend() != "tensorflow":
        options = {
            "input_shape": input_shape,
            "verify_samples": verify_samples,
            "name": name,
            "quantizer": quantizers.serialize(quantizers.get(quantizer)),
        }
        task = f"{__name__}:probe"
        values = run_in_tensorflow(task, model, path, sample_inputs, options)
        return ProbeReport.from_dict(values)
    samples = check_samples(model, sample_inputs, input_shape)
    content, description, layouts = _built(
        model, input_shape, quantizer, name or model.name
    )
    if verify_samples:
        if samples is None:
            samples = default_samples(model, input_shape, SAMPLES_TO_VERIFY)
        verify(model, content, samples, input_shape, quantizer)
    write_bytes(content, path)
    return ProbeReport(
        model=description.model,
        path=str(path),
        bytes=len(content),
        float32_bytes=4 * model.count_params(),
        layers=tuple(_probed(kernel, layouts) for kernel in description.kernels),
        skipped=description.skipped,
    )


def _built(
    model, input_shape, quantizer, name
) -> tuple[bytes, ProbeDescription, dict[str, FilterLayout]]:
    kernels, skipped = find_kernels(model, quantizer=quantizer)
    layouts, unfit = _laid_out(kernels)
    skipped |= unfit
    chosen = [kernel for kernel in kernels if kernel.name in layouts]
    _check_any(model, chosen, skipped)
    with marked_calls(chosen) as marks:
        with converter_of(model, input_shape) as converter:
            converter.allow_custom_ops = True
            graph = Graph(converter.convert())
    paths = {id(layer): path for path, layer in named_layers(model)}
    builder = ProbeBuilder(graph, marks, layouts, paths)
    check_operations(graph)
    constants = audit(model, quantizer=quantizer, verbose=0)
    description = builder.description(name, constants, skipped)
    _check_any(model, description.kernels, description.skipped)
    metadata = make_metadata(name, None, None, None, [], [])
    metadata[METADATA_KEY] = description.to_dict()
    graph.set_metadata(METADATA, encode(metadata))
    return finished(graph, []), description, layouts


def _laid_out(kernels: list[AuditedKernel]):
    """Return the layouts of kernels that can be measured, and why others cannot."""
    layouts: dict[str, FilterLayout] = {}
    reasons: dict[str, str] = {}
    for kernel in kernels:
        layout = lay_out(kernel)
        if isinstance(layout, str):
            reasons[kernel.name] = layout
        else:
            layouts[kernel.name] = layout
    unfit = {kernel.path for kernel in kernels if kernel.name in reasons}
    for kernel in kernels:
        if kernel.path in unfit and layouts.pop(kernel.name, None):
            reasons[kernel.name] = "the other kernel of its layer cannot be measured"
    return layouts, reasons


def _check_any(model, found, skipped):
    if not found:
        why = "; ".join(f"'{path}': {reason}" for path, reason in skipped.items())
        raise ValueError(
            f"Model '{model.name}' has no dense layer or convolution that a probe can "
            "measure." + (f" Skipped: {why}." if why else "")
        )


def _probed(kernel, layouts):
    geometry = kernel.geometry
    return ProbedKernel(
        geometry.name,
        geometry.type,
        geometry.fan_in,
        geometry.filters,
        len(layouts[geometry.name].staircase.values),
        len(kernel.calls),
    )

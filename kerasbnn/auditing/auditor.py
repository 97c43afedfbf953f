"""`audit`: from a Keras model and some data to a `GeometryReport`."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np

from kerasbnn._version import __version__
from kerasbnn.auditing.assembly import assemble
from kerasbnn.auditing.kernels import find_kernels
from kerasbnn.auditing.measurement import Sampling
from kerasbnn.auditing.passes import Passes
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.geometry.verdicts import Thresholds
from kerasbnn.models.batches import Batches
from kerasbnn.models.layer_paths import checked_model, named_layers
from kerasbnn.tfmot.carrying_over import from_tfmot
from kerasbnn.tfmot.tf_keras_graphs import is_tf_keras_model

MOST_PATCHES = 4096

# For each sample; 500 samples give correlations of filters within 0.01.
PERMUTED_WINDOWS = 8


def audit(
    model: keras.Model,
    data=None,
    layers: Sequence[str] | None = None,
    max_samples: int | None = 512,
    *,
    batch_size: int = 50,
    quantizer="ste_sign",
    max_patches: int = 512,
    start: Mapping[str, np.ndarray] | None = None,
    thresholds: Thresholds | None = None,
    seed: int = 0,
    verbose: int | str = "auto",
) -> GeometryReport:
    """Measure, layer by layer, whether binarization preserves what a model computes.

    Every dense layer and convolution is measured, with quantized weights or without. A
    layer with a quantizer is measured as it is; a float layer as if it had `quantizer`,
    so that one knows before any training which layers can be made binary. For each, the
    dot products of its inputs with the quantized weights are compared with those with
    the continuous weights behind them.

    The model runs as in inference, batch by batch; what is kept does not grow with the
    number of samples. Nothing about the model changes.

    Args:
        model: A built Keras model, of any kind: layers are intercepted as they are
            called, so nested, shared and subclassed ones are found. Or a model of
            tf_keras, as TFMOT has quantized it, for which `tfmot.from_tfmot` holds.
        data: Inputs, as `model.predict` takes them: an array, a list or dict of arrays,
            a `tf.data.Dataset`, a `keras.utils.PyDataset`, or a generator of batches.
            In tuples `(x, y)` only `x` is used. None looks at the weights alone.
        layers: Paths of the layers to audit, as `models.summary` shows them; None for
            all.
        max_samples: Number of samples to use, from the start of the data; None for all.
        batch_size: Largest number of samples per batch, for arrays.
        quantizer: Quantizer that layers without one are measured with: a name, a class
            or an instance.
        max_patches: Number of windows of the inputs to keep of each layer, with their
            products: for the spectrum, the thresholds, the effect of quantizing the
            inputs, and the histograms. From 16 to 4096.
        start: Quantized weights when training began, as `models.quantized_weights`
            returned them then; tells how many have changed.
        thresholds: Where the verdicts have their limits.
        seed: Of the windows that are kept and of the permutation.
        verbose: 0 for silence, `"auto"` or 1 for a progress bar.

    Returns:
        `GeometryReport`, with one entry per kernel in the order of the calls.

    Raises:
        TypeError: `model` or `data` is of the wrong kind.
        ValueError: A layer is unknown or there is none to audit, an argument is out of
            range, or the data has values that are NaN or infinite.

    Example:
        >>> import keras, numpy as np
        >>> import kerasbnn
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8)])
        >>> x = np.random.default_rng(0).normal(size=(200, 64))
        >>> report = kerasbnn.audit(model, x, verbose=0)
        >>> round(report.layers[0].angles.mean)  # a uniform initialization
        30

    Reference:
        Anderson & Berg, arXiv 1705.07199.
    """
    if is_tf_keras_model(model):
        model = from_tfmot(model)
    checked_model(model)
    for name, value, low, high in (
        ("max_samples", max_samples, 1, None),
        ("max_patches", max_patches, 16, MOST_PATCHES),
        ("seed", -1 if seed is None else seed, 0, None),
    ):
        _check_count(name, value, low, high)
    kernels, skipped = find_kernels(model, layers, quantizer)
    if thresholds is not None and not isinstance(thresholds, Thresholds):
        raise TypeError(
            "`thresholds` must be a kerasbnn.geometry.Thresholds, such as "
            f"Thresholds(preserved=0.9). Received: {thresholds!r}."
        )
    if not kernels:
        why = "; ".join(f"'{path}': {reason}" for path, reason in skipped.items())
        where = "" if layers is None else f" among the layers {layers}"
        raise ValueError(
            f"Model '{model.name}' has no dense layer or convolution to audit{where}."
            + (f" Skipped: {why}." if why else "")
        )
    known = [f"{kernel.path}/{kernel.operation.kernel}" for kernel in kernels]
    if start and not set(start) & set(known):
        raise ValueError(
            f"`start` has none of the kernels that are audited, {', '.join(known)}. "
            f"Received: {', '.join(start)}. Pass what models.quantized_weights has "
            "returned for this model."
        )
    passes = Passes(model, kernels, Sampling(max_patches, PERMUTED_WINDOWS, seed))
    if data is not None:
        # A batch has one sample at least, so data without end has an end here.
        passes.run(Batches(data, batch_size, steps=max_samples), max_samples, verbose)
        if not passes.samples:
            raise ValueError(
                "`data` has no samples. Pass inputs of the model, or None."
            )
    thresholds = thresholds or Thresholds()
    settings = {
        "layers": None if layers is None else list(layers),
        "max_samples": max_samples,
        "batch_size": batch_size,
        "quantizer": getattr(quantizer, "name", str(quantizer)),
        "max_patches": max_patches,
        "seed": seed,
        "thresholds": vars(thresholds),
    }
    return GeometryReport(
        model=model.name,
        layers=tuple(
            assemble(
                kernel,
                passes.measurements[kernel.name],
                passes.normalization_of(kernel),
                paths=dict((id(layer), path) for path, layer in named_layers(model)),
                calls=passes.calls.get(kernel.path, 0),
                is_first=layers is None and passes.first == kernel.path,
                has_data=data is not None,
                start=(start or {}).get(f"{kernel.path}/{kernel.operation.kernel}"),
                thresholds=thresholds,
            )
            for kernel in passes.in_order()
        ),
        samples=passes.samples,
        backend=keras.backend.backend(),
        version=__version__,
        settings=settings,
        skipped=skipped,
    )


def _check_count(name, value, low, high):
    if value is None:
        return
    is_int = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not is_int or value < low or (high is not None and value > high):
        limits = f"from {low} to {high}" if high else f"from {low} on"
        raise ValueError(f"`{name}` must be an int {limits}. Received: {value!r}.")

"""The swap test: how a model does with continuous weights for binary ones, and back."""

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from kerasbnn._checks import suggestion
from kerasbnn.models.batch_normalization import refit_batchnorm
from kerasbnn.models.layer_paths import checked_model, named_layers
from kerasbnn.models.normalization_passes import Progress, without_gradients
from kerasbnn.models.swap_scores import (
    LabelledBatches,
    Scores,
    label_classes,
    output_array,
    predicted_classes,
)
from kerasbnn.models.swap_table import SwapReport, SwapRow
from kerasbnn.models.swappable_kernels import (
    checked_paths,
    chosen_layers,
    swappable_layers,
)
from kerasbnn.models.weight_swap import (
    assigned,
    binarized_scope,
    checked_quantizer,
    continuous_scope,
    copied,
)

_DIRECTIONS = ("auto", "continuous", "binary")


def swap_test(
    model: keras.Model,
    x,
    y=None,
    layers: Sequence[str] | None = None,
    *,
    refit_data=None,
    batch_size: int = 256,
    steps: int | None = None,
    direction: str = "auto",
    quantizer: Any = "ste_sign",
    threshold: float | None = None,
    one_at_a_time: bool = True,
    verbose: str | int = "auto",
) -> SwapReport:
    """Swap the weights of layers and see whether the model still decides the same.

    In a trained binary network, the continuous weights behind the binary ones should do
    the same work: the geometry says that they point in nearly the same direction. Where
    a layer's swap changes the decisions, its binarization loses something. For a float
    network the same test, in the direction `"binary"`, tells which layers can be made
    binary. Only weights are swapped, not the quantizers of the inputs.

    Swapped weights have another scale, which the statistics of BatchNormalization do
    not fit, so each swap is tested as it is and with `models.refit_batchnorm`. What
    counts is the refitted one.

    The model runs eagerly and in inference mode. Each batch is read once for all swaps,
    so memory does not grow with the number of samples. Nothing about the model changes:
    all weights, statistics and quantizers come back bit for bit, also after an
    exception.

    Args:
        model: A built Keras model with one output, whose last axis is the classes.
        x: Inputs, as `model.predict` takes them: an array, a list or dict of arrays, a
            `tf.data.Dataset` or a `keras.utils.PyDataset`, but no generator. Tuples
            `(x, y)` or `(x, y, sample_weight)` bring the labels along; sample weights
            are not used.
        y: Labels: integers of shape `(samples,)` or `(samples, 1)`; or one-hot rows or
            targets of -1 and 1 of shape `(samples, classes)`. Without any, accuracies
            are None.
        layers: Paths of layers as in `models.summary`; None for all that can be swapped
            in the direction.
        refit_data: Inputs to refit BatchNormalization from, as `x`; best a sample of
            the training data. None for `x` itself.
        batch_size: Largest number of samples per batch, for arrays. Refitting is better
            with larger ones.
        steps: Number of batches to use of `x` and of `refit_data`; None for all.
        direction: `"continuous"` swaps the latent weights in for the quantized ones;
            `"binary"` the quantized ones for float ones; `"auto"` the first where a
            layer is quantized, else the second.
        quantizer: Makes the weights for the direction `"binary"`.
        threshold: For a model that puts out one number per sample: from which value on
            its class is 1, such as 0.0 for logits and 0.5 for probabilities.
        one_at_a_time: Whether to swap each layer alone too, not only all at once.
        verbose: 0 for silence, `"auto"` or 1 for a progress bar.

    Returns:
        A `SwapReport`: `baseline`, `rows` with one row per layer, and `together`; its
        `show()` prints a table and `to_dict()` is ready for JSON. A swap after which
        the model puts out NaN or infinite values, or cannot be refitted, has None for
        its numbers and the reason in `note`.

    Raises:
        TypeError: `model` is not a Keras model, `x` or `refit_data` is of the wrong
            kind, or `layers` is not a list of paths.
        ValueError: The model has several outputs, or puts out NaN or infinite values
            before any swap; labels do not fit; a layer cannot be swapped; there is no
            sample; or BatchNormalization cannot be refitted from the data.

    Example:
        >>> import keras, numpy as np
        >>> from kerasbnn import QuantDense
        >>> from kerasbnn.models.swap_testing import swap_test
        >>> model = keras.Sequential([
        ...     keras.Input((8,)),
        ...     QuantDense(
        ...         4, kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ...         name="dense",
        ...     ),
        ...     keras.layers.BatchNormalization(),
        ... ])
        >>> x = np.random.default_rng(0).normal(size=(100, 8))
        >>> report = swap_test(model, x, np.zeros(100), verbose=0)
        >>> [row.layer for row in report.rows], report.samples
        (['dense'], 100)
        >>> report.baseline.agreement
        1.0

    Reference:
        Anderson & Berg, arXiv 1705.07199; their notebook replaces the weights, but does
        not refit batch normalization.
    """
    checked_model(model)
    direction, paths = _plan(model, layers, direction)
    scope = _scope_of(model, direction, quantizer)
    data = LabelledBatches(x, y, batch_size, steps)
    refit = data
    if refit_data is not None:
        refit = LabelledBatches(refit_data, None, batch_size, steps)
    _check_first_batch(model, data, threshold)

    swaps: list[list[str]] = [[]]
    if one_at_a_time:
        swaps += [[path] for path in paths]
    # Swapping the only layer is swapping all.
    if not one_at_a_time or len(paths) > 1:
        swaps.append(paths)
    trials = [_Trial(scope, swapped, threshold) for swapped in swaps]

    normalized = _batch_normalization_variables(model)
    progress = Progress(_count(data, refit, len(trials), bool(normalized)), verbose)
    if normalized:
        for trial in trials:
            trial.refit(model, normalized, refit, progress)
    samples = _run(model, trials, data, progress)
    progress.finish()

    baseline, *rows = [trial.row(direction) for trial in trials]
    return SwapReport(
        model=model.name,
        direction=direction,
        samples=samples,
        refitted=bool(normalized),
        baseline=baseline,
        rows=rows[: len(paths)] if one_at_a_time else [],
        together=dataclasses.replace(rows[-1], layer=None),
    )


def binarization_cost(
    model: keras.Model, x, y=None, refit_data=None, layers=None, **kwargs
) -> dict[str, float | None]:
    """Measure what each float layer costs when its weights alone are made binary.

    Args:
        model: As for `swap_test`.
        x: As for `swap_test`.
        y: As for `swap_test`; labels are needed, here or in `x`.
        refit_data: As for `swap_test`.
        layers: Paths of float layers, or None for all.
        **kwargs: Further keyword arguments of `swap_test`.

    Returns:
        Accuracy lost, by the path of the layer: that of the model minus that with the
        layer's weights binary, both with BatchNormalization refitted. Below 0 where the
        swap helps; None where the swapped model cannot be judged.

    Raises:
        TypeError: As for `swap_test`.
        ValueError: As for `swap_test`; or there are no labels.

    Example:
        >>> import keras, numpy as np
        >>> from kerasbnn.models.swap_testing import binarization_cost
        >>> model = keras.Sequential([
        ...     keras.Input((2,)), keras.layers.Dense(2, use_bias=False, name="head")
        ... ])
        >>> model.set_weights([np.array([[1.0, 2.0], [1.0, -1.0]])])
        >>> binarization_cost(model, np.eye(2), np.array([1, 0]), verbose=0)
        {'head': 0.5}

    Reference:
        Anderson & Berg, arXiv 1705.07199.
    """
    report = swap_test(
        model, x, y, layers, refit_data=refit_data, direction="binary", **kwargs
    )
    if report.baseline.accuracy is None:
        raise ValueError(
            "The accuracy lost needs labels. Pass `y`, or `x` as a tuple or a dataset "
            "with labels."
        )
    return report.accuracy_lost()


class _Trial:
    """A swap, the statistics that fit it, and how the model does with it."""

    def __init__(self, scope: Callable, paths: list[str], threshold: float | None):
        self.paths = paths
        # Without layers it is the baseline.
        self.scope = partial(scope, paths) if paths else contextlib.nullcontext
        self.plain = Scores(threshold)
        self.refitted = Scores(threshold)
        self.statistics: list[tuple[keras.Variable, np.ndarray]] = []
        self.note: str | None = None

    def refit(self, model, variables, data, progress):
        """Find the statistics of batch normalizations; the model is as before after."""
        before = [(variable, copied(variable)) for variable in variables]
        with assigned(before), self.scope():
            try:
                inputs = _Inputs(data, progress)
                refit_batchnorm(model, inputs, verbose=0)
            except ValueError as error:
                # What is wrong with the data shows without a swap already.
                if not self.paths:
                    raise
                self.note = str(error)
            else:
                self.statistics = [(v, copied(v)) for v in variables]

    def run(self, model, inputs, reference, truth, progress):
        """Add a batch to the scores."""
        with self.scope():
            outputs = _outputs(model, inputs) if self.paths else reference
            self.plain.update(outputs, reference, truth)
            progress.step()
            if self.statistics:
                with assigned(self.statistics):
                    self.refitted.update(_outputs(model, inputs), reference, truth)
                progress.step()

    def row(self, direction) -> SwapRow:
        """Return what was found."""
        note = self.note
        if not (self.plain.is_finite and self.refitted.is_finite):
            note = "The model puts out NaN or infinite values."
        return SwapRow(
            layer=self.paths[0] if len(self.paths) == 1 else None,
            direction=direction if self.paths else None,
            accuracy=self.plain.accuracy,
            agreement=self.plain.agreement,
            correlation=self.plain.correlation,
            accuracy_refit=self.refitted.accuracy,
            agreement_refit=self.refitted.agreement,
            correlation_refit=self.refitted.correlation,
            note=note,
        )


class _Inputs:
    """The inputs of labelled batches, each of which moves the progress bar on."""

    def __init__(self, data: LabelledBatches, progress: Progress):
        self.data = data
        self.progress = progress

    def __iter__(self):
        for inputs, _ in self.data:
            # In a tuple, since a list of two would be inputs and labels.
            yield (inputs,)
            self.progress.step()


def _plan(model, layers, direction):
    """Settle the direction, and the paths of the layers to swap."""
    if direction not in _DIRECTIONS:
        raise ValueError(
            f"Unknown direction {direction!r}.{suggestion(str(direction), _DIRECTIONS)}"
            f" Known: {', '.join(_DIRECTIONS)}."
        )
    if direction == "auto":
        quantized = swappable_layers(model, "continuous")
        named = quantized if layers is None else checked_paths(model, layers)
        binary = [path for path in named if path in quantized]
        others = [path for path in named if path not in quantized]
        if binary and others:
            raise ValueError(
                f"The weights of {', '.join(binary)} are quantized, those of "
                f"{', '.join(others)} are not. Name layers of one kind."
            )
        direction = "continuous" if binary else "binary"
    return direction, list(chosen_layers(model, layers, direction))


def _scope_of(model, direction, quantizer):
    """Return a function that makes the scope in which given layers are swapped."""
    if direction == "continuous":
        return partial(continuous_scope, model)
    return partial(binarized_scope, model, quantizer=checked_quantizer(quantizer))


def _check_first_batch(model, data, threshold):
    """Find what does not fit before the long work starts."""
    first = next(iter(data), None)
    if first is None:
        raise ValueError("`x` is empty: there is no sample to test with.")
    inputs, labels = first
    outputs = _reference(model, inputs)
    predicted_classes(outputs, threshold)
    if labels is not None:
        label_classes(labels, outputs.shape)


def _run(model, trials, data, progress):
    samples = 0
    for inputs, labels in data:
        reference = _reference(model, inputs)
        truth = None if labels is None else label_classes(labels, reference.shape)
        samples += len(reference)
        for trial in trials:
            trial.run(model, inputs, reference, truth, progress)
    return samples


def _reference(model, inputs):
    outputs = _outputs(model, inputs)
    if not np.isfinite(outputs).all():
        raise ValueError(
            f"Model '{model.name}' puts out NaN or infinite values before anything is "
            "swapped. Check its weights, and the scale of the inputs."
        )
    return outputs


def _outputs(model, inputs):
    # Random generators and states of other layers stay as they are.
    with keras.StatelessScope(), without_gradients():
        return output_array(model(inputs, training=False), model.name)


def _batch_normalization_variables(model):
    return [
        variable
        for _, layer in named_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
        for variable in layer.variables
    ]


def _count(data, refit, trials, has_normalization):
    """Count the batches of all trials, or return None where it is not known."""
    if data.count is None:
        return None
    if not has_normalization:
        return trials * data.count
    return None if refit.count is None else trials * (2 * data.count + refit.count)

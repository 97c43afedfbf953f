"""What an audit says of the dot products of one kernel."""

import math
from dataclasses import replace

import numpy as np
from keras import ops

from kerasbnn.auditing.measurement import KernelMeasurement
from kerasbnn.geometry.dot_products import (
    batchnorm_thresholds,
    pooled_correlation,
    sign_flips,
)
from kerasbnn.geometry.histograms import product_histogram
from kerasbnn.geometry.layer_geometry import Histogram, Products
from kerasbnn.geometry.predictions import quadratic_correlations_from_samples
from kerasbnn.geometry.summaries import finite, predictions_of, summarized_products
from kerasbnn.models.batches import to_numpy

# Windows with which a covariance predicts something.
FEWEST_PATCHES = 16


def predictions(measurement: KernelMeasurement, angles: np.ndarray):
    """Predict the correlation of each filter from its angle and its inputs.

    Args:
        measurement: What was gathered about the kernel.
        angles: Angle of each filter, in degrees.

    Returns:
        What `predictions_of` does; NaN where there is nothing to predict from.
    """
    moments = measurement.element_moments
    pairs = measurement.pairs
    if moments is None or not measurement.inputs_are_finite or not pairs.count:
        unknown = np.full(measurement.filters, np.nan)
        return unknown, unknown
    norms = np.square(measurement.continuous).sum(axis=1).ravel()
    return predictions_of(pairs, angles, norms, moments[1].mean(axis=1))


def products_of(
    measurement, normalization, kernel, calls, angles, predicted
) -> Products:
    """Put together the figures of a kernel's dot products.

    Args:
        measurement: What was gathered about the kernel.
        normalization: The batch normalization that follows, or None.
        kernel: The kernel.
        calls: How often a forward pass calls the layer.
        angles: Angle of each filter, in degrees.
        predicted: Predicted correlation of each filter.

    Returns:
        The figures, None where there is none.
    """
    pairs = measurement.pairs
    if not pairs.count or not measurement.inputs_are_finite:
        return Products()
    summary = summarized_products(pairs, angles, predicted)
    sample = measurement.sample.rows
    quantized, continuous = sample["quantized"], sample["continuous"]
    quadratic = _quadratic(measurement)
    by_filter = measurement.permuted.filter_correlations()
    by_filter = by_filter[np.isfinite(by_filter)]
    error = by_filter.std() / math.sqrt(by_filter.size) if by_filter.size > 1 else None
    sampled = {
        "quadratic_predicted": quadratic[0],
        "quadratic_measured": quadratic[1],
        # A mean of the inputs is the same in all windows, so it is taken off.
        "permuted": measurement.permuted.pooled_within(),
        "permuted_error": error,
        "activations": _activations(sample),
        "centred_flips": sign_flips(quantized, continuous, *pairs.means),
        "batchnorm_flips": _batchnorm_flips(
            normalization, kernel, calls, quantized, continuous
        ),
    }
    return replace(summary, **{k: finite(v) for k, v in sampled.items()})


def _activations(sample):
    before, after = sample["before_quantizer"], sample["quantized"]
    known = np.isfinite(before).all(axis=1)
    if not known.any():
        return None
    return pooled_correlation(after[known], before[known]).correlation


def _quadratic(measurement):
    """Predict from the windows of one half of the samples, measure on the other."""
    sample = measurement.sample.rows
    patches = sample["patches"][sample["sample"] % 2 == 0]
    measured = measurement.halves[1].filter_correlations()
    if len(patches) < FEWEST_PATCHES or not np.isfinite(measured).any():
        return None, None
    predicted = np.concatenate(
        [
            quadratic_correlations_from_samples(
                measurement.continuous[group],
                measurement.quantized[group],
                patches[:, group],
            )
            for group in range(measurement.groups)
        ]
    )
    both = np.isfinite(predicted) & np.isfinite(measured)
    if not both.any():
        return None, None
    return float(np.median(predicted[both])), float(np.median(measured[both]))


def _batchnorm_flips(normalization, kernel, calls, quantized, continuous):
    if normalization is None or not normalization.pairs.count or calls > 1:
        # Each call of the layer may have a normalization of its own.
        return None
    layer, pairs = normalization.layer, normalization.pairs
    if pairs.means.shape[1] != quantized.shape[1]:
        return None
    gamma, beta = (
        None if v is None else to_numpy(ops.cast(v, "float32"))
        for v in (layer.gamma, layer.beta)
    )
    bias = 0.0
    if kernel.layer.bias is not None:
        bias = to_numpy(ops.cast(kernel.layer.bias, "float32"))
    # The first of a pair is what the layer itself computes with.
    (own, direction), (other, _) = (
        batchnorm_thresholds(mean, variance, gamma, beta, layer.epsilon)
        for mean, variance in zip(pairs.means, pairs.variances, strict=True)
    )
    thresholds = [(own - bias) * direction, (other - bias) * direction]
    if not kernel.is_quantized:
        thresholds.reverse()
    return sign_flips(quantized * direction, continuous * direction, *thresholds)


def histograms_of(measurement: KernelMeasurement) -> dict[str, Histogram]:
    """Count the pairs of products that were kept, for pictures.

    Args:
        measurement: What was gathered about the kernel.

    Returns:
        Histograms by the names that `LayerGeometry` has for them.
    """
    sample, control = measurement.sample.rows, measurement.control.rows
    pairs = {
        "products": (sample.get("quantized"), sample.get("continuous")),
        "permuted": tuple(
            None if x is None else x - x.mean(axis=0)
            for x in (control.get("quantized"), control.get("continuous"))
        ),
        "activations": (sample.get("before_quantizer"), sample.get("quantized")),
    }
    found = {
        name: product_histogram(x, y)
        for name, (x, y) in pairs.items()
        if x is not None and x.size
    }
    return {name: histogram for name, histogram in found.items() if histogram}

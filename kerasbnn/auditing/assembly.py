"""From what was gathered about a kernel to its `LayerGeometry`."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
from keras import ops

from kerasbnn.auditing.alternatives import other_quantizers
from kerasbnn.auditing.kernels import AuditedKernel
from kerasbnn.auditing.measurement import KernelMeasurement
from kerasbnn.auditing.provenance import FollowingNormalization
from kerasbnn.geometry.angles import angle_degrees
from kerasbnn.geometry.dot_products import (
    batchnorm_thresholds,
    pooled_correlation,
    sign_flips,
)
from kerasbnn.geometry.histograms import product_histogram
from kerasbnn.geometry.layer_geometry import (
    Angles,
    Histogram,
    Inputs,
    LayerGeometry,
    Normalization,
    Products,
    Weights,
    plain,
)
from kerasbnn.geometry.predictions import (
    predicted_correlations,
    quadratic_correlations_from_samples,
)
from kerasbnn.geometry.spectrum import covariance_spectrum
from kerasbnn.geometry.theory import (
    angle_standard_deviation_degrees,
    expected_angle_degrees,
    expected_ternary_angle_degrees,
    ternary_angle_standard_deviation_degrees,
)
from kerasbnn.geometry.verdicts import Thresholds, judge
from kerasbnn.geometry.weights import weight_statistics
from kerasbnn.models.batches import to_numpy

# Eigenvalues to report; the rest of the spectrum is noise of few windows.
LARGEST_EIGENVALUES = 64

# Windows with which a covariance predicts something.
FEWEST_PATCHES = 16


def assemble(
    kernel: AuditedKernel,
    measurement: KernelMeasurement,
    normalization: FollowingNormalization | None,
    *,
    paths: dict[int, str],
    calls: int,
    is_first: bool,
    has_data: bool,
    start: np.ndarray | None,
    thresholds: Thresholds,
) -> LayerGeometry:
    """Put together what an audit knows of one kernel.

    Args:
        kernel: The kernel.
        measurement: What was gathered about it.
        normalization: The batch normalization that follows, or None.
        paths: Paths of layers by their id.
        calls: How often the last forward pass called the layer.
        is_first: Whether it is the first kernel of the model.
        has_data: Whether there was any data.
        start: Quantized weights when training began, or None.
        thresholds: Of the verdicts.

    Returns:
        The geometry, with verdicts.
    """
    weights = _weights(kernel, start)
    problems = _problems(kernel, measurement, weights, has_data)
    angles = _angles(measurement, kernel, weights)
    predicted, rho = _predicted(measurement, angles)
    layer = LayerGeometry(
        name=kernel.name,
        layer=kernel.path,
        kernel=kernel.operation.kernel,
        type=type(kernel.layer).__name__,
        fan_in=measurement.fan_in,
        filters=measurement.filters,
        groups=measurement.groups,
        calls=calls,
        positions=sum(half.count for half in measurement.halves),
        quantizer=kernel.quantizer,
        is_quantized=kernel.is_quantized,
        bits=kernel.bits,
        angles=_summarized(angles, measurement, kernel, weights),
        products=_products(measurement, normalization, kernel, angles, predicted),
        inputs=_inputs(kernel, measurement, rho, is_first),
        weights=weights,
        normalization=_normalization(normalization, paths),
        alternatives=other_quantizers(measurement),
        histograms=_histograms(measurement),
    )
    constant = layer.products.constant_filters
    if constant and layer.positions > 1:
        problems.append(
            f"The products of {constant} of {layer.filters} filters do not vary over "
            "the inputs, so they have no correlation."
        )
    layer = replace(layer, problems=tuple(problems))
    return replace(layer, verdicts=judge(layer, thresholds))


def _problems(kernel, measurement, weights, has_data):
    problems = []
    if weights.non_finite:
        problems.append(f"{weights.non_finite} of the weights are NaN or infinite.")
    if not measurement.inputs_are_finite:
        problems.append(
            "The inputs or the dot products of the layer are NaN or infinite, so the "
            "measurement of its dot products was given up."
        )
    elif has_data and not any(half.count for half in measurement.halves):
        problems.append(
            "The model did not call the layer, or did so in a function that was "
            "compiled before, so there are no samples."
        )
    if measurement.fan_in == 1:
        problems.append(
            "Each filter has one weight, which points along its sign: the angle is 0 "
            "whatever it is."
        )
    if not kernel.has_latent:
        problems.append("There are no continuous weights behind the quantized ones.")
    return problems


def _angles(measurement, kernel, weights):
    """Return the angle of each filter; NaN where it has none."""
    return angle_degrees(measurement.continuous, measurement.quantized, axis=1).ravel()


def _summarized(angles, measurement, kernel, weights):
    known = angles[np.isfinite(angles)]
    if not known.size:
        return Angles(per_filter=tuple(plain(angles)))
    expected, expected_sd = _expected_angle(measurement.fan_in, kernel, weights)
    return Angles(
        mean=float(known.mean()),
        sd=float(known.std()),
        median=float(np.median(known)),
        lowest=float(known.min()),
        highest=float(known.max()),
        expected=expected,
        expected_sd=expected_sd,
        per_filter=tuple(plain(angles)),
    )


def _expected_angle(fan_in, kernel, weights):
    """Return mean and deviation of the angle of Gaussian weights, where known."""
    if kernel.bits == 1:
        return (
            expected_angle_degrees(fan_in),
            angle_standard_deviation_degrees(fan_in),
        )
    threshold = weights.ternary_threshold
    if threshold is None:
        return None, None
    try:
        return (
            float(expected_ternary_angle_degrees(fan_in, threshold)),
            float(ternary_angle_standard_deviation_degrees(fan_in, threshold)),
        )
    except ValueError:
        # Too few weights are not zero for theory to say anything.
        return None, None


def _predicted(measurement, angles):
    """Return for each filter the predicted correlation, and rho."""
    unknown = np.full(measurement.filters, np.nan)
    moments = measurement.element_moments
    pairs = measurement.pairs
    if moments is None or not measurement.inputs_are_finite or not pairs.count:
        return unknown, unknown
    element = np.repeat(
        moments[1].mean(axis=1), measurement.filters // measurement.groups
    )
    norm = np.square(measurement.continuous).sum(axis=1).ravel()
    variance = pairs.variances[1]
    predicted = predicted_correlations(angles, variance, norm, element)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = variance / norm / element
    return predicted, np.where(np.isfinite(rho), rho, np.nan)


def _products(measurement, normalization, kernel, angles, predicted):
    pairs = measurement.pairs
    if not pairs.count or not measurement.inputs_are_finite:
        return Products()
    pooled = pairs.pooled()
    each = pairs.filter_correlations()
    known = each[np.isfinite(each)]
    median = float(np.median(known)) if known.size else math.nan
    sample = measurement.sample.rows
    quantized, continuous = sample["quantized"], sample["continuous"]
    quadratic = _quadratic(measurement)
    permuted = measurement.permuted.pooled()
    by_filter = measurement.permuted.filter_correlations()
    by_filter = by_filter[np.isfinite(by_filter)]
    error = by_filter.std() / math.sqrt(by_filter.size) if by_filter.size > 1 else None
    directions = angles[np.isfinite(angles)]
    values = Products(
        pooled=pooled.correlation,
        slope=pooled.slope,
        intercept=pooled.intercept,
        mean=float(known.mean()) if known.size else None,
        median=median,
        p5=float(np.percentile(known, 5)) if known.size else None,
        lowest=float(known.min()) if known.size else None,
        constant_filters=int(each.size - known.size),
        predicted_mean=_mean(predicted),
        predicted_median=_median(predicted),
        quadratic_predicted=quadratic[0],
        quadratic_measured=quadratic[1],
        permuted=permuted.correlation,
        permuted_error=error,
        permuted_expected=(
            math.cos(math.radians(directions.mean())) if directions.size else None
        ),
        activations=_activations(sample),
        raw_flips=pairs.sign_flips,
        centred_flips=sign_flips(quantized, continuous, *pairs.means),
        batchnorm_flips=_batchnorm_flips(normalization, kernel, quantized, continuous),
        expected_flips=math.acos(median) / math.pi if known.size else None,
        per_filter=tuple(each.tolist()),
        predicted_per_filter=tuple(predicted.tolist()),
    )
    return Products(**{k: _finite(v) for k, v in vars(values).items()})


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


def _batchnorm_flips(normalization, kernel, quantized, continuous):
    if normalization is None or not normalization.pairs.count:
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


def _normalization(normalization, paths):
    if normalization is None or normalization.pairs.count < 2:
        return None
    layer, pairs = normalization.layer, normalization.pairs
    mean, variance = pairs.means[0], pairs.variances[0]
    own_mean, own_variance = (
        to_numpy(v.value).astype("float64")
        for v in (layer.moving_mean, layer.moving_variance)
    )
    spread = np.sqrt(variance + layer.epsilon)
    ratio = (own_variance + layer.epsilon) / (variance + layer.epsilon)
    return Normalization(
        name=paths.get(id(layer), layer.name),
        shift=_finite(float(np.median(np.abs(own_mean - mean) / spread))),
        variance_ratio=_finite(float(np.median(ratio))),
    )


def _inputs(kernel, measurement, rho, is_first):
    moments = measurement.element_moments
    layer = kernel.layer
    quantizer = getattr(layer, "input_quantizer", None)
    name = None
    if quantizer is not None:
        name = getattr(quantizer, "__name__", type(quantizer).__name__)
    if moments is None or not measurement.inputs_are_finite:
        return Inputs(quantizer=name, is_first=is_first)
    mean, variance = moments
    total = float(np.mean(variance + mean**2) - np.mean(mean) ** 2)
    patches = measurement.sample.rows["patches"]
    flat = patches.reshape(-1, measurement.fan_in)[: measurement.sampling.patches]
    spectrum = covariance_spectrum(flat)
    return Inputs(
        quantizer=name,
        mean=float(np.mean(mean)),
        sd=math.sqrt(max(total, 0.0)),
        patches=len(flat),
        participation_ratio=_finite(spectrum.corrected_participation_ratio),
        spectrum=tuple(plain(spectrum.fractions[:LARGEST_EIGENVALUES])),
        rho_median=_median(rho),
        rho_per_filter=tuple(plain(rho)),
        is_first=is_first,
    )


def _weights(kernel, start):
    statistics = weight_statistics(
        kernel.continuous,
        kernel.quantized,
        kernel.operation.channel_axes,
        kernel.clip_value,
        start,
    )
    levels = statistics.levels
    return Weights(
        mean=_finite(statistics.mean),
        sd=_finite(statistics.sd),
        kurtosis=_finite(statistics.kurtosis),
        clip_value=kernel.clip_value,
        zeros=_finite(statistics.zero_fraction),
        saturated=_finite(statistics.saturated_fraction),
        starved=_finite(statistics.starved_fraction),
        dead_filters=len(statistics.dead_filters),
        dead_channels=len(statistics.dead_channels),
        sign_entropy=_finite(statistics.mean_sign_entropy),
        levels=None if levels is None else {f"{v:g}": n for v, n in levels.items()},
        ternary_threshold=_finite(statistics.ternary_threshold_over_sd),
        flips_since_start=_finite(statistics.flips_since_start),
        histogram=tuple(statistics.histogram.tolist()),
        edges=tuple(statistics.histogram_edges.tolist()),
        non_finite=statistics.non_finite,
    )


def _histograms(measurement) -> dict[str, Histogram]:
    sample, control = measurement.sample.rows, measurement.control.rows
    pairs = {
        "products": (sample.get("quantized"), sample.get("continuous")),
        "permuted": (control.get("quantized"), control.get("continuous")),
        "activations": (sample.get("before_quantizer"), sample.get("quantized")),
    }
    found = {
        name: product_histogram(x, y)
        for name, (x, y) in pairs.items()
        if x is not None and x.size
    }
    return {name: histogram for name, histogram in found.items() if histogram}


def _mean(values):
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else None


def _median(values):
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else None


def _finite(value) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, tuple):
        return tuple(_finite(v) for v in value)
    return value

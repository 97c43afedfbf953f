"""From what was gathered about a kernel to its `LayerGeometry`."""

from dataclasses import replace

import numpy as np

from kerasbnn.auditing.alternatives import other_quantizers
from kerasbnn.auditing.kernels import AuditedKernel
from kerasbnn.auditing.measurement import KernelMeasurement
from kerasbnn.auditing.products import histograms_of, predictions, products_of
from kerasbnn.auditing.provenance import FollowingNormalization
from kerasbnn.geometry.angles import angle_degrees
from kerasbnn.geometry.layer_geometry import (
    Angles,
    Inputs,
    LayerGeometry,
    Products,
    Verdict,
    Weights,
    plain,
)
from kerasbnn.geometry.spectrum import covariance_spectrum
from kerasbnn.geometry.summaries import (
    constant_filters_problem,
    finite,
    median_of,
    summarized_elements,
    summarized_normalization,
)
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

NO_LATENT_WEIGHTS = "There are no continuous weights behind the quantized ones."


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
    # In another basis, one code that flips changes all quantized weights.
    weights = _weights(kernel, start if kernel.is_elementwise else None)
    problems = _problems(kernel, measurement, weights, has_data)
    angles = angle_degrees(measurement.continuous, measurement.quantized, axis=1)
    angles = angles.ravel()
    predicted, rho = predictions(measurement, angles)
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
        products=products_of(
            measurement, normalization, kernel, calls, angles, predicted
        ),
        inputs=_inputs(kernel, measurement, rho, is_first),
        weights=weights,
        normalization=_normalization(normalization, paths),
        alternatives=other_quantizers(measurement),
        histograms=histograms_of(measurement),
    )
    if layer.products.constant_filters and layer.positions > 1:
        problems.append(constant_filters_problem(layer.products, layer.filters))
    layer = replace(layer, problems=tuple(problems))
    if not kernel.has_latent:
        # A comparison of the weights with themselves would read as perfect.
        verdict = Verdict("keep_quantized", NO_LATENT_WEIGHTS, "Nothing to do.")
        return replace(
            layer,
            angles=Angles(),
            products=Products(),
            histograms={},
            verdicts=(verdict,),
        )
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
        problems.append(NO_LATENT_WEIGHTS)
    return problems


def _summarized(angles, measurement, kernel, weights):
    known = angles[np.isfinite(angles)]
    if not known.size:
        return Angles(per_filter=tuple(plain(angles)))
    magnitudes = np.abs(measurement.quantized)
    is_sign = bool(np.all(np.ptp(magnitudes, axis=1) <= 1e-6 * magnitudes.max()))
    is_sign &= bool(np.all(magnitudes > 0))
    expected, expected_sd = _expected_angle(
        measurement.fan_in, kernel, weights, is_sign
    )
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


def _expected_angle(fan_in, kernel, weights, is_sign):
    """Return mean and deviation of the angle of Gaussian weights, where known."""
    if kernel.bits == 1 and is_sign:
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


def _normalization(normalization, paths):
    if normalization is None:
        return None
    layer, pairs = normalization.layer, normalization.seen
    own_mean, own_variance = (
        to_numpy(v.value).astype("float64")
        for v in (layer.moving_mean, layer.moving_variance)
    )
    return summarized_normalization(
        paths.get(id(layer), layer.name),
        (own_mean, own_variance),
        (pairs.means[0], pairs.variances[0]),
        layer.epsilon,
        pairs.count,
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
    mean, sd = summarized_elements(*moments)
    patches = measurement.sample.rows["patches"]
    flat = patches.reshape(-1, measurement.fan_in)[: measurement.sampling.patches]
    spectrum = covariance_spectrum(flat)
    return Inputs(
        quantizer=name,
        mean=mean,
        sd=sd,
        patches=len(flat),
        participation_ratio=finite(spectrum.corrected_participation_ratio),
        spectrum=tuple(plain(spectrum.fractions[:LARGEST_EIGENVALUES])),
        rho_median=median_of(rho),
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
        mean=finite(statistics.mean),
        sd=finite(statistics.sd),
        kurtosis=finite(statistics.kurtosis),
        clip_value=kernel.clip_value,
        zeros=finite(statistics.zero_fraction),
        saturated=finite(statistics.saturated_fraction),
        starved=finite(statistics.starved_fraction),
        dead_filters=len(statistics.dead_filters),
        dead_channels=len(statistics.dead_channels),
        sign_entropy=finite(statistics.mean_sign_entropy),
        levels=None if levels is None else {f"{v:g}": n for v, n in levels.items()},
        ternary_threshold=finite(statistics.ternary_threshold_over_sd),
        flips_since_start=finite(statistics.flips_since_start),
        histogram=tuple(statistics.histogram.tolist()),
        edges=tuple(statistics.histogram_edges.tolist()),
        non_finite=statistics.non_finite,
    )

"""The figures of a layer that live inputs and reference inputs are compared by."""

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from kerasbnn.geometry.accumulators import Moments
from kerasbnn.probing.kernel_statistics import KernelStatistics
from kerasbnn.probing.statistics import ProbeStatistics

# A figure that cannot be measured is None.
Figures = dict[str, float | None]

FIGURES = (
    *("correlation", "mean_correlation", "slope", "raw_flips", "rho"),
    *("input_mean", "input_sd", "negative", "saturated", "sign_entropy"),
    *("dead_channels", "batchnorm_shift", "batchnorm_variance_ratio"),
)

# Of layers with more channels so many are compared one by one.
MOST_CHANNELS = 1024


def figures_of(statistics: ProbeStatistics) -> dict[str, Figures]:
    """Return the figures of each kernel.

    Args:
        statistics: What a probe has measured.

    Returns:
        A dict by kernel of dicts with the keys `FIGURES`: `correlation` is that over
        all filters together and `mean_correlation` the mean over the filters,
        `dead_channels` a fraction of the channels, and all others are as in a
        `GeometryReport` and in `Activations`. What cannot be measured is None.

    Example:
        >>> from kerasbnn.probing import ProbeDescription, ProbeStatistics
        >>> from kerasbnn.probing.figures import figures_of
        >>> figures_of(ProbeStatistics(ProbeDescription("net", "1.0", ())))
        {}
    """
    activations = statistics.activations()
    found: dict[str, Figures] = {}
    for layer in statistics.report():
        figures: Figures = dict.fromkeys(FIGURES)
        figures |= {
            "correlation": layer.products.pooled,
            "mean_correlation": layer.products.mean,
            "slope": layer.products.slope,
            "raw_flips": layer.products.raw_flips,
            "rho": layer.inputs.rho_median,
            "input_mean": layer.inputs.mean,
            "input_sd": layer.inputs.sd,
        }
        if layer.name in activations:
            negative = statistics.kernels[layer.name].negative
            figures |= asdict(activations[layer.name])
            dead = activations[layer.name].dead_channels
            figures["dead_channels"] = dead / len(negative.mean) if negative else None
        if layer.normalization is not None:
            figures["batchnorm_shift"] = layer.normalization.shift
            ratio = layer.normalization.variance_ratio
            figures["batchnorm_variance_ratio"] = ratio
        found[layer.name] = figures
    return found


def channel_moments(
    kernel: KernelStatistics,
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Return mean and variance of the channels of a kernel's inputs.

    Args:
        kernel: Its statistics.

    Returns:
        Arrays `(channels,)`, over all taps of the kernel together; of more than 1024
        channels some that are spread evenly. None where nothing was seen.
    """
    moments: Moments | None = kernel.elements
    if moments is None:
        return None
    taps = kernel.description.calls[0].inputs_per_tap.size
    means = moments.mean.reshape(taps, -1)
    variances = moments.variance.reshape(taps, -1)
    chosen = spread_evenly(means.shape[1], MOST_CHANNELS)
    means, variances = means[:, chosen], variances[:, chosen]
    return means.mean(axis=0), variances.mean(axis=0) + means.var(axis=0)


def spread_evenly(size: int, most: int) -> NDArray[np.intp]:
    """Choose at most so many places of an axis.

    The distance of two neighbours has no divisor in common with the size of the axis,
    so that of a flattened image all channels, rows and columns have their turn.

    Args:
        size: Number of places.
        most: Number to choose.

    Returns:
        The places, ascending; all of them where they are not more.

    Example:
        >>> from kerasbnn.probing.figures import spread_evenly
        >>> spread_evenly(3, 4), spread_evenly(12, 4)
        (array([0, 1, 2]), array([ 0,  5, 10]))
    """
    step = -(-size // most)
    while np.gcd(step, size) != 1:
        step += 1
    return np.arange(0, size, step)

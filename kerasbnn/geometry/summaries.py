"""From accumulated moments to the figures of a report: None where there is none."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasbnn.geometry.accumulators import PairMoments
from kerasbnn.geometry.layer_geometry import Normalization, Products
from kerasbnn.geometry.predictions import predicted_correlations

Floats = NDArray[np.float64]

# Values per channel with which statistics can be compared.
FEWEST_VALUES = 32


def mean_of(values: Floats) -> float | None:
    """Return the mean of the finite values, or None where there is none."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else None


def median_of(values: Floats) -> float | None:
    """Return the median of the finite values, or None where there is none."""
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else None


def finite(value: Any) -> Any:
    """Return a value with None in the place of numbers that are not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, tuple):
        return tuple(finite(v) for v in value)  # pyright: ignore
    return value


def predictions_of(
    pairs: PairMoments,
    angles: Floats,
    squared_norms: Floats,
    element_variances: Floats,
) -> tuple[Floats, Floats]:
    """Predict the correlation of each filter from its angle and its inputs.

    Args:
        pairs: Joint moments of the products.
        angles: Angle of each filter, in degrees, `(filters,)`.
        squared_norms: Squared length of each filter's continuous weights.
        element_variances: Mean variance of the elements of the windows that each group
            of filters sees, `(groups,)`.

    Returns:
        The correlations, and `rho`, the variance along the weights relative to the mean
        variance, `(filters,)` each; NaN where there is nothing to predict from.

    Reference:
        Anderson & Berg, arXiv 1705.07199; see `predicted_correlations`.
    """
    element = np.repeat(element_variances, len(angles) // len(element_variances))
    variance = pairs.variances[1]
    predicted = predicted_correlations(angles, variance, squared_norms, element)
    with np.errstate(invalid="ignore", divide="ignore"):
        rho = variance / squared_norms / element
    return predicted, np.where(np.isfinite(rho), rho, np.nan)


def summarized_products(
    pairs: PairMoments, angles: Floats, predicted: Floats
) -> Products:
    """Return all that moments say of the dot products of a kernel.

    Args:
        pairs: Joint moments of the products, of one pair at least.
        angles: Angle of each filter, in degrees.
        predicted: Predicted correlation of each filter.

    Returns:
        The figures; those that need single windows are None.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.accumulators import PairMoments
        >>> from kerasbnn.geometry.summaries import summarized_products
        >>> pairs = PairMoments(filters=1)
        >>> pairs.update(np.array([[1.0], [-1.0]]), np.array([[2.0], [-2.0]]))
        >>> products = summarized_products(pairs, np.array([37.0]), np.array([0.8]))
        >>> round(products.pooled, 6), round(products.slope, 6)
        (1.0, 2.0)
    """
    pooled = pairs.pooled()
    each = pairs.filter_correlations()
    known = each[np.isfinite(each)]
    median = float(np.median(known)) if known.size else math.nan
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
        predicted_mean=mean_of(predicted),
        predicted_median=median_of(predicted),
        permuted_expected=(
            math.cos(math.radians(directions.mean())) if directions.size else None
        ),
        raw_flips=pairs.sign_flips,
        expected_flips=math.acos(median) / math.pi if known.size else None,
        per_filter=tuple(each.tolist()),
        predicted_per_filter=tuple(predicted.tolist()),
    )
    return Products(**{k: finite(v) for k, v in vars(values).items()})


def constant_filters_problem(products: Products, filters: int) -> str:
    """Say that the products of some filters do not vary.

    Args:
        products: Figures of a kernel with such filters.
        filters: Number of all filters.

    Returns:
        A sentence.
    """
    return (
        f"The products of {products.constant_filters} of {filters} filters do not vary "
        "over the inputs, so they have no correlation."
    )


def summarized_elements(mean: Floats, variance: Floats) -> tuple[float, float]:
    """Return mean and standard deviation of all components of the windows.

    Args:
        mean: Mean of each component, any shape.
        variance: Its variance, the same shape.

    Returns:
        Both over all components together.
    """
    total = float(np.mean(variance + mean**2) - np.mean(mean) ** 2)
    return float(np.mean(mean)), math.sqrt(max(total, 0.0))


def summarized_normalization(
    name: str,
    own: tuple[Floats, Floats],
    seen: tuple[Floats, Floats],
    epsilon: float,
    count: float,
) -> Normalization | None:
    """Compare the statistics of a batch normalization with those that it sees.

    Args:
        name: Path of the batch normalization.
        own: Its mean and variance, `(channels,)` each.
        seen: Mean and variance of its inputs.
        epsilon: What it adds to a variance.
        count: Values per channel that were seen.

    Returns:
        The comparison, None where too few values were seen.
    """
    if count < FEWEST_VALUES:
        return None
    (own_mean, own_variance), (mean, variance) = own, seen
    spread = np.sqrt(variance + epsilon)
    ratio = (own_variance + epsilon) / (variance + epsilon)
    return Normalization(
        name=name,
        shift=finite(float(np.median(np.abs(own_mean - mean) / spread))),
        variance_ratio=finite(float(np.median(ratio))),
    )

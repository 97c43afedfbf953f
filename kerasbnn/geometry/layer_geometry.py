"""What is known of the geometry of one kernel, as plain numbers.

A figure that could not be measured is None, never NaN: no samples, a filter that does
not vary, a single weight per filter.
"""

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

Numbers = tuple[float | None, ...]


@dataclass(frozen=True)
class Angles:
    """Angles between the filters' continuous weights and their quantized ones.

    Attributes:
        mean: Mean over the filters, in degrees.
        sd: Standard deviation over the filters, in degrees.
        median: Median over the filters, in degrees.
        lowest: Smallest angle, in degrees.
        highest: Largest angle, in degrees.
        expected: Mean angle of Gaussian weights of this fan-in and quantizer.
        expected_sd: Standard deviation that goes with it.
        per_filter: Angle of each filter, in degrees.
    """

    mean: float | None = None
    sd: float | None = None
    median: float | None = None
    lowest: float | None = None
    highest: float | None = None
    expected: float | None = None
    expected_sd: float | None = None
    per_filter: Numbers = field(default=(), repr=False)


@dataclass(frozen=True)
class Products:
    """How well dot products with quantized weights follow those with continuous ones.

    Correlations are Pearson's, over the inputs that the audit has seen.

    Attributes:
        pooled: Correlation over all filters together, as in the paper's figure 3.
        slope: Slope of the regression of the continuous on the quantized products.
        intercept: Its intercept.
        mean: Mean over the filters of each one's own correlation.
        median: Their median.
        p5: Their 5th percentile.
        lowest: The lowest of them.
        constant_filters: Number of filters whose products do not vary.
        predicted_mean: Mean of what the formula `1 / sqrt(1 + tan^2 / rho)` gives for
            each filter.
        predicted_median: Median of these.
        quadratic_predicted: Median of what the quadratic form gives with a covariance
            from one half of the samples.
        quadratic_measured: Median measured on the other half, to compare with it.
        permuted: Pooled correlation where the inputs are permuted at random.
        permuted_error: Its standard error.
        permuted_expected: Cosine of the mean angle, which `permuted` should be near.
        activations: Correlation over all filters between products with the inputs
            before and after their own quantizer, None where there is none.
        raw_flips: Fraction of products whose sign differs.
        centred_flips: The same after the mean of each filter is taken off.
        batchnorm_flips: The same at the thresholds of the batch normalization that
            follows, refitted for the continuous weights.
        expected_flips: `arccos(median) / pi`.
        per_filter: Correlation of each filter.
        predicted_per_filter: Prediction of the formula for each filter.
    """

    pooled: float | None = None
    slope: float | None = None
    intercept: float | None = None
    mean: float | None = None
    median: float | None = None
    p5: float | None = None
    lowest: float | None = None
    constant_filters: int = 0
    predicted_mean: float | None = None
    predicted_median: float | None = None
    quadratic_predicted: float | None = None
    quadratic_measured: float | None = None
    permuted: float | None = None
    permuted_error: float | None = None
    permuted_expected: float | None = None
    activations: float | None = None
    raw_flips: float | None = None
    centred_flips: float | None = None
    batchnorm_flips: float | None = None
    expected_flips: float | None = None
    per_filter: Numbers = field(default=(), repr=False)
    predicted_per_filter: Numbers = field(default=(), repr=False)


@dataclass(frozen=True)
class Inputs:
    """The inputs that the filters meet: their windows, taken as vectors.

    Attributes:
        quantizer: Name of the quantizer of the inputs, or None.
        mean: Mean of all components.
        sd: Standard deviation of all components.
        patches: Number of windows that the spectrum is estimated from.
        participation_ratio: Effective dimension `(sum l)^2 / sum l^2` of the covariance
            with eigenvalues `l`, corrected for the finite number of windows.
        spectrum: Largest eigenvalues, descending, as fractions of their sum.
        rho_median: Median over the filters of the variance along the weights, relative
            to the mean variance.
        rho_per_filter: The same for each filter.
        is_first: Whether the layer sees what the model is given.
    """

    quantizer: str | None = None
    mean: float | None = None
    sd: float | None = None
    patches: int = 0
    participation_ratio: float | None = None
    spectrum: Numbers = field(default=(), repr=False)
    rho_median: float | None = None
    rho_per_filter: Numbers = field(default=(), repr=False)
    is_first: bool = False


@dataclass(frozen=True)
class Weights:
    """Statistics of the continuous weights and of what they are quantized to.

    Attributes:
        mean: Mean weight.
        sd: Standard deviation.
        kurtosis: 3 for Gaussian weights, 1.8 for uniform ones.
        clip_value: Where the quantizer's gradient ends, or None.
        zeros: Fraction of weights that are exactly 0.
        saturated: Fraction of weights at or beyond `clip_value`.
        starved: Fraction of weights beyond it, which get no gradient.
        dead_filters: Number of filters whose weights are all equal.
        dead_channels: Number of filters with fewer than 1 % of signs of one kind.
        sign_entropy: Mean entropy of the signs of a filter, in bits; 1 is balanced.
        levels: Fraction of each quantized value, by value, where they are few.
        ternary_threshold: Magnitude below which weights become 0, in standard
            deviations, or None where the quantized values are not ternary.
        flips_since_start: Fraction of quantized weights that changed since the start,
            or None where the start is not known.
        histogram: Counts of the continuous weights in equal bins.
        edges: Edges of these bins.
        non_finite: Number of weights that are NaN or infinite, left out of the rest.
    """

    mean: float | None = None
    sd: float | None = None
    kurtosis: float | None = None
    clip_value: float | None = None
    zeros: float | None = None
    saturated: float | None = None
    starved: float | None = None
    dead_filters: int = 0
    dead_channels: int = 0
    sign_entropy: float | None = None
    levels: dict[str, float] | None = None
    ternary_threshold: float | None = None
    flips_since_start: float | None = None
    histogram: tuple[int, ...] = field(default=(), repr=False)
    edges: tuple[float, ...] = field(default=(), repr=False)
    non_finite: int = 0


@dataclass(frozen=True)
class Normalization:
    """How the statistics of the batch normalization that follows fit its inputs.

    Attributes:
        name: Path of the batch normalization.
        shift: Median over the channels of the distance between the mean it has and the
            mean it sees, in standard deviations.
        variance_ratio: Median over the channels of the variance it has, over the one
            it sees.
    """

    name: str
    shift: float | None = None
    variance_ratio: float | None = None


@dataclass(frozen=True)
class Alternatives:
    """Correlations that other ways to quantize these weights would have.

    They are measured on the windows of the inputs that the audit keeps.

    Attributes:
        ternary: Mean over the filters with three levels, at the best threshold.
        rotated: The same for signs in a randomly rotated basis.
        whitened: The same for signs in the basis that whitens the inputs.
    """

    ternary: float | None = None
    rotated: float | None = None
    whitened: float | None = None


@dataclass(frozen=True)
class Histogram:
    """Counts of pairs in a grid, for a picture.

    Attributes:
        x_edges: Edges of the bins along the first value of a pair.
        y_edges: Edges of the bins along the second.
        counts: One row of counts for each bin along the first value.
    """

    x_edges: tuple[float, ...]
    y_edges: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Verdict:
    """One thing that the audit has to say about a layer.

    Attributes:
        kind: One of `kerasbnn.geometry.verdicts.KINDS`.
        reason: Why, in a sentence with the figures.
        remedy: What to do, in a sentence.
    """

    kind: str
    reason: str
    remedy: str


@dataclass(frozen=True)
class LayerGeometry:
    """The geometry of one kernel of a model.

    Attributes:
        name: Path of the layer in the model, and of the kernel where it has two.
        layer: Path of the layer.
        kernel: The layer's attribute that holds the kernel.
        type: Class of the layer.
        fan_in: Number of weights per filter.
        filters: Number of filters.
        groups: Number of groups of filters that see channels of their own.
        calls: How often a forward pass calls the layer.
        positions: Number of dot products seen per filter.
        quantizer: Quantizer that was measured.
        is_quantized: Whether the layer has it already; else it is what it could get.
        bits: Bits per quantized weight, or None where that is not known.
        angles: Angles between continuous and quantized weights.
        products: How well dot products are preserved.
        inputs: The inputs of the filters.
        weights: Statistics of the weights.
        normalization: The batch normalization that follows, or None.
        alternatives: Correlations that other quantizers would have.
        problems: What could not be measured and why, in sentences.
        verdicts: What to do; the first one is about how to quantize.
        histograms: Joint histograms of a sample of products, by name: `"products"`,
            `"permuted"` and `"activations"`.
    """

    name: str
    layer: str
    kernel: str
    type: str
    fan_in: int
    filters: int
    groups: int = 1
    calls: int = 0
    positions: int = 0
    quantizer: str = "SteSign"
    is_quantized: bool = True
    bits: float | None = 1
    angles: Angles = field(default_factory=Angles)
    products: Products = field(default_factory=Products)
    inputs: Inputs = field(default_factory=Inputs)
    weights: Weights = field(default_factory=Weights)
    normalization: Normalization | None = None
    alternatives: Alternatives = field(default_factory=Alternatives)
    problems: tuple[str, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    histograms: dict[str, Histogram] = field(
        default_factory=dict[str, Histogram], repr=False
    )

    @property
    def score(self) -> float | None:
        """How much of the dot products is lost: mean over the filters of `1 - r`.

        The larger, the more accuracy binarizing this layer is expected to cost; None
        where nothing was measured.
        """
        return None if self.products.mean is None else 1 - self.products.mean

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts; no NaN among them."""
        return {**plain(self), "score": self.score}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "LayerGeometry":
        """Make an instance from what `to_dict` has returned.

        Args:
            values: The dict; keys that this version does not know are passed over.

        Returns:
            The instance.
        """
        parts: dict[str, Any] = {
            "angles": _made(Angles, values.get("angles")),
            "products": _made(Products, values.get("products")),
            "inputs": _made(Inputs, values.get("inputs")),
            "weights": _made(Weights, values.get("weights")),
            "alternatives": _made(Alternatives, values.get("alternatives")),
            "verdicts": tuple(_made(Verdict, v) for v in values.get("verdicts", ())),
            "histograms": {
                name: _made(Histogram, histogram)
                for name, histogram in values.get("histograms", {}).items()
            },
        }
        if values.get("normalization") is not None:
            parts["normalization"] = _made(Normalization, values["normalization"])
        return _made(cls, {**values, **parts})


def plain(value: Any) -> Any:
    """Return a value as what JSON has, with None for numbers that are not finite.

    Args:
        value: Dataclass, dict, sequence, numpy array or number, nested as one likes.

    Returns:
        Dicts, lists, strings, ints, floats, bools and None.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import plain
        >>> plain({"r": (0.5, float("nan"))})
        {'r': [0.5, None]}
    """
    if dataclasses.is_dataclass(value):
        return {
            f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}  # pyright: ignore
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]  # pyright: ignore
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _made(cls: Any, values: dict[str, Any] | None) -> Any:
    known = {f.name for f in dataclasses.fields(cls)}
    return cls(**{k: _frozen(v) for k, v in (values or {}).items() if k in known})


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(v) for v in value)  # pyright: ignore
    return value

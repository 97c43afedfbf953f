"""From figures to words: what the geometry of a layer says to do."""

import math
from dataclasses import dataclass

from kerasbnn.geometry.layer_geometry import LayerGeometry, Verdict

KINDS = (
    "binarize",
    "ternarize",
    "rotate",
    "whiten",
    "keep_continuous",
    "keep_quantized",
    "not_measured",
    "refit_batchnorm",
    "dead_weights",
    "raise_learning_rate",
)
"""All kinds of verdicts; those up to `"not_measured"` say how to quantize a layer."""


@dataclass(frozen=True)
class Thresholds:
    """Where one verdict ends and another begins.

    Attributes:
        preserved: Mean correlation of the filters from which the dot products of a
            layer count as preserved. At 0.85, 18 % of them change their sign about
            their mean.
        gain: What another way to quantize must add to the correlation to be worth it.
        anisotropy: `rho` below which the filters look along directions of less than
            the mean variance, so that whitening the inputs is considered.
        batchnorm_shift: Median distance between the mean that a batch normalization
            has and the one it sees, in standard deviations, from which it needs a
            refit.
        batchnorm_variance: Factor between the two variances from which it does.
        starved: Largest fraction of weights beyond the reach of the gradient.
        saturated: Largest fraction of weights at the clip value.
        dead: Largest fraction of filters that are constant, or whose signs are all but
            equal.
        flips: Smallest fraction of quantized weights that should have changed since
            the start of training.

    Example:
        >>> from kerasbnn.geometry.verdicts import Thresholds
        >>> Thresholds(preserved=0.9).gain
        0.05

    Reference:
        Anderson & Berg, arXiv 1705.07199: permuted inputs leave 0.8, the layers above
        the first of trained networks 0.9 and more.
    """

    preserved: float = 0.85
    gain: float = 0.05
    anisotropy: float = 0.8
    batchnorm_shift: float = 0.25
    batchnorm_variance: float = 1.5
    starved: float = 0.05
    saturated: float = 0.5
    dead: float = 0.05
    flips: float = 0.005

    def __post_init__(self):
        for name, value in vars(self).items():
            if not (isinstance(value, (int, float)) and math.isfinite(value)):
                raise ValueError(
                    f"The threshold `{name}` must be a finite number. Received: "
                    f"{value!r}."
                )


def judge(
    layer: LayerGeometry, thresholds: Thresholds | None = None
) -> tuple[Verdict, ...]:
    """Say how to quantize a layer, and what is wrong with it.

    Args:
        layer: Its geometry.
        thresholds: The limits; None for the defaults.

    Returns:
        First the verdict about how to quantize the layer, then one for each thing that
        needs to be mended.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry, Products
        >>> from kerasbnn.geometry.verdicts import judge
        >>> layer = LayerGeometry(
        ...     "conv", "conv", "kernel", "QuantConv2D", 1152, 128,
        ...     products=Products(mean=0.93, centred_flips=0.12),
        ... )
        >>> judge(layer)[0].kind
        'binarize'

    Reference:
        Anderson & Berg, arXiv 1705.07199; the rules rest on the prediction `1 / sqrt(1
        + tan^2 / rho)` for other angles and other inputs.
    """
    limits = thresholds or Thresholds()
    others = (_normalization(layer, limits), *_weights(layer, limits))
    return (_quantization(layer, limits), *(v for v in others if v is not None))


def _quantization(layer: LayerGeometry, limits: Thresholds) -> Verdict:
    products, other = layer.products, layer.alternatives
    r = products.mean
    if r is None:
        return Verdict(
            "not_measured",
            " ".join(layer.problems) or "No samples were seen.",
            "Pass data for which the layer computes finite products that vary.",
        )
    seen = f"Dot products with quantized weights correlate at {r:.3f}"
    if products.centred_flips is not None:
        seen += f" ({100 * products.centred_flips:.0f} % of signs change)"
    if r >= limits.preserved:
        return _preserved(layer, f"{seen}, at least {limits.preserved:.2f}.")

    rho = layer.inputs.rho_median
    reason = f"{seen}, less than {limits.preserved:.2f}."
    is_anisotropic = rho is not None and rho < limits.anisotropy
    if is_anisotropic:
        reason += (
            f" The filters look along directions that hold {rho:.2g} of the mean "
            "variance of the inputs"
        )
        if layer.inputs.participation_ratio is not None:
            reason += (
                f", which have {layer.inputs.participation_ratio:.1f} effective "
                f"dimensions of {layer.fan_in}"
            )
        reason += "."
    better = r + limits.gain
    if other.ternary is not None and other.ternary >= max(limits.preserved, better):
        return Verdict(
            "ternarize",
            f"{reason} With three levels {other.ternary:.2f} is expected.",
            "Use `kernel_quantizer=SteTern(optimal_threshold=True)`, or "
            '"ternary" in the plan of `kerasbnn.binarize`.',
        )
    if other.rotated is not None and other.rotated >= better and _is_uneven(layer):
        return Verdict(
            "rotate",
            f"{reason} The angle of {layer.angles.mean:.0f} degrees is large because "
            f"few weights are; in a rotated basis {other.rotated:.2f} is expected.",
            'Use `kernel_quantizer="rotated_sign"`, or "rotated" in the plan of '
            "`kerasbnn.binarize`.",
        )
    if is_anisotropic and other.whitened is not None and other.whitened >= better:
        return Verdict(
            "whiten",
            f"{reason} With whitened inputs {other.whitened:.2f} is expected.",
            "Keep the layer continuous, which costs least where it is the first, or "
            'whiten its inputs: `kernel_quantizer="whitened_sign"` and its adapt.',
        )
    known = {"three levels": other.ternary, "a rotated basis": other.rotated}
    known["whitened inputs"] = other.whitened
    tried = [way for way, value in known.items() if value is not None]
    unknown = [way for way, value in known.items() if value is None]
    if tried:
        reason += f" Of {', '.join(tried)} none is expected to mend it."
    if unknown:
        reason += (
            f" What {' or '.join(unknown)} would do was not measured: that takes more "
            f"windows, such as max_patches={_windows_for(layer)}."
        )
    return Verdict(
        "keep_continuous",
        reason,
        "Leave the weights of this layer continuous (`kernel_quantizer=None`).",
    )


def _windows_for(layer: LayerGeometry) -> int:
    """Return a number of windows from which the covariance is known well enough."""
    return min(max(4 * layer.fan_in + 4, 512), 4096)


def _is_uneven(layer: LayerGeometry) -> bool:
    """Tell whether the angle is larger than Gaussian weights would have it."""
    angles = layer.angles
    if angles.mean is None or angles.expected is None or angles.expected_sd is None:
        return False
    error = angles.expected_sd / math.sqrt(max(layer.filters, 1))
    return angles.mean > angles.expected + 3 * error


def _preserved(layer: LayerGeometry, reason: str) -> Verdict:
    basis = {"RotatedSign": "rotate", "WhitenedSign": "whiten"}.get(layer.quantizer)
    if basis is not None and not layer.is_quantized:
        return Verdict(basis, reason, f"Give it this quantizer: {layer.quantizer}.")
    if layer.bits == 1 and basis is None:
        return Verdict(
            "binarize",
            reason,
            "Nothing to do: binary weights keep what the layer computes."
            if layer.is_quantized
            else 'Make it binary: `kernel_quantizer="ste_sign"`.',
        )
    is_ternary = layer.weights.levels is not None and len(layer.weights.levels) <= 3
    if is_ternary and not layer.is_quantized:
        return Verdict("ternarize", reason, "Make it ternary, as it was measured.")
    remedy = (
        "Nothing to do: the quantized weights keep what the layer computes."
        if layer.is_quantized
        else f"Give it this quantizer: {layer.quantizer}."
    )
    return Verdict("keep_quantized", reason, remedy)


def _normalization(layer: LayerGeometry, limits: Thresholds) -> Verdict | None:
    found = layer.normalization
    if found is None or found.shift is None or found.variance_ratio is None:
        return None
    ratio = max(found.variance_ratio, 1e-12)
    is_shifted = found.shift > limits.batchnorm_shift
    if not is_shifted and max(ratio, 1 / ratio) <= limits.batchnorm_variance:
        return None
    return Verdict(
        "refit_batchnorm",
        f"The statistics of '{found.name}' do not fit what it sees: its mean is off by "
        f"{found.shift:.2f} standard deviations, its variance is "
        f"{found.variance_ratio:.2g} of that. Or the data is scaled otherwise than in "
        "training.",
        "Call `kerasbnn.models.refit_batchnorm(model, training_inputs)`.",
    )


def _weights(layer: LayerGeometry, limits: Thresholds) -> list[Verdict | None]:
    weights = layer.weights
    return [
        _dead(layer, limits),
        Verdict(
            "raise_learning_rate",
            f"Since the start of training {100 * weights.flips_since_start:.2g} % of "
            "the quantized weights have changed.",
            "Train with a larger learning rate, or start from smaller latent weights.",
        )
        if weights.flips_since_start is not None
        and weights.flips_since_start < limits.flips
        else None,
    ]


def _dead(layer: LayerGeometry, limits: Thresholds) -> Verdict | None:
    weights, filters = layer.weights, max(layer.filters, 1)
    reasons: list[str] = []
    remedies: list[str] = []
    if (weights.starved or 0.0) > limits.starved:
        reasons.append(
            f"{100 * (weights.starved or 0):.0f} % of the latent weights are beyond "
            f"{weights.clip_value:g}, where no gradient reaches them."
        )
        remedies.append('Train with `kernel_constraint="weight_clip"`.')
    elif (weights.saturated or 0.0) > limits.saturated:
        reasons.append(
            f"{100 * (weights.saturated or 0):.0f} % of the latent weights are at the "
            "clip value."
        )
        remedies.append("Train with a smaller learning rate.")
    if weights.dead_filters > limits.dead * filters:
        reasons.append(
            f"{weights.dead_filters} of {filters} filters have weights that are all "
            "equal."
        )
        remedies.append("Remove these filters, or initialize them anew and train on.")
    elif layer.fan_in >= 16 and weights.dead_channels > limits.dead * filters:
        reasons.append(
            f"In {weights.dead_channels} of {filters} filters all but 1 % of the signs "
            "are equal."
        )
        remedies.append(
            "Center the weights, as quantizers.IRNetSign does, or initialize anew."
        )
    if not reasons:
        return None
    return Verdict("dead_weights", " ".join(reasons), " ".join(remedies))

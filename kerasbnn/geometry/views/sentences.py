"""The figures of a layer in sentences."""

from kerasbnn.geometry.layer_geometry import LayerGeometry
from kerasbnn.geometry.views.wording import ABSENT, decimal, percent, significant


def sentences(layer: LayerGeometry) -> dict[str, list[str]]:
    """Say in words what was measured of a layer.

    Args:
        layer: The layer.

    Returns:
        Sentences by subject: `"Size"`, `"Angles"`, `"Dot products"`, `"Inputs"`,
        `"Weights"` and `"Alternatives"`. What was not measured is left out, subjects
        without a sentence too.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry
        >>> from kerasbnn.geometry.views.sentences import sentences
        >>> sentences(LayerGeometry("a", "a", "kernel", "Dense", 9, 8))["Size"]
        ['8 filters of 9 weights each.']
    """
    subjects = {
        "Size": _size(layer),
        "Angles": _angles(layer),
        "Dot products": _products(layer),
        "Inputs": _inputs(layer),
        "Weights": _weights(layer),
        "Alternatives": _alternatives(layer),
    }
    return {subject: found for subject, found in subjects.items() if found}


def _size(layer: LayerGeometry) -> list[str]:
    text = f"{_count(layer.filters, 'filter')} of {_count(layer.fan_in, 'weight')} each"
    if layer.groups > 1:
        text += f", in {layer.groups:,} groups"
    found = [f"{text}."]
    if layer.positions:
        found.append(f"{layer.positions:,} dot products were seen of each filter.")
    if layer.calls > 1:
        found.append(f"A forward pass calls the layer {layer.calls} times.")
    return found


def _angles(layer: LayerGeometry) -> list[str]:
    a = layer.angles
    if a.mean is None:
        return []
    text = f"The mean angle is {decimal(a.mean, 1)}°"
    if a.sd is not None:
        text += f" with a standard deviation of {decimal(a.sd, 1)}°"
    found = [f"{text}."]
    if a.lowest is not None and a.highest is not None and layer.filters > 1:
        found.append(
            f"Single filters have {decimal(a.lowest, 1)}° to {decimal(a.highest, 1)}°."
        )
    if a.expected is not None:
        text = f"Gaussian weights would have {decimal(a.expected, 1)}°"
        if a.expected_sd is not None:
            text += f" with a standard deviation of {decimal(a.expected_sd, 1)}°"
        found.append(f"{text}.")
    return found


def _products(layer: LayerGeometry) -> list[str]:
    p = layer.products
    found: list[str] = []
    if p.pooled is not None:
        found.append(f"Over all filters they correlate with {decimal(p.pooled)}.")
    if p.median is not None:
        text = f"The median filter has {decimal(p.median)}"
        rest = [
            ("the mean of all", p.mean),
            ("the lowest", p.lowest),
            ("the 5th percentile", p.p5),
        ]
        known = [f"{name} {decimal(r)}" for name, r in rest if r is not None]
        found.append(", ".join([text, *known]) + ".")
    if p.predicted_median is not None:
        found.append(f"The formula predicts {decimal(p.predicted_median)} for it.")
    if p.quadratic_predicted is not None and p.quadratic_measured is not None:
        found.append(
            f"The covariance of one half of the samples predicts "
            f"{decimal(p.quadratic_predicted)} for the other half, which has "
            f"{decimal(p.quadratic_measured)}."
        )
    if p.permuted is not None:
        found += _permuted(layer)
    if p.activations is not None:
        found.append(
            "Products with the inputs before and after their own quantizer correlate "
            f"with {decimal(p.activations)}."
        )
    flips = [
        (p.raw_flips, "as they are"),
        (p.centred_flips, "with each filter's mean taken off"),
        (p.batchnorm_flips, "at the thresholds of the batch normalization"),
    ]
    known = [f"{percent(share)} {where}" for share, where in flips if share is not None]
    if known:
        found.append(f"Their signs differ in {', '.join(known)}.")
    if p.expected_flips is not None:
        found.append(f"The median correlation lets expect {percent(p.expected_flips)}.")
    if p.constant_filters:
        found.append(f"{_count(p.constant_filters, 'filter')} never varied.")
    return found


def _permuted(layer: LayerGeometry) -> list[str]:
    p = layer.products
    text = f"With permuted inputs the correlation is {decimal(p.permuted)}"
    if p.permuted_error is not None:
        text += f" (standard error {significant(p.permuted_error)})"
    if p.permuted_expected is not None:
        text += f", with {decimal(p.permuted_expected)} expected from the angle alone"
    found = [f"{text}."]
    if p.pooled is not None and p.permuted is not None:
        margin = 2 * (p.permuted_error or 0.0)
        if p.pooled > p.permuted + margin:
            found.append(
                "The data preserves more: most of what the filters see lies along "
                "directions in which the inputs vary much."
            )
        elif p.pooled < p.permuted - margin:
            found.append(
                "The data preserves less: much of what the filters see lies along "
                "directions in which the inputs vary little."
            )
    return found


def _inputs(layer: LayerGeometry) -> list[str]:
    i = layer.inputs
    found: list[str] = []
    if i.is_first:
        found.append("They are what the model is given.")
    if i.quantizer is not None:
        found.append(f"{i.quantizer} quantizes them.")
    if i.mean is not None and i.sd is not None:
        found.append(
            f"Their mean is {significant(i.mean)}, their standard deviation "
            f"{significant(i.sd)}."
        )
    if i.participation_ratio is not None:
        found.append(
            f"Their effective dimension is {significant(i.participation_ratio)} of "
            f"{layer.fan_in:,}, from {_count(i.patches, 'window')}."
        )
    if i.rho_median is not None:
        found.append(
            "Along the weights of the median filter they vary "
            f"{significant(i.rho_median)} times as much as in a mean direction."
        )
    return found


def _weights(layer: LayerGeometry) -> list[str]:
    w = layer.weights
    found: list[str] = []
    if w.mean is not None and w.sd is not None:
        found.append(
            f"Their mean is {significant(w.mean)}, their standard deviation "
            f"{significant(w.sd)}."
        )
    if w.kurtosis is not None:
        found.append(
            f"Their kurtosis is {decimal(w.kurtosis, 2)}: Gaussian weights have 3, "
            "uniform ones 1.8."
        )
    shares = [
        (w.zeros, "are exactly 0"),
        (w.saturated, "are at the clip value or beyond"),
        (w.starved, "are beyond it and get no gradient"),
    ]
    known = [f"{percent(share)} {what}" for share, what in shares if share]
    if known:
        found.append(f"{', '.join(known)}.")
    if w.levels:
        levels = [f"{percent(share)} {value}" for value, share in w.levels.items()]
        found.append(f"Quantized they are {', '.join(levels)}.")
    if w.sign_entropy is not None:
        found.append(f"The signs of a filter have {decimal(w.sign_entropy)} bits each.")
    if w.dead_filters:
        found.append(f"{_count(w.dead_filters, 'filter')} with all weights equal.")
    if w.dead_channels:
        found.append(f"{_count(w.dead_channels, 'filter')} with nearly equal signs.")
    if w.flips_since_start is not None:
        found.append(f"{percent(w.flips_since_start)} have changed since the start.")
    if w.non_finite:
        found.append(f"{_count(w.non_finite, 'weight')} not finite, left out.")
    return found + _normalization(layer)


def _normalization(layer: LayerGeometry) -> list[str]:
    n = layer.normalization
    if n is None or n.shift is None or n.variance_ratio is None:
        return []
    return [
        f"The batch normalization that follows has a mean {significant(n.shift)} "
        "standard deviations from the one it sees, and "
        f"{significant(n.variance_ratio)} times the variance."
    ]


def _alternatives(layer: LayerGeometry) -> list[str]:
    a = layer.alternatives
    ways = [
        ("three levels at the best threshold", a.ternary),
        ("signs in a randomly rotated basis", a.rotated),
        ("signs in the basis that whitens the inputs", a.whitened),
    ]
    known = [f"{way} {decimal(r)}" for way, r in ways if decimal(r) != ABSENT]
    if not known:
        return []
    return [f"In other bases the filters would have on average: {'; '.join(known)}."]


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"

"""Reports on networks that do not exist, with numbers that fit together.

Weights and inputs are drawn, and all figures are measured on them in plain numpy; only
what takes a model (batch normalization, flips since the start) is made up.
"""

import math

import numpy as np

from kerasbnn.geometry.histograms import product_histogram
from kerasbnn.geometry.layer_geometry import (
    Alternatives,
    Angles,
    Inputs,
    LayerGeometry,
    Normalization,
    Products,
    Verdict,
    Weights,
)
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.geometry.theory import (
    angle_standard_deviation_degrees,
    expected_angle_degrees,
)

MARKUP = "[bold red]a|b[/] <script>alert(1)</script> & \"q\" 'p' $x_1$ `t` *s* \\n%"
"""A name with what means something to rich, HTML, Markdown, TeX and Python."""

LONG = "encoder/stage_3/block_12/shortcut/projection/conv_with_a_very_long_name_2"


def correlation(x, y):
    """Pearson's correlation over all elements."""
    return float(np.corrcoef(np.ravel(x), np.ravel(y))[0, 1])


def quantized(weights, threshold):
    """Signs, or three levels where `threshold` is not 0; the sign of 0 is +1."""
    signs = np.where(weights < 0, -1.0, 1.0)
    return np.where(np.abs(weights) > threshold, signs, 0.0) if threshold else signs


def drawn_layer(
    name,
    fan_in,
    filters,
    rng,
    *,
    type_="QuantConv2D",
    samples=400,
    threshold=0.0,
    is_first=False,
):
    """One layer whose figures are measured on drawn weights and inputs.

    Args:
        name: Name of the layer.
        fan_in: Weights per filter.
        filters: Number of filters.
        rng: A numpy generator.
        type_: Name of its class.
        samples: Number of windows it sees.
        threshold: Of a ternary quantizer; 0 for signs.
        is_first: Whether its filters look along directions of little variance.

    Returns:
        A LayerGeometry.
    """
    spectrum = np.arange(1, fan_in + 1) ** (-2.5 if is_first else -0.8)
    basis = np.linalg.qr(rng.normal(size=(fan_in, fan_in)))[0]
    before = rng.normal(size=(samples, fan_in)) * np.sqrt(spectrum * fan_in) @ basis
    inputs = before if is_first else np.where(before < 0, -1.0, 1.0)
    # Filters point where the inputs vary, or, in a first layer, where they do not.
    power = -0.3 if is_first else 0.35
    w = (rng.normal(size=(filters, fan_in)) * spectrum**power) @ basis
    w = np.clip(0.2 * w / w.std(), -1, 1).T
    q = quantized(w, threshold)
    yq, yc = inputs @ q, inputs @ w
    shuffled = rng.permutation(inputs.ravel()).reshape(inputs.shape)
    pq, pc = shuffled @ q, shuffled @ w
    cosines = np.sum(w * q, 0) / np.linalg.norm(w, axis=0) / np.linalg.norm(q, axis=0)
    angles = np.degrees(np.arccos(np.clip(cosines, -1, 1)))
    covariance = np.cov(inputs.T)
    rho = np.diag(w.T @ covariance @ w) / np.sum(w**2, 0)
    rho /= np.trace(covariance) / fan_in
    per_filter = [correlation(yq[:, i], yc[:, i]) for i in range(filters)]
    predicted = 1 / np.sqrt(1 + np.tan(np.radians(angles)) ** 2 / rho)
    slope, intercept = np.polyfit(yq.ravel(), yc.ravel(), 1)
    eigenvalues = np.sort(np.linalg.eigvalsh(covariance))[::-1].clip(0)
    centred = (yq - yq.mean(0)) * (yc - yc.mean(0))
    median = float(np.median(per_filter))
    histograms = {
        "products": product_histogram(yq, yc),
        "permuted": product_histogram(pq, pc),
    }
    if not is_first:
        histograms["activations"] = product_histogram(before @ q, yq)
    layer = {
        "products": Products(
            pooled=correlation(yq, yc),
            slope=float(slope),
            intercept=float(intercept),
            mean=float(np.mean(per_filter)),
            median=median,
            p5=float(np.percentile(per_filter, 5)),
            lowest=min(per_filter),
            predicted_mean=float(np.mean(predicted)),
            predicted_median=float(np.median(predicted)),
            quadratic_predicted=median - 0.004,
            quadratic_measured=median + 0.003,
            permuted=correlation(pq, pc),
            permuted_error=1 / math.sqrt(samples * fan_in),
            permuted_expected=float(np.cos(np.radians(angles.mean()))),
            activations=None if is_first else correlation(before @ q, yq),
            raw_flips=float(np.mean(yq * yc < 0)),
            centred_flips=float(np.mean(centred < 0)),
            batchnorm_flips=float(np.mean(centred < 0)) + 0.004,
            expected_flips=math.acos(median) / math.pi,
            per_filter=tuple(per_filter),
            predicted_per_filter=tuple(predicted.tolist()),
        ),
        "inputs": Inputs(
            quantizer=None if is_first else "SteSign",
            mean=float(inputs.mean()),
            sd=float(inputs.std()),
            patches=samples,
            participation_ratio=float(eigenvalues.sum() ** 2 / (eigenvalues**2).sum()),
            spectrum=tuple((eigenvalues / eigenvalues.sum())[:200].tolist()),
            rho_median=float(np.median(rho)),
            rho_per_filter=tuple(rho.tolist()),
            is_first=is_first,
        ),
        "normalization": Normalization(f"{name}_bn", shift=0.03, variance_ratio=1.02),
        "alternatives": Alternatives(
            ternary=min(0.999, median + 0.05), rotated=median, whitened=0.797
        ),
        "histograms": histograms,
    }
    return LayerGeometry(
        name=name,
        layer=name,
        kernel="kernel",
        type=type_,
        fan_in=fan_in,
        filters=filters,
        calls=1,
        positions=samples,
        quantizer="SteTern" if threshold else "SteSign",
        is_quantized=type_.startswith("Quant"),
        bits=1.58 if threshold else 1,
        angles=Angles(
            mean=float(angles.mean()),
            sd=float(angles.std(ddof=1)) if filters > 1 else None,
            median=float(np.median(angles)),
            lowest=float(angles.min()),
            highest=float(angles.max()),
            expected=29.2 if threshold else expected_angle_degrees(fan_in),
            expected_sd=angle_standard_deviation_degrees(fan_in),
            per_filter=tuple(angles.tolist()),
        ),
        weights=measured_weights(w, q),
        verdicts=made_up_verdicts(name, median, is_first),
        **layer,
    )


def measured_weights(w, q):
    """Statistics of weights and of what they are quantized to."""
    counts, edges = np.histogram(w, bins=60)
    levels, numbers = np.unique(q, return_counts=True)
    return Weights(
        mean=float(w.mean()),
        sd=float(w.std()),
        kurtosis=float(np.mean((w - w.mean()) ** 4) / w.var() ** 2),
        clip_value=1.0,
        zeros=0.0,
        saturated=float(np.mean(np.abs(w) >= 1)),
        starved=0.0,
        sign_entropy=0.9876,
        levels={
            f"{level:g}": float(number / w.size)
            for level, number in zip(levels, numbers, strict=True)
        },
        flips_since_start=0.0789,
        histogram=tuple(counts.tolist()),
        edges=tuple(edges.tolist()),
    )


def made_up_verdicts(name, median, is_first):
    """Verdicts as the audit words them."""
    if is_first:
        return (
            Verdict(
                "keep_continuous",
                f"The median filter keeps a correlation of only {median:.3f} < 0.85, "
                "and its inputs vary along few directions.",
                "Keep the layer continuous: leave `kernel_quantizer` out.",
            ),
            Verdict(
                "refit_batchnorm",
                f"The statistics of {name}_bn are 0.31 standard deviations off.",
                "Call `kerasbnn.models.refit_batchnorm`.",
            ),
        )
    if median < 0.88:
        return (
            Verdict(
                "ternarize",
                f"Signs keep a correlation of {median:.3f}, three levels more.",
                "Set `kernel_quantizer` to `SteTern`.",
            ),
        )
    return (
        Verdict(
            "binarize",
            f"The median filter keeps a correlation of {median:.3f}.",
            "Nothing is to be done.",
        ),
    )


def unmeasured_layer(name="dense_without_samples"):
    """A layer of which nothing is known but its size."""
    return LayerGeometry(
        name=name,
        layer=name,
        kernel="kernel",
        type="QuantDense",
        fan_in=1,
        filters=1,
        bits=None,
        problems=("The layer was never called, so there are no samples.",),
        verdicts=(
            Verdict("not_measured", "There are no samples.", "Give the audit data."),
        ),
    )


def made_up_report(layers=9, seed=0, odd=True):
    """A report on a network whose layers widen.

    Args:
        layers: Number of layers with figures.
        seed: Of what is drawn.
        odd: Whether to add a layer without any figure, a ternary one of a long name,
            a float one with markup in its name, and a layer that was skipped.

    Returns:
        A GeometryReport.
    """
    rng = np.random.default_rng(seed)
    sizes = [
        27 if i == 0 else min(72 * 2 ** (i // 2), 576 if i % 3 else 288)
        for i in range(layers)
    ]
    entries = [
        drawn_layer(
            f"conv_{i + 1}" if i < 6 else f"dense_{i - 5}",
            size,
            10 if i == layers - 1 else 48,
            rng,
            type_="QuantConv2D" if i < 6 else "QuantDense",
            is_first=i == 0,
        )
        for i, size in enumerate(sizes)
    ]
    skipped = {}
    if odd:
        entries.append(drawn_layer(LONG, 144, 32, rng, threshold=0.06))
        entries.append(drawn_layer(MARKUP, 64, 16, rng, type_="Conv2D"))
        entries.append(unmeasured_layer())
        skipped = {"gru/cell": "Recurrent kernels are not audited."}
    return GeometryReport(
        model="net <1> [b]" if odd else "binarynet_cifar10",
        layers=tuple(entries),
        samples=500,
        backend="tensorflow",
        version="0.9.9",
        settings={"max_samples": 500, "thresholds": {"preserved": 0.85}},
        skipped=skipped,
    )

"""Words and numbers as every page about a report writes them."""

import math
from collections import Counter

from kerasbnn.geometry.layer_geometry import LayerGeometry
from kerasbnn.geometry.report import GeometryReport

ABSENT = "-"
"""What stands for a figure that could not be measured."""

_TONES = {
    "binarize": "good",
    "keep_quantized": "good",
    "keep_continuous": "stop",
    "not_measured": "none",
}


def decimal(value: float | None, digits: int = 3) -> str:
    """Write a number with a fixed number of decimals.

    Args:
        value: The number, or None.
        digits: Number of decimals.

    Returns:
        Text; `"-"` for None and for what is not finite.

    Example:
        >>> from kerasbnn.geometry.views.wording import decimal
        >>> decimal(0.77812), decimal(-0.0001), decimal(None)
        ('0.778', '0.000', '-')
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:z.{digits}f}"


def percent(value: float | None, digits: int = 1) -> str:
    """Write a fraction in percent.

    Args:
        value: The fraction, from 0 to 1, or None.
        digits: Number of decimals.

    Returns:
        Text; `"-"` for None and for what is not finite.

    Example:
        >>> from kerasbnn.geometry.views.wording import percent
        >>> percent(0.2214), percent(None)
        ('22.1 %', '-')
    """
    text = decimal(None if value is None else 100 * value, digits)
    return text if text == ABSENT else f"{text} %"


def significant(value: float | None) -> str:
    """Write a number with three digits, or more where it is large.

    Args:
        value: The number, or None.

    Returns:
        Text; `"-"` for None and for what is not finite.

    Example:
        >>> from kerasbnn.geometry.views.wording import significant
        >>> significant(1.5638), significant(1234.5), significant(None)
        ('1.56', '1,234', '-')
    """
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}"


def angle(layer: LayerGeometry, plus_minus: str = "±") -> tuple[str, str]:
    """Write the mean angle of a layer, and the one that is expected.

    Args:
        layer: The layer.
        plus_minus: Sign between a mean and its standard deviation.

    Returns:
        Two texts in degrees, such as `("32.7±3.4", "36.2±3.8")`; the deviation is left
        out where it is not known.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import Angles, LayerGeometry
        >>> from kerasbnn.geometry.views.wording import angle
        >>> angles = Angles(mean=32.71, sd=3.42, expected=36.19)
        >>> layer = LayerGeometry("a", "a", "kernel", "Dense", 27, 8, angles=angles)
        >>> angle(layer, "+-")
        ('32.7+-3.4', '36.2')
    """
    a = layer.angles
    return (
        with_deviation(a.mean, a.sd, 1, plus_minus),
        with_deviation(a.expected, a.expected_sd, 1, plus_minus),
    )


def with_deviation(
    mean: float | None, sd: float | None, digits: int = 3, plus_minus: str = "±"
) -> str:
    """Write a mean and its standard deviation or error.

    Args:
        mean: The mean, or None.
        sd: The deviation, or None, which is left out.
        digits: Number of decimals.
        plus_minus: Sign between the two.

    Returns:
        Text; `"-"` where the mean is None.

    Example:
        >>> from kerasbnn.geometry.views.wording import with_deviation
        >>> with_deviation(0.7971, 0.0012, plus_minus="+-"), with_deviation(0.5, None)
        ('0.797+-0.001', '0.500')
    """
    text, deviation = decimal(mean, digits), decimal(sd, digits)
    return text if ABSENT in (text, deviation) else f"{text}{plus_minus}{deviation}"


def quantizer(layer: LayerGeometry) -> str:
    """Name a layer's quantizer; one that it could get has an arrow before it.

    Args:
        layer: The layer.

    Returns:
        Text, such as `"SteSign"` or `"-> SteSign"`.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry
        >>> from kerasbnn.geometry.views.wording import quantizer
        >>> layer = LayerGeometry("a", "a", "kernel", "Dense", 9, 8, is_quantized=False)
        >>> quantizer(layer)
        '-> SteSign'
    """
    return layer.quantizer if layer.is_quantized else f"-> {layer.quantizer}"


def verdict_word(kind: str) -> str:
    """Write the kind of a verdict as words.

    Args:
        kind: One of `kerasbnn.geometry.verdicts.KINDS`.

    Returns:
        Text.

    Example:
        >>> from kerasbnn.geometry.views.wording import verdict_word
        >>> verdict_word("keep_continuous")
        'keep continuous'
    """
    return kind.replace("_", " ").replace("batchnorm", "BatchNorm")


def tone(kind: str) -> str:
    """Say how a verdict is to be colored.

    Args:
        kind: One of `kerasbnn.geometry.verdicts.KINDS`.

    Returns:
        `"good"` (quantize as it is), `"change"` (something is to be done first),
        `"stop"` (leave it continuous) or `"none"` (nothing was measured).

    Example:
        >>> from kerasbnn.geometry.views.wording import tone
        >>> tone("binarize"), tone("whiten"), tone("keep_continuous")
        ('good', 'change', 'stop')
    """
    return _TONES.get(kind, "change")


def headline(report: GeometryReport) -> str:
    """Sum up a report in one sentence.

    Args:
        report: The report.

    Returns:
        Text, such as `"9 layers: 7 binarize, 2 keep continuous."`

    Example:
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry, Verdict
        >>> from kerasbnn.geometry.report import GeometryReport
        >>> from kerasbnn.geometry.views.wording import headline
        >>> verdict = Verdict("binarize", "It is preserved.", "")
        >>> a = LayerGeometry("a", "a", "kernel", "Dense", 9, 8, verdicts=(verdict,))
        >>> headline(GeometryReport("net", (a,), samples=10))
        '1 layer: 1 binarize.'
    """
    count = len(report.layers)
    text = f"{count} layer" if count == 1 else f"{count} layers"
    kinds = Counter(layer.verdicts[0].kind for layer in report.layers if layer.verdicts)
    parts = [f"{number} {verdict_word(kind)}" for kind, number in kinds.most_common()]
    return f"{text}: {', '.join(parts)}." if parts else f"{text}."


def origin(report: GeometryReport) -> str:
    """Say what a report is made from, and with what.

    Args:
        report: The report.

    Returns:
        Text, such as `"500 samples, tensorflow, kerasbnn 0.3.0"`.

    Example:
        >>> from kerasbnn.geometry.report import GeometryReport
        >>> from kerasbnn.geometry.views.wording import origin
        >>> origin(GeometryReport("net", (), samples=1, backend="jax"))
        '1 sample, jax'
    """
    samples = f"{report.samples:,} sample{'' if report.samples == 1 else 's'}"
    version = f"kerasbnn {report.version}" if report.version else ""
    return ", ".join(part for part in (samples, report.backend, version) if part)


def printable(text: str) -> str:
    """Replace what would break a line or control a terminal.

    Args:
        text: Any text, such as the name of a layer.

    Returns:
        Text of one line.

    Example:
        >>> from kerasbnn.geometry.views.wording import printable
        >>> printable("conv 1")
        'conv 1'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def code_segments(text: str) -> list[tuple[str, bool]]:
    """Split a sentence at the backticks around code.

    Args:
        text: The sentence.

    Returns:
        Pieces, each with whether it is code; none is where a backtick has no partner.

    Example:
        >>> from kerasbnn.geometry.views.wording import code_segments
        >>> code_segments("Call `audit`.")
        [('Call ', False), ('audit', True), ('.', False)]
    """
    pieces = text.split("`")
    if len(pieces) % 2 == 0:
        return [(text, False)]
    marked = [(piece, bool(index % 2)) for index, piece in enumerate(pieces)]
    return [(piece, is_code) for piece, is_code in marked if piece]

"""What the page of a model says of each of its layers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from kerasbnn.geometry.layer_geometry import LayerGeometry
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.geometry.theory import LIMIT_ANGLE_DEGREES, expected_angle_degrees
from kerasbnn.geometry.views.sentences import sentences
from kerasbnn.geometry.views.wording import (
    angle,
    decimal,
    quantizer,
    tone,
    verdict_word,
)

from .charts import angle_histogram
from .figures import Row, pair_of, rows_of
from .health import Health, changes, layer_health
from .wording import with_minus


@dataclass(frozen=True)
class Verdict:
    """What the audit said.

    Attributes:
        tone: "good", "change", "stop" or "none"; gives the color.
        word: What to do, in a word.
        text: Why, and how, with code between backticks.
    """

    tone: str
    word: str
    text: str


@dataclass(frozen=True)
class LayerView:
    """A layer, ready to be shown.

    Attributes:
        name: Its name.
        anchor: What a link to it has behind the `#`.
        kind: Its class and quantizer; "" where only the live geometry knows it.
        size: Its filters and their fan-in, in words.
        health: Whether its geometry holds.
        warnings: What has drifted, in sentences.
        changes: The same in a few words each.
        angle: Mean and standard deviation of its angles.
        expected_angle: The same in theory.
        expected_mean: The mean in theory alone.
        has_limit: Whether its histogram has a line at the limit.
        histogram: Histogram of its angles, or nothing.
        correlation: Correlation of dot products, at the export and live.
        correlations: Both as a chart.
        weight_entropy: Entropy of the signs of a filter, in bits.
        input_entropy: Entropy of the signs of an input channel, at the export and live.
        rows: All figures, live beside the reference.
        verdicts: What the audit said.
        facts: What the audit measured, in sentences by subject.
    """

    name: str
    anchor: str
    kind: str = ""
    size: str = ""
    health: Health = field(default=Health("none", ""))
    warnings: tuple[str, ...] = ()
    changes: str = ""
    angle: str = ""
    expected_angle: str = ""
    expected_mean: str = ""
    has_limit: bool = False
    histogram: Markup = Markup("")
    correlation: tuple[str, str] = ("", "")
    correlations: Markup = Markup("")
    weight_entropy: str = ""
    input_entropy: tuple[str, str] = ("", "")
    rows: tuple[Row, ...] = ()
    verdicts: tuple[Verdict, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)


def layer_views(
    report: GeometryReport | None, live: Mapping[str, Any] | None
) -> list[LayerView]:
    """Put together what is known of the layers of a model.

    Args:
        report: What the audit said at the export, or None.
        live: What the monitor says, or None.

    Returns:
        The layers, in the order of the calls.
    """
    audited = {layer.name: layer for layer in report or ()}
    measured = {layer["name"]: layer for layer in (live or {}).get("layers", ())}
    status = (live or {}).get("status")
    return [
        _view(number, name, audited.get(name), measured.get(name), status)
        for number, name in enumerate(dict.fromkeys([*audited, *measured]), 1)
    ]


def _view(number, name, audited: LayerGeometry | None, measured, status) -> LayerView:
    known: dict[str, Any] = {
        "health": layer_health(measured, status),
        **(_audited(audited) if audited else {}),
        **(_measured(measured) if measured else {}),
    }
    return LayerView(name, f"layer-{number}", **known)


def _audited(layer: LayerGeometry) -> dict[str, Any]:
    measured, expected = angle(layer)
    limit = LIMIT_ANGLE_DEGREES if _is_of_signs(layer) else None
    facts = {key: " ".join(lines) for key, lines in sentences(layer).items()}
    pooled = layer.products.pooled
    return {
        "kind": f"{layer.type}, {quantizer(layer)}",
        "size": f"{layer.filters:,} × {layer.fan_in:,}",
        "angle": measured,
        "expected_angle": expected,
        "expected_mean": decimal(layer.angles.expected, 1),
        "has_limit": limit is not None,
        "histogram": angle_histogram(layer.angles, limit, layer.name),
        "correlation": (with_minus(decimal(pooled)), decimal(None)),
        "weight_entropy": decimal(layer.weights.sign_entropy),
        "verdicts": tuple(
            Verdict(
                tone(found.kind),
                verdict_word(found.kind),
                f"{found.reason} {found.remedy}",
            )
            for found in layer.verdicts
        ),
        "facts": facts,
    }


def _measured(layer: Mapping[str, Any]) -> dict[str, Any]:
    def both(key):
        reference, live = layer["reference"].get(key), layer["live"].get(key)
        return with_minus(decimal(reference)), with_minus(decimal(live))

    return {
        "warnings": tuple(layer["warnings"]),
        "changes": changes(layer.get("kinds", ())),
        "correlation": both("correlation"),
        "correlations": pair_of(layer, "correlation", "Correlation"),
        "input_entropy": both("sign_entropy"),
        "rows": tuple(rows_of(layer)),
    }


def _is_of_signs(layer: LayerGeometry) -> bool:
    """Tell whether theory has a limit of the angles of a layer: it takes signs."""
    expected = layer.angles.expected
    return expected is not None and (
        abs(expected - expected_angle_degrees(layer.fan_in)) < 0.05
    )

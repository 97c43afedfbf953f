"""The figures of a layer, of live requests beside those of the reference."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from kerasbnn.geometry.views.wording import decimal, percent, significant
from kerasbnn.probing.drift_rules import DEVIATIONS, INPUT_MEAN, RULES, SHIFT

from .charts import reference_and_live
from .wording import with_minus

Written = Callable[[float | None], str]


@dataclass(frozen=True)
class Figure:
    """A figure that live requests are compared by.

    Attributes:
        key: Its key in the JSON of the live geometry.
        title: What it is.
        written: How its values are written.
        ends: Ends of the scale that it is drawn on, or None.
    """

    key: str
    title: str
    written: Written
    ends: tuple[float, float] | None = None


FIGURES = (
    Figure("correlation", "Correlation, all filters together", decimal, (0, 1)),
    Figure("mean_correlation", "Correlation, mean of the filters", decimal, (0, 1)),
    Figure("raw_flips", "Products whose sign changes", percent, (0, 1)),
    Figure("saturated", "Saturated inputs", percent, (0, 1)),
    Figure("sign_entropy", "Sign entropy of an input channel, bits", decimal, (0, 1)),
    Figure("negative", "Negative inputs", percent, (0, 1)),
    Figure("dead_channels", "Input channels that keep their sign", percent, (0, 1)),
    Figure("input_mean", "Mean of the inputs", significant),
    Figure("input_sd", "Standard deviation of the inputs", significant),
    Figure("shift", "Distance of the channels' means, sd", significant),
    Figure("rho", "Variance along the weights, relative", significant),
    Figure("batchnorm_shift", "Shift of the BatchNorm, sd", significant),
    Figure("batchnorm_variance_ratio", "Variance ratio of the BatchNorm", significant),
)


@dataclass(frozen=True)
class Row:
    """A figure as a row of a table.

    Attributes:
        title: What it is.
        reference: Its value at the export.
        live: Its value for live requests.
        deviations: By how many standard errors they differ.
        chart: Both on one scale, or nothing.
        warns: Whether it is what a warning is about.
    """

    title: str
    reference: str
    live: str
    deviations: str
    chart: Markup
    warns: bool


def rows_of(layer: Mapping[str, Any]) -> list[Row]:
    """Compare the figures of a layer.

    Args:
        layer: What the live geometry says of it.

    Returns:
        A row for each figure that was measured.
    """
    return [
        _row(layer, figure)
        for figure in FIGURES
        if layer["live"].get(figure.key) is not None
        or layer["reference"].get(figure.key) is not None
    ]


def pair_of(layer: Mapping[str, Any], key: str, title: str) -> Markup:
    """Draw a figure of a layer on the scale from 0 to 1.

    Args:
        layer: What the live geometry says of it.
        key: Key of the figure.
        title: What it is.
    """
    reference, live = layer["reference"].get(key), layer["live"].get(key)
    label = f"{title}: {decimal(reference)} in the reference, {decimal(live)} live"
    return reference_and_live(reference, live, 0, 1, label)


def _row(layer, figure):
    reference, live = layer["reference"].get(figure.key), layer["live"].get(figure.key)
    change = layer["drift"].get(figure.key) or {}
    chart = Markup("")
    if figure.ends is not None:
        words = f"{figure.written(reference)} in the reference"
        label = f"{figure.title}: {words}, {figure.written(live)} live"
        low, high = figure.ends
        chart = reference_and_live(reference, live, low, high, label)
    return Row(
        figure.title,
        with_minus(figure.written(reference)),
        with_minus(figure.written(live)),
        _signed(change.get("deviations")),
        chart,
        _warns(layer, figure.key, live, change),
    )


def _signed(deviations):
    if deviations is None:
        return decimal(None)
    text = decimal(deviations, 1 if abs(deviations) < 100 else 0)
    return with_minus(text) if deviations < 0 else f"+{text}"


def _warns(layer, key, live, change):
    """Tell whether a change is one that a warning of the layer is about."""
    kinds = layer.get("kinds", ())
    if live is None or change.get("change") is None:
        return False
    deviations = change.get("deviations")
    if deviations is not None and abs(deviations) < DEVIATIONS:
        return False
    if key == "shift":
        return INPUT_MEAN in kinds and live >= SHIFT
    expected = live - change["change"]
    rules = [rule for rule in RULES if rule.figure == key]
    return any(rule.kind in kinds and rule.is_large(live, expected) for rule in rules)

"""The charts of the pages."""

import math
from collections.abc import Mapping

import numpy as np
from markupsafe import Markup

from kerasbnn.geometry.layer_geometry import Angles
from kerasbnn.geometry.views.wording import decimal

from .svg import Scale, drawing, element, round_step, titled

# Widest picture that is drawn pixel by pixel.
MOST_PIXELS = 64


def angle_histogram(angles: Angles, limit: float | None, name: str) -> Markup:
    """Draw how many filters have which angle, against what theory expects.

    Args:
        angles: Angles of a layer.
        limit: Angle that theory gives for infinitely many weights, or None.
        name: Name of the layer.

    Returns:
        Bars, a band of two expected standard deviations around the expected mean, and a
        dashed line at the limit; nothing where no filter has an angle.
    """
    values = np.array([a for a in angles.per_filter if a is not None], np.float64)
    if not values.size:
        return Markup("")
    mean, sd = angles.expected, angles.expected_sd or 0.0
    band = () if mean is None else (max(0.0, mean - 2 * sd), mean + 2 * sd)
    marks = [*values.tolist(), *band, *(() if limit is None else (limit,))]
    width = round_step(max((max(marks) - min(marks)) / 20, 0.05))
    first, last = math.floor(min(marks) / width), math.floor(max(marks) / width) + 1
    counts, edges = np.histogram(values, np.arange(first, last + 1) * width)
    x = Scale(edges[0] - width / 2, edges[-1] + width / 2, 34, 352)
    y = Scale(0, counts.max() * 1.08, 150, 8)
    parts = [*_count_axis(y, x), *_axis(x, 150, "angle, degrees")]
    if mean is not None:
        low, high = (float(np.clip(edge, x.low, x.high)) for edge in band)
        place = {"x": x(low), "width": max(x(high) - x(low), 1.0)}
        words = f"Expected: {decimal(mean, 1)}° ± {decimal(sd, 1)}°"
        parts.append(titled("rect", words, y=8, height=142, class_="band", **place))
    for count, left in zip(counts.tolist(), edges[:-1].tolist(), strict=True):
        if count:
            words = f"{left:g}° to {left + width:g}°: {_count(count, 'filter')}"
            place = {"x": x(left) + 0.5, "width": x(left + width) - x(left) - 1}
            place |= {"y": y(count), "height": 150 - y(count)}
            parts.append(titled("rect", words, class_="bar", **place))
    if mean is not None:
        parts.append(_vertical(x(mean), "expected"))
    if limit is not None:
        parts.append(_vertical(x(limit), "limit"))
    label = (
        f"Histogram of the angles of {_count(len(values), 'filter')} of {name}: mean "
        f"{decimal(angles.mean, 1)} degrees, expected {decimal(mean, 1)} degrees."
    )
    return drawing(360, 186, label, parts, "angles")


def reference_and_live(
    reference: float | None, live: float | None, low: float, high: float, label: str
) -> Markup:
    """Draw two values on one line: hollow at the export, filled for live requests.

    Args:
        reference: Value at the export, or None.
        live: Value of live requests, or None.
        low: Start of the line.
        high: Its end.
        label: What it shows.

    Returns:
        The chart; nothing where there is neither.
    """
    if reference is None and live is None:
        return Markup("")
    x = Scale(low, high, 7, 113)
    places = {
        kind: x(min(max(value, low), high))
        for kind, value in (("reference", reference), ("live", live))
        if value is not None
    }
    parts = [element("line", x1=7, x2=113, y1=9, y2=9, class_="rule")]
    if len(places) == 2:
        ends = {"x1": places["reference"], "x2": places["live"]}
        parts.append(element("line", y1=9, y2=9, class_="shift", **ends))
    for kind, place in places.items():
        radius = 5.5 if kind == "reference" else 4.0
        parts.append(element("circle", cx=place, cy=9, r=radius, class_=kind))
    return drawing(120, 18, label, parts, "pair")


def score_bar(score: float | None, low: float, high: float) -> Markup:
    """Draw a score as a bar from zero, on a scale that all bars of a table share.

    Args:
        score: The score, or None.
        low: Lowest score of the table, or 0 if it is lower.
        high: Highest score of the table, or 0 if it is higher.

    Returns:
        The chart, which repeats what the table says and is hidden from readers of it.
    """
    x = Scale(low, high if high > low else low + 1, 0, 200)
    value = 0.0 if score is None else score
    left, right = sorted((x(0.0), x(value)))
    bar = element("rect", x=left, y=2, width=max(right - left, 1.0), height=12)
    return element(
        "svg", bar, viewBox="0 0 200 16", class_="chart score", aria_hidden="true"
    )


def duration_histogram(counts: list[int], bounds: list[str], model: str) -> Markup:
    """Draw how many requests took how long.

    Args:
        counts: Requests between one bound and the next.
        bounds: The bounds in milliseconds, one more than counts.
        model: Name of the model.

    Returns:
        The chart.
    """
    x = Scale(0, len(counts), 36, 404)
    y = Scale(0, max(counts) * 1.08, 110, 8)
    parts = [*_count_axis(y, x), *_baseline(x, 110, "milliseconds")]
    for place, bound in enumerate(bounds):
        where = {"x": x(place), "y": 124, "text_anchor": "middle"}
        parts.append(element("text", bound, class_="tick", **where))
    for place, count in enumerate(counts):
        words = f"{bounds[place]} to {bounds[place + 1]} ms: {_count(count, 'request')}"
        where = {"x": x(place) + 1, "width": x(place + 1) - x(place) - 2}
        where |= {"y": y(count), "height": 110 - y(count)}
        parts.append(titled("rect", words, class_="bar", **where))
    most = max(range(len(counts)), key=counts.__getitem__)
    label = (
        f"Histogram of what {_count(sum(counts), 'request')} to {model} took: most "
        f"took {bounds[most]} to {bounds[most + 1]} milliseconds."
    )
    return drawing(420, 146, label, parts, "times")


def stacked_times(steps: Mapping[str, float]) -> Markup:
    """Draw the steps of a request one after the other.

    Args:
        steps: Milliseconds that each takes, by its name, in their order.

    Returns:
        The chart; nothing where all take no time.
    """
    total = sum(steps.values())
    if total <= 0:
        return Markup("")
    x = Scale(0, total, 0, 240)
    parts: list[Markup] = []
    start = 0.0
    for number, (name, time) in enumerate(steps.items(), 1):
        place = {"x": x(start), "width": x(time), "y": 2, "height": 12}
        words = f"{name}: {time:.3g} ms"
        parts.append(titled("rect", words, class_=f"step-{number}", **place))
        start += time
    words = ", ".join(f"{name} {time:.3g} ms" for name, time in steps.items())
    return drawing(240, 16, f"A request takes: {words}.", parts, "steps")


def picture(pixels: np.ndarray, label: str) -> Markup:
    """Draw an image pixel by pixel, as a model was given it.

    Args:
        pixels: `(height, width, channels)`, uint8; of larger ones each square of pixels
            becomes one.
        label: What it shows.

    Returns:
        The image.
    """
    step = math.ceil(max(pixels.shape[:2]) / MOST_PIXELS)
    shown = pixels[::step, ::step]
    if shown.shape[2] == 1:
        shown = shown.repeat(3, axis=2)
    height, width = shown.shape[:2]
    parts = [
        element("rect", x=x, y=y, width=run, height=1, fill=f"#{color}")
        for y, row in enumerate(shown)
        for x, run, color in _runs(row)
    ]
    return drawing(width, height, label, parts, "picture")


def _runs(row: np.ndarray):
    """Yield start, length and color of each run of equal pixels."""
    changes = np.flatnonzero((row[1:] != row[:-1]).any(axis=1)) + 1
    starts = [0, *changes.tolist()]
    for start, end in zip(starts, [*starts[1:], len(row)], strict=True):
        yield start, end - start, row[start].tobytes().hex()


def _axis(x: Scale, bottom: int, title: str) -> list[Markup]:
    parts = _baseline(x, bottom, title)
    for tick in x.ticks():
        place = {"x": x(tick), "y": bottom + 14, "text_anchor": "middle"}
        parts.append(element("text", f"{tick:g}", class_="tick", **place))
    return parts


def _baseline(x: Scale, bottom: int, title: str) -> list[Markup]:
    middle = {"x": (x.start + x.end) / 2, "y": bottom + 31, "text_anchor": "middle"}
    return [
        element("line", x1=x.start, x2=x.end, y1=bottom, y2=bottom, class_="rule"),
        element("text", title, class_="tick", **middle),
    ]


def _count_axis(y: Scale, x: Scale) -> list[Markup]:
    parts: list[Markup] = []
    for tick in y.ticks(4):
        if tick != int(tick):
            continue
        ends = {"x1": x.start, "x2": x.end, "y1": y(tick), "y2": y(tick)}
        parts.append(element("line", class_="grid", **ends))
        place = {"x": x.start - 5, "y": y(tick) + 4, "text_anchor": "end"}
        parts.append(element("text", f"{tick:g}", class_="tick", **place))
    return parts


def _vertical(place: float, class_: str) -> Markup:
    return element("line", x1=place, x2=place, y1=8, y2=150, class_=class_)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" if number == 1 else f"{number:,} {thing}s"

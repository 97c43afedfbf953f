"""Plots of the weights: their angles, how these scatter, and their distribution."""

# matplotlib leaves its keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from kerasbnn.geometry.angles import (
    ANGLE_BANDWIDTH_DEGREES,
    angle_density,
    deviation_slope,
)
from kerasbnn.geometry.layer_geometry import LayerGeometry, Weights
from kerasbnn.geometry.theory import (
    LIMIT_ANGLE_DEGREES,
    angle_standard_deviation_degrees,
    expected_angle_degrees,
)
from kerasbnn.geometry.views.plots_canvas import (
    INK,
    SHADE,
    add_legend,
    add_note,
    empty_figure,
    line_of,
    marker_of,
    new_axes,
    new_figure,
    plain_log_axes,
    short_name,
)

COLOR_OF_FIT = "#4d4d4d"

Indexed = Sequence[tuple[int, LayerGeometry]]
"""Layers with their places in the report, which give them their colors."""


def draw_angles(ax: Axes, layers: Indexed) -> float | None:
    """Draw the density of each layer's angles, and dashed lines at the theory.

    Args:
        ax: Axes to draw on.
        layers: Layers with angles.

    Returns:
        The angle of the line that all layers of signs share, or None without one; other
        layers have their own, each in the layer's color.

    Example:
        >>> from kerasbnn.geometry.views.plots_canvas import new_axes, new_figure
        >>> from kerasbnn.geometry.views.plots_weights import draw_angles
        >>> draw_angles(new_axes(new_figure(4, 3))[0], [])
    """
    marks = [value for _, layer in layers for value in _angles(layer).tolist()]
    shared = LIMIT_ANGLE_DEGREES if any(_is_of_signs(g) for _, g in layers) else None
    expected = [layer.angles.expected for _, layer in layers]
    if shared is not None and len(layers) == 1 and expected[0] is not None:
        shared = expected[0]
    marks += [angle for angle in (shared, *expected) if angle is not None]
    if not marks:
        return None
    low = max(0.0, min(marks) - 4 * ANGLE_BANDWIDTH_DEGREES)
    high = min(180.0, max(marks) + 4 * ANGLE_BANDWIDTH_DEGREES)
    grid = np.arange(
        low, high + ANGLE_BANDWIDTH_DEGREES / 4, ANGLE_BANDWIDTH_DEGREES / 4
    )
    for index, layer in layers:
        line = line_of(index)
        line.set_data(grid, angle_density(_angles(layer), grid))
        ax.add_line(line)
        if layer.angles.expected is not None and not _is_of_signs(layer):
            ax.axvline(layer.angles.expected, color=line.get_color(), ls=":", lw=1.2)
    if shared is not None:
        ax.axvline(shared, color=INK, ls="--", lw=1)
    ax.autoscale_view()
    ax.set_xlim(low, high)
    ax.set_ylim(bottom=0)
    return shared


def plot_angles(layers: Sequence[LayerGeometry]) -> Figure:
    """Plot the densities of the angles between continuous and quantized weights.

    Args:
        layers: All layers of a report.

    Returns:
        The figure.

    Example:
        >>> from kerasbnn.geometry.views.plots_weights import plot_angles
        >>> plot_angles([]).axes
        []

    Reference:
        Anderson & Berg, arXiv 1705.07199, figure 2b.
    """
    lacks = "angles"
    shown = [(i, g) for i, g in enumerate(layers) if _angles(g).size]
    left_out = [layer for layer in layers if not _angles(layer).size]
    if not shown:
        return empty_figure(left_out, lacks)
    figure = new_figure(8.4, max(3.8, 0.19 * len(shown) + 1.4))
    (ax,) = new_axes(
        figure,
        x="angle between continuous and quantized weights, degrees",
        y="density over the filters",
    )
    shared = draw_angles(ax, shown)
    handles = [line_of(index) for index, _ in shown]
    labels = [f"{short_name(g)}, d = {g.fan_in:,}" for _, g in shown]
    if shared is not None:
        handles.append(Line2D([], [], color=INK, ls="--", lw=1))
        labels.append(f"signs of Gaussian weights: {shared:.2f}°")
    if any(g.angles.expected is not None and not _is_of_signs(g) for _, g in shown):
        handles.append(Line2D([], [], color=SHADE, ls=":", lw=1.2))
        labels.append("other quantizers, expected")
    add_legend(figure, handles, labels)
    add_note(figure, left_out, lacks)
    return figure


def draw_weights(ax: Axes, layers: Indexed):
    """Draw the density of each layer's weights on a logarithmic axis.

    Args:
        ax: Axes to draw on.
        layers: Layers with histograms of their weights.

    Example:
        >>> from kerasbnn.geometry.views.plots_canvas import new_axes, new_figure
        >>> from kerasbnn.geometry.views.plots_weights import draw_weights
        >>> draw_weights(new_axes(new_figure(4, 3))[0], [])
    """
    for index, layer in layers:
        counts, edges = _widened(layer.weights)
        density = counts / counts.sum() / np.diff(edges)
        line = line_of(index)
        # A logarithmic axis has no place for empty bins.
        filled = density > 0
        line.set_data((edges[:-1] + edges[1:])[filled] / 2, density[filled])
        if filled.sum() == 1:
            line.set_marker("o")
        ax.add_line(line)
        threshold = implied_threshold(layer.weights)
        if threshold is not None:
            for position in (-threshold, threshold):
                ax.axvline(position, color=line.get_color(), ls=":", lw=1.2)
    ax.autoscale_view()
    plain_log_axes(ax, y=True)


def _widened(weights: Weights) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return counts and edges of bins so wide that they hold 10 weights in the mean."""
    counts = np.asarray(weights.histogram, dtype=np.float64)
    size = max(1, math.ceil(10 * counts.size / counts.sum()))
    starts = np.arange(0, counts.size, size)
    ends = np.append(starts, counts.size)
    return np.add.reduceat(counts, starts), np.asarray(weights.edges)[ends]


def plot_weights(layers: Sequence[LayerGeometry]) -> Figure:
    """Plot the densities of the continuous weights.

    Args:
        layers: All layers of a report.

    Returns:
        The figure.

    Example:
        >>> from kerasbnn.geometry.views.plots_weights import plot_weights
        >>> plot_weights([]).axes
        []

    Reference:
        Anderson & Berg, arXiv 1705.07199, figure 2c.
    """
    lacks = "a histogram of the weights"
    shown = [(i, g) for i, g in enumerate(layers) if sum(g.weights.histogram)]
    left_out = [layer for layer in layers if not sum(layer.weights.histogram)]
    if not shown:
        return empty_figure(left_out, lacks)
    figure = new_figure(8.4, max(3.8, 0.19 * len(shown) + 1.4))
    (ax,) = new_axes(figure, x="continuous weight", y="density")
    draw_weights(ax, shown)
    handles = [line_of(index) for index, _ in shown]
    labels = [short_name(layer) for _, layer in shown]
    if any(implied_threshold(layer.weights) is not None for _, layer in shown):
        handles.append(Line2D([], [], color=SHADE, ls=":", lw=1.2))
        labels.append("threshold of three levels")
    add_legend(figure, handles, labels)
    add_note(figure, left_out, lacks)
    return figure


def implied_threshold(weights: Weights) -> float | None:
    """Return the magnitude below which three levels have their 0.

    Args:
        weights: Statistics with the fractions of the levels and a histogram.

    Returns:
        The threshold for which the histogram has as many weights below as are 0, or
        None where the levels are not three with a 0 among them.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import Weights
        >>> from kerasbnn.geometry.views.plots_weights import implied_threshold
        >>> levels = {"-1": 0.4, "0": 0.2, "1": 0.4}
        >>> implied_threshold(
        ...     Weights(levels=levels, histogram=(5, 5), edges=(-1.0, 0.0, 1.0))
        ... )
        0.2
    """
    levels = {float(value): share for value, share in (weights.levels or {}).items()}
    if len(levels) != 3 or 0.0 not in levels or not sum(weights.histogram):
        return None
    edges = np.asarray(weights.edges)
    below = np.concatenate(([0.0], np.cumsum(weights.histogram)))
    magnitudes = np.linspace(0.0, float(np.max(np.abs(edges))), 2001)
    within = np.interp(magnitudes, edges, below) - np.interp(-magnitudes, edges, below)
    return float(np.interp(levels[0.0], within / below[-1], magnitudes))


def plot_deviations(layers: Sequence[LayerGeometry]) -> Figure:
    """Plot the standard deviation of the angle against the fan-in, both logarithmic.

    Args:
        layers: All layers of a report.

    Returns:
        The figure.

    Example:
        >>> from kerasbnn.geometry.views.plots_weights import plot_deviations
        >>> plot_deviations([]).axes
        []

    Reference:
        Anderson & Berg, arXiv 1705.07199, figure 2b, inset.
    """
    lacks = "a standard deviation of the angle"
    shown = [(i, g) for i, g in enumerate(layers) if g.angles.sd]
    left_out = [layer for layer in layers if not layer.angles.sd]
    if not shown:
        return empty_figure(left_out, lacks)
    figure = new_figure(8.4, max(3.8, 0.19 * len(shown) + 1.8))
    (ax,) = new_axes(
        figure,
        x="fan-in d",
        y="standard deviation of the angle, degrees",
    )
    d = np.asarray([layer.fan_in for _, layer in shown], dtype=np.float64)
    sd = np.asarray([layer.angles.sd for _, layer in shown], dtype=np.float64)
    for (index, _), x, y in zip(shown, d.tolist(), sd.tolist(), strict=True):
        color, marker = line_of(index).get_color(), marker_of(index)
        ax.plot([x], [y], marker, color=color, ms=7, mec=INK, mew=0.5, zorder=3)
    low, high = max(2.0, float(d.min()) / 1.5), max(4.0, float(d.max()) * 1.5)
    handles: list[Line2D] = [
        Line2D([], [], color=line_of(i).get_color(), marker=marker_of(i), ls="", ms=6)
        for i, _ in shown
    ]
    labels = [short_name(layer) for _, layer in shown]
    span = np.geomspace(low, high, 60)
    theory = [angle_standard_deviation_degrees(round(float(x))) for x in span]
    handles += ax.plot(span, theory, color=SHADE, ls=":", lw=1.4)
    labels.append("signs of Gaussian weights")
    # The paper's line: of slope -1/2, through the middle of the points.
    offset = float(np.mean(np.log(sd) + 0.5 * np.log(d)))
    handles += ax.plot(span, math.exp(offset) * span**-0.5, color=INK, ls="--", lw=1)
    labels.append("slope -1/2")
    slope = deviation_slope(d, sd)
    if math.isfinite(slope):
        middle = float(np.mean(np.log(sd) - slope * np.log(d)))
        fitted = math.exp(middle) * span**slope
        handles += ax.plot(span, fitted, color=COLOR_OF_FIT, lw=1.2)
        labels.append(f"fitted slope {slope:.2f}")
    plain_log_axes(ax, x=True, y=True)
    add_legend(figure, handles, labels)
    add_note(figure, left_out, lacks)
    return figure


def _angles(layer: LayerGeometry) -> NDArray[np.float64]:
    known = [angle for angle in layer.angles.per_filter if angle is not None]
    values = np.asarray(known, dtype=np.float64)
    return values[np.isfinite(values)]


def _is_of_signs(layer: LayerGeometry) -> bool:
    expected = layer.angles.expected
    if expected is None or layer.fan_in < 1:
        return False
    return abs(expected - expected_angle_degrees(layer.fan_in)) < 0.05

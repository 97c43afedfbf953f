"""Plot of the inputs: the spectrum of their covariance."""

# matplotlib leaves its keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasbnn.geometry.layer_geometry import LayerGeometry
from kerasbnn.geometry.views.plots_canvas import (
    add_legend,
    add_note,
    empty_figure,
    line_of,
    new_axes,
    new_figure,
    plain_log_axes,
    short_name,
)
from kerasbnn.geometry.views.wording import significant


def draw_spectrum(ax: Axes, layers: Sequence[tuple[int, LayerGeometry]]):
    """Draw the share of the variance along each principal direction of the inputs.

    Args:
        ax: Axes to draw on.
        layers: Layers with spectra, and their places in the report.

    Example:
        >>> from kerasbnn.geometry.views.plots_canvas import new_axes, new_figure
        >>> from kerasbnn.geometry.views.plots_inputs import draw_spectrum
        >>> draw_spectrum(new_axes(new_figure(4, 3))[0], [])
    """
    for index, layer in layers:
        shares = np.asarray(_shares(layer))
        line = line_of(index)
        line.set_data(np.arange(1, len(shares) + 1), shares)
        if len(shares) < 3:
            line.set_marker("o")
        ax.add_line(line)
    ax.autoscale_view()
    plain_log_axes(ax, x=True, y=True)


def plot_spectrum(layers: Sequence[LayerGeometry]) -> Figure:
    """Plot the spectra of the inputs of all layers, both axes logarithmic.

    Args:
        layers: All layers of a report.

    Returns:
        The figure.

    Example:
        >>> from kerasbnn.geometry.views.plots_inputs import plot_spectrum
        >>> plot_spectrum([]).axes
        []
    """
    lacks = "a spectrum of the inputs"
    shown = [(i, g) for i, g in enumerate(layers) if _shares(g)]
    left_out = [layer for layer in layers if not _shares(layer)]
    if not shown:
        return empty_figure(left_out, lacks)
    figure = new_figure(8.4, max(3.8, 0.19 * len(shown) + 1.4))
    (ax,) = new_axes(
        figure, x="principal direction of the inputs", y="share of the variance"
    )
    draw_spectrum(ax, shown)
    labels = [
        f"{short_name(g)}, d_eff = {significant(g.inputs.participation_ratio)} "
        f"of {g.fan_in:,}"
        for _, g in shown
    ]
    add_legend(figure, [line_of(index) for index, _ in shown], labels)
    add_note(figure, left_out, lacks)
    return figure


def _shares(layer: LayerGeometry) -> list[float]:
    """Return the eigenvalues that a logarithmic axis can show, from the largest on."""
    shares: list[float] = []
    for value in layer.inputs.spectrum:
        # What is left after these is rounding.
        if value is None or not value > 1e-12:
            break
        shares.append(value)
    return shares

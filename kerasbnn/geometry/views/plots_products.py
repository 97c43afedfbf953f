"""Plots of dot products: pairs of them as 2-D histograms."""

# matplotlib leaves its keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import Normal, Stroke
from matplotlib.ticker import PercentFormatter

from kerasbnn.geometry.layer_geometry import Histogram, LayerGeometry
from kerasbnn.geometry.views.plots_canvas import (
    FONT_SIZE,
    INK,
    PAPER,
    SHADE,
    add_note,
    empty_figure,
    new_axes,
    new_figure,
    short_name,
)
from kerasbnn.geometry.views.wording import decimal

LABELS = {
    "products": ("dot product with quantized weights", "with continuous weights"),
    "permuted": (
        "dot product with quantized weights, inputs permuted",
        "with continuous weights",
    ),
    "activations": (
        "dot product with the inputs before their quantizer",
        "with the quantized inputs",
    ),
}
"""Labels of the two axes, by the name of the histogram."""

# Viridis without its ends, which would be lost on a dark or on a light page.
_COLORS = LinearSegmentedColormap.from_list(
    "viridis_middle", ("#46327e", "#365c8d", "#277f8e", "#1fa187", "#4ac16d", "#c2df23")
)
_LINE = "#d55e00"


def correlation_of(layer: LayerGeometry, name: str) -> float | None:
    """Return the correlation that belongs to a histogram of a layer.

    Args:
        layer: The layer.
        name: Name of the histogram.

    Returns:
        The correlation over all filters, or None.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry, Products
        >>> from kerasbnn.geometry.views.plots_products import correlation_of
        >>> products = Products(pooled=0.9, permuted=0.8)
        >>> layer = LayerGeometry("a", "a", "kernel", "Dense", 9, 8, products=products)
        >>> correlation_of(layer, "permuted")
        0.8
    """
    products = layer.products
    by_name = {"products": products.pooled, "permuted": products.permuted}
    return by_name.get(name, products.activations)


def dimmest_share(layers: Sequence[LayerGeometry], name: str) -> float:
    """Return the share of the fullest bin at which the colors should begin.

    Args:
        layers: Layers that have the histogram.
        name: Name of the histogram.

    Returns:
        The least share in any of them, within 1e-4 and 0.1.

    Example:
        >>> from kerasbnn.geometry.views.plots_products import dimmest_share
        >>> dimmest_share([], "products")
        0.1
    """
    shares = [
        min(count for row in counts for count in row if count) / max(map(max, counts))
        for counts in (layer.histograms[name].counts for layer in layers)
    ]
    return max(1e-4, min(shares, default=0.1))


def draw_pairs(
    ax: Axes, layer: LayerGeometry, name: str, dimmest: float = 1e-4
) -> AxesImage:
    """Draw one of a layer's histograms, with its regression line.

    The quadrants in which the two products differ in sign are gray.

    Args:
        ax: Axes to draw on.
        layer: A layer that has the histogram.
        name: Name of the histogram.
        dimmest: Share of the fullest bin at which the colors begin.

    Returns:
        The image, whose values are shares of the fullest bin.

    Example:
        >>> from kerasbnn.geometry.histograms import product_histogram
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry
        >>> from kerasbnn.geometry.views.plots_canvas import new_axes, new_figure
        >>> from kerasbnn.geometry.views.plots_products import draw_pairs
        >>> histograms = {"products": product_histogram([1.0, -1.0], [0.5, -0.2])}
        >>> layer = LayerGeometry(
        ...     "a", "a", "kernel", "Dense", 9, 8, histograms=histograms
        ... )
        >>> ax = new_axes(new_figure(3, 3))[0]
        >>> float(draw_pairs(ax, layer, "products").get_array().max())
        1.0

    Reference:
        Anderson & Berg, arXiv 1705.07199, figure 3.
    """
    histogram = layer.histograms[name]
    (left, *_, right), (bottom, *_, top) = histogram.x_edges, histogram.y_edges
    for corner, width, height in (
        ((left, 0), -left, top),
        ((0, bottom), right, -bottom),
    ):
        ax.add_patch(
            Rectangle(corner, width, height, fc=SHADE, alpha=0.28, lw=0, zorder=0)
        )
    counts = np.asarray(histogram.counts, dtype=np.float64).T
    image = ax.imshow(
        np.ma.masked_equal(counts / counts.max(), 0),
        origin="lower",
        extent=(left, right, bottom, top),
        aspect="auto",
        interpolation="none",
        cmap=_COLORS,
        norm=LogNorm(min(dimmest, 0.1), 1),
        zorder=2,
    )
    line = regression(layer, name)
    if line is not None:
        slope, intercept = line
        ax.plot(
            [left, right],
            [intercept + slope * left, intercept + slope * right],
            color=_LINE,
            ls="--",
            lw=1.5,
            zorder=3,
            path_effects=[Stroke(linewidth=3, foreground=PAPER), Normal()],
        )
    ax.set_xlim(left, right)
    ax.set_ylim(bottom, top)
    ax.locator_params(nbins=4)
    return image


def regression(layer: LayerGeometry, name: str) -> tuple[float, float] | None:
    """Return slope and intercept of the regression along one of a layer's histograms.

    Args:
        layer: A layer that has the histogram.
        name: Name of the histogram.

    Returns:
        Slope and intercept: those of the report for `"products"`, for others estimated
        from the histogram. None where the first products do not vary.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import Histogram, LayerGeometry
        >>> from kerasbnn.geometry.views.plots_products import regression
        >>> edges = (-2.0, 0.0, 2.0)
        >>> histogram = Histogram(edges, edges, ((3, 1), (1, 3)))
        >>> layer = LayerGeometry(
        ...     "a", "a", "kernel", "Dense", 9, 8, histograms={"permuted": histogram}
        ... )
        >>> regression(layer, "permuted")
        (0.5, 0.0)
    """
    slope, intercept = layer.products.slope, layer.products.intercept
    if name == "products":
        return None if slope is None or intercept is None else (slope, intercept)
    histogram = layer.histograms[name]
    counts = np.asarray(histogram.counts, dtype=np.float64)
    weights = counts / counts.sum()
    x, y = _centres(histogram.x_edges), _centres(histogram.y_edges)
    mean_x = float(weights.sum(axis=1) @ x)
    mean_y = float(weights.sum(axis=0) @ y)
    variance = float(weights.sum(axis=1) @ (x - mean_x) ** 2)
    if variance == 0:
        return None
    slope = float((x - mean_x) @ weights @ (y - mean_y)) / variance
    return slope, mean_y - slope * mean_x


def plot_pairs(layers: Sequence[LayerGeometry], name: str) -> Figure:
    """Plot one of the histograms of all layers, a panel for each.

    Args:
        layers: All layers of a report.
        name: `"products"`, `"permuted"` or `"activations"`.

    Returns:
        The figure.

    Example:
        >>> from kerasbnn.geometry.views.plots_products import plot_pairs
        >>> plot_pairs([], "products").axes
        []

    Reference:
        Anderson & Berg, arXiv 1705.07199, figure 3.
    """
    lacks = "these dot products"
    shown = [layer for layer in layers if has_pairs(layer, name)]
    left_out = [layer for layer in layers if not has_pairs(layer, name)]
    if not shown:
        return empty_figure(left_out, lacks)
    columns = min(len(shown), max(3, math.ceil(math.sqrt(len(shown)))))
    rows = math.ceil(len(shown) / columns)
    figure = new_figure(2.2 * columns + 1.3, 2.15 * rows + 0.8)
    x, y = LABELS[name]
    axes = new_axes(figure, x=x, y=y, rows=rows, columns=columns)
    image, dimmest = None, dimmest_share(shown, name)
    for ax, layer in zip(axes, shown, strict=False):
        image = draw_pairs(ax, layer, name, dimmest)
        r = decimal(correlation_of(layer, name))
        title = ax.set_title(
            f"{short_name(layer, 24)}\nr = {r}", fontsize=FONT_SIZE, color=INK
        )
        title.set_parse_math(False)
    for ax in axes[len(shown) :]:
        ax.remove()
    if image is not None:
        bar = figure.colorbar(
            image,
            ax=axes[: len(shown)],
            shrink=0.7,
            aspect=30,
            format=PercentFormatter(1, symbol=" %"),
        )
        bar.set_label("pairs, of the fullest bin", color=INK, fontsize=FONT_SIZE)
        bar.ax.tick_params(colors=INK, labelsize=FONT_SIZE - 1)
    add_note(figure, left_out, lacks)
    return figure


def has_pairs(layer: LayerGeometry, name: str) -> bool:
    """Say whether a layer has a histogram with something in it.

    Args:
        layer: The layer.
        name: Name of the histogram.

    Returns:
        True if there is something to draw.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry
        >>> from kerasbnn.geometry.views.plots_products import has_pairs
        >>> has_pairs(LayerGeometry("a", "a", "kernel", "Dense", 9, 8), "products")
        False
    """
    histogram: Histogram | None = layer.histograms.get(name)
    return histogram is not None and any(map(any, histogram.counts))


def _centres(edges: tuple[float, ...]):
    array = np.asarray(edges)
    return (array[1:] + array[:-1]) / 2

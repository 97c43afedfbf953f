"""The plots of an HTML report: of all layers together, and of each by itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from kerasbnn.geometry.layer_geometry import LayerGeometry
from kerasbnn.geometry.views.plots_canvas import new_axes, new_figure
from kerasbnn.geometry.views.plots_inputs import plot_spectrum
from kerasbnn.geometry.views.plots_products import (
    LABELS,
    correlation_of,
    dimmest_share,
    draw_pairs,
    has_pairs,
)
from kerasbnn.geometry.views.plots_weights import (
    draw_angles,
    draw_weights,
    plot_angles,
    plot_deviations,
    plot_weights,
)
from kerasbnn.geometry.views.wording import decimal

PANEL_SIZE = (3.3, 2.7)
"""Width and height of the plots of one layer, in inches."""


@dataclass(frozen=True)
class Illustration:
    """A plot and its words.

    Attributes:
        figure: The plot.
        caption: What stands below it.
        description: What it shows, for those who cannot see it.
    """

    figure: Figure
    caption: str
    description: str


_OVERVIEWS = (
    (
        plot_angles,
        "Angles between each filter's continuous and quantized weights. The wider a "
        "layer, the narrower its peak. Gaussian weights of many inputs would gather at "
        "the dashed line.",
        "Densities of the angles of all layers",
    ),
    (
        plot_deviations,
        "Standard deviation of these angles against the fan-in. In theory it falls as "
        "one over its square root.",
        "Standard deviation of the angle against the fan-in, with the line of slope "
        "-1/2",
    ),
    (
        plot_weights,
        "Continuous weights, on a logarithmic axis.",
        "Densities of the continuous weights of all layers",
    ),
    (
        plot_spectrum,
        "Share of the variance of the inputs along each principal direction. A steep "
        "line means that few directions carry nearly all.",
        "Spectra of the covariance of the inputs of all layers",
    ),
)

_PAIRS = (
    (
        "products",
        "Dot products with quantized and with continuous weights. In the gray "
        "quadrants their signs differ.",
        ("with quantized weights", "with continuous weights"),
    ),
    (
        "permuted",
        "The same where the inputs are permuted.",
        ("with quantized weights", "with continuous weights"),
    ),
    (
        "activations",
        "Products with the inputs before and after their quantizer.",
        ("with inputs before quantizer", "with quantized inputs"),
    ),
)


def overview(layers: Sequence[LayerGeometry]) -> Iterator[Illustration]:
    """Draw the plots that compare all layers, one after the other.

    Args:
        layers: All layers of a report.

    Yields:
        Illustrations; none of a plot for which no layer has the data.

    Example:
        >>> from kerasbnn.geometry.views.html_figures import overview
        >>> list(overview([]))
        []
    """
    for draw, caption, description in _OVERVIEWS:
        figure = draw(layers)
        if figure.axes:
            yield Illustration(figure, caption, f"{description}.")


def panels(index: int, layer: LayerGeometry) -> Iterator[Illustration]:
    """Draw the plots of one layer, one after the other.

    Args:
        index: Place of the layer in its report, which gives it its color.
        layer: The layer.

    Yields:
        Illustrations, of what the layer has data for.

    Example:
        >>> from kerasbnn.geometry.views.html_figures import panels
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry
        >>> list(panels(0, LayerGeometry("a", "a", "kernel", "Dense", 9, 8)))
        []
    """
    for name, caption, labels in _PAIRS:
        if has_pairs(layer, name):
            figure, ax = _panel(*labels)
            x, y = LABELS[name]
            draw_pairs(ax, layer, name, dimmest_share([layer], name))
            r = decimal(correlation_of(layer, name))
            yield Illustration(
                figure,
                f"{caption} r = {r}.",
                f"2-D histogram of {layer.name}: {x}, against that {y}. "
                f"The correlation is {r}.",
            )
    if any(angle is not None for angle in layer.angles.per_filter):
        figure, ax = _panel("angle, degrees", "density over the filters")
        draw_angles(ax, [(index, layer)])
        mean = decimal(layer.angles.mean, 1)
        yield Illustration(
            figure,
            f"Angles of the filters, {mean}° in the mean. The line is where "
            "Gaussian weights would be.",
            f"Density of the angles of the filters of {layer.name}, mean {mean} "
            "degrees.",
        )
    if sum(layer.weights.histogram):
        figure, ax = _panel("continuous weight", "density")
        draw_weights(ax, [(index, layer)])
        yield Illustration(
            figure,
            "Continuous weights, on a logarithmic axis.",
            f"Density of the continuous weights of {layer.name}.",
        )


def _panel(x: str, y: str) -> tuple[Figure, Axes]:
    # To find the best margins would take three times as long as all the rest.
    figure = new_figure(*PANEL_SIZE, margins=(0.2, 0.17, 0.97, 0.97))
    (ax,) = new_axes(figure, x=x, y=y)
    return figure, ax

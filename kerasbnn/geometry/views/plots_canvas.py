"""What all plots share: figures, axes, colors, legends and notes.

Everything is set on the figure itself; matplotlib's global state is left alone.
"""

# matplotlib leaves its keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import textwrap
from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from kerasbnn.geometry.layer_geometry import LayerGeometry
from kerasbnn.geometry.views.wording import printable

INK = "#212529"
"""Of texts and axes, and nothing else: a page may replace it by its own."""

PAPER = "#ffffff"
SHADE = "#8c8c8c"
"""A gray that is seen on light and on dark pages."""

# Those of Okabe and Ito, which color-blind people can tell apart, without the yellow
# and the black, which one of the two kinds of page would swallow.
COLORS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#8c6d31")
_DASHES = ("-", "--", "-.")
_MARKERS = ("o", "s", "^")

FONT_SIZE = 9.0


def new_figure(
    width: float,
    height: float,
    *,
    margins: tuple[float, float, float, float] | None = None,
) -> Figure:
    """Make a figure that belongs to no window and no global list.

    Args:
        width: In inches.
        height: In inches.
        margins: Where the axes end: left, bottom, right and top, from 0 to 1. None
            finds out how much the labels need.

    Returns:
        The figure.

    Example:
        >>> from kerasbnn.geometry.views.plots_canvas import new_figure
        >>> new_figure(4, 3).axes
        []
    """
    layout = "constrained" if margins is None else None
    figure = Figure(figsize=(width, height), layout=layout, facecolor=PAPER)
    if margins is not None:
        # Or the user's settings might bring an engine that ignores them.
        figure.set_layout_engine("none")
        figure.subplots_adjust(*margins)
    return figure


def new_axes(
    figure: Figure, *, x: str = "", y: str = "", rows: int = 1, columns: int = 1
) -> list[Axes]:
    """Add axes in a grid to a figure.

    Args:
        figure: The figure.
        x: Label below.
        y: Label at the left.
        rows: Number of rows.
        columns: Number of columns.

    Returns:
        All axes, row by row.

    Example:
        >>> from kerasbnn.geometry.views.plots_canvas import new_axes, new_figure
        >>> len(new_axes(new_figure(4, 3), rows=2, columns=2))
        4
    """
    grid = figure.subplots(rows, columns, squeeze=False)
    axes: list[Axes] = list(grid.flat)
    for ax in axes:
        ax.set_facecolor(PAPER)
        ax.tick_params(which="both", colors=INK, labelsize=FONT_SIZE - 1)
        for spine in ax.spines.values():
            spine.set_color(INK)
            spine.set_linewidth(0.7)
    if len(axes) == 1:
        axes[0].set_xlabel(x, color=INK, fontsize=FONT_SIZE)
        axes[0].set_ylabel(y, color=INK, fontsize=FONT_SIZE)
        axes[0].spines[["top", "right"]].set_visible(False)
    else:
        figure.supxlabel(x, color=INK, fontsize=FONT_SIZE)
        figure.supylabel(y, color=INK, fontsize=FONT_SIZE)
    return axes


def plain_log_axes(ax: Axes, *, x: bool = False, y: bool = False):
    """Make axes logarithmic, with numbers that are written out.

    Args:
        ax: The axes.
        x: Whether the one below is.
        y: Whether the one at the left is.

    Example:
        >>> from kerasbnn.geometry.views.plots_canvas import new_axes, new_figure
        >>> from kerasbnn.geometry.views.plots_canvas import plain_log_axes
        >>> ax = new_axes(new_figure(4, 3))[0]
        >>> plain_log_axes(ax, x=True)
        >>> ax.get_xscale(), ax.get_yscale()
        ('log', 'linear')
    """
    if x:
        ax.set_xscale("log")
    if y:
        ax.set_yscale("log")
    limits = ((ax.xaxis, x, ax.get_xlim()), (ax.yaxis, y, ax.get_ylim()))
    for axis, is_chosen, (low, high) in limits:
        if is_chosen:
            # Over few decades the powers of ten alone would be too few.
            subs = (1.0,) if high > 300 * low else (1.0, 2.0, 5.0)
            axis.set_major_locator(LogLocator(subs=subs))
            axis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.set_minor_formatter(NullFormatter())


def line_of(index: int, label: str = "") -> Line2D:
    """Return a line in the style of the layer at an index, to draw or for a legend.

    Args:
        index: Place of the layer in its report.
        label: Text in a legend.

    Returns:
        A line without points. Among 21 layers no two look alike.

    Example:
        >>> from kerasbnn.geometry.views.plots_canvas import line_of
        >>> line_of(0).get_color(), line_of(7).get_linestyle()
        ('#0072b2', '--')
    """
    turn = index // len(COLORS) % len(_DASHES)
    return Line2D(
        [],
        [],
        color=COLORS[index % len(COLORS)],
        linestyle=_DASHES[turn],
        linewidth=1.4,
        marker="None",
        label=label,
    )


def marker_of(index: int) -> str:
    """Return the marker that goes with `line_of`.

    Args:
        index: Place of the layer in its report.

    Returns:
        One of matplotlib's markers.

    Example:
        >>> from kerasbnn.geometry.views.plots_canvas import marker_of
        >>> marker_of(0), marker_of(7)
        ('o', 's')
    """
    return _MARKERS[index // len(COLORS) % len(_MARKERS)]


def short_name(layer: LayerGeometry, length: int = 26) -> str:
    """Return the name of a layer, its middle left out where it is long.

    Args:
        layer: The layer.
        length: Largest number of characters.

    Returns:
        Text of one line.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry
        >>> from kerasbnn.geometry.views.plots_canvas import short_name
        >>> short_name(LayerGeometry("a" * 20 + "z", "a", "kernel", "Dense", 9, 8), 9)
        'aaa…aaaaz'
    """
    name = printable(layer.name)
    if len(name) <= length:
        return name
    tail = length // 2 + 1
    return f"{name[: length - 1 - tail]}…{name[len(name) - tail :]}"


def add_legend(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]):
    """Add a legend at the right of all axes.

    Args:
        figure: The figure.
        handles: What the labels explain.
        labels: Texts, in which nothing is taken as TeX.

    Example:
        >>> from kerasbnn.geometry.views.plots_canvas import (
        ...     add_legend, line_of, new_figure,
        ... )
        >>> figure = new_figure(4, 3)
        >>> add_legend(figure, [line_of(0)], ["$a"])
        >>> figure.legends[0].texts[0].get_text()
        '$a'
    """
    legend = figure.legend(
        handles,
        # matplotlib leaves out labels that start with an underscore.
        [f" {label}" if label.startswith("_") else label for label in labels],
        loc="outside right upper",
        frameon=False,
        fontsize=FONT_SIZE - 1,
        labelcolor=INK,
        handlelength=2.2,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def add_note(figure: Figure, left_out: Sequence[LayerGeometry], what: str):
    """Say below a figure which layers are left out.

    Args:
        figure: The figure.
        left_out: The layers.
        what: What they lack.

    Example:
        >>> from kerasbnn.geometry.views.plots_canvas import add_note, new_figure
        >>> figure = new_figure(4, 3)
        >>> add_note(figure, [], "samples")
        >>> figure.texts
        []
    """
    if not left_out:
        return
    names = ", ".join(short_name(layer) for layer in left_out)
    width, height = figure.get_size_inches()
    lines = textwrap.wrap(f"Left out, without {what}: {names}.", int(width * 16))
    text = figure.text(
        0.01, 0.01, "\n".join(lines), fontsize=FONT_SIZE - 1, color=INK, va="bottom"
    )
    text.set_parse_math(False)
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        room = (0.08 + 0.16 * len(lines)) / float(height)
        below = figure.get_supxlabel()
        if below:
            # The layout would put this label over the note. Where it is put by hand,
            # the layout leaves no room for it.
            figure.supxlabel(below, y=room + 0.02, color=INK, fontsize=FONT_SIZE)
            room += 0.25 / float(height)
        engine.set(rect=(0, room, 1, 1 - room))


def empty_figure(left_out: Sequence[LayerGeometry], what: str) -> Figure:
    """Make the figure of a report in which no layer has the data.

    Args:
        left_out: All layers.
        what: What they lack.

    Returns:
        A figure without axes.

    Example:
        >>> from kerasbnn.geometry.views.plots_canvas import empty_figure
        >>> empty_figure([], "samples").texts[0].get_text()
        'No layer has samples.'
    """
    figure = new_figure(6.4, 2.0)
    figure.text(0.5, 0.6, f"No layer has {what}.", ha="center", color=INK)
    add_note(figure, left_out, what)
    return figure

"""The bar chart that `BenchmarkReport.plot` draws."""

# matplotlib leaves its keyword arguments untyped.
# pyright: reportUnknownMemberType=false

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from kerasbnn.benchmarking.report import (
    DELEGATE,
    FLOAT32,
    INT8,
    STOCK,
    BenchmarkReport,
    Contender,
)
from kerasbnn.benchmarking.tables import speed, three_digits, unit_of_times
from kerasbnn.geometry.views.plots_canvas import (
    COLORS,
    FONT_SIZE,
    INK,
    SHADE,
    new_axes,
    new_figure,
)
from kerasbnn.geometry.views.wording import printable
from kerasbnn.models.summarizing import byte_size

_BAR_COLORS = {FLOAT32: SHADE, INT8: COLORS[5], STOCK: COLORS[1], DELEGATE: COLORS[0]}


def draw(report: BenchmarkReport) -> Figure:
    """Draw latencies and sizes side by side.

    Args:
        report: The report.

    Returns:
        A figure with two panels, in each a bar for every contender that has figures.

    Example:
        >>> from kerasbnn.benchmarking import BenchmarkReport, Contender
        >>> from kerasbnn.benchmarking.bars import draw
        >>> packed = Contender(
        ...     "packed_stock", 1000, 15, 2.0, 1.9, 2.2, 2.0, same_classes=1.0
        ... )
        >>> report = BenchmarkReport("net", 1, 1, 9, True, "CPU", {}, None, (packed,))
        >>> len(draw(report).axes[0].patches)
        1
    """
    shown = [c for c in report.contenders if c.bytes is not None]
    figure = new_figure(10, 1.35 + 0.42 * len(shown))
    left, right = new_axes(figure, columns=2)
    time_unit, times = unit_of_times(report)
    latencies = [times * (c.latency_ms or 0.0) for c in shown]
    size_unit, bytes_of_unit = _unit(max(c.bytes or 0 for c in shown))
    sizes = [(c.bytes or 0) / bytes_of_unit for c in shown]
    time_unit = time_unit.replace("us", "µs")
    highest = times * max(c.latency_high_ms or 0.0 for c in shown)
    _bars(left, latencies, highest, shown, f"Latency of a call in {time_unit}")
    _bars(right, sizes, max(sizes), shown, f"File in {size_unit}")
    for place, contender in enumerate(shown):
        low = times * (contender.latency_low_ms or 0.0)
        high = times * (contender.latency_high_ms or 0.0)
        left.plot([low, high], [place, place], color=INK, linewidth=1.0)
        speeds = _speeds(shown, contender) if contender.name == DELEGATE else ""
        _label(left, high, place, three_digits(latencies[place]) + speeds)
        _label(right, sizes[place], place, byte_size(contender.bytes or 0))
    left.set_yticks(range(len(shown)), [c.label for c in shown])
    right.set_yticks([])
    threads = f"{report.num_threads} thread" + "s" * (report.num_threads > 1)
    figure.suptitle(
        f"{printable(report.model)}: batch {report.batch_size}, {threads}, "
        f"{report.processor}",
        color=INK,
        fontsize=FONT_SIZE,
        x=0.01,
        ha="left",
    ).set_parse_math(False)
    return figure


def _bars(
    ax: Axes,
    values: list[float],
    reach: float,
    shown: list[Contender],
    title: str,
):
    ax.barh(
        range(len(shown)),
        values,
        height=0.66,
        color=[_BAR_COLORS[contender.name] for contender in shown],
    )
    ax.set_title(title, color=INK, fontsize=FONT_SIZE, loc="left")
    # Room for the numbers beside the bars.
    ax.set_xlim(0, 1.2 * reach)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.grid(axis="x", color=SHADE, alpha=0.25, linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()


def _unit(largest: int) -> tuple[str, int]:
    """Return the unit of the largest size, and its bytes."""
    unit = byte_size(largest).split()[1]
    return unit, 1024 ** ("B", "KiB", "MiB", "GiB", "TiB").index(unit)


def _speeds(shown: list[Contender], contender: Contender) -> str:
    """Say how much longer the bars of the twins are."""
    parts = [
        f"{speed(base.latency_ms / contender.latency_ms)}x as fast as {base.name}"
        for base in shown
        if base.name in (FLOAT32, INT8) and base.latency_ms and contender.latency_ms
    ]
    return f"  ({', '.join(parts)})" if parts else ""


def _label(ax: Axes, x: float, y: float, text: str):
    ax.annotate(
        text,
        (x, y),
        xytext=(4, 0),
        textcoords="offset points",
        va="center",
        color=INK,
        fontsize=FONT_SIZE - 1,
    )

"""The table that `BenchmarkReport.show` prints."""

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from kerasbnn.benchmarking.report import FLOAT32, INT8, BenchmarkReport
from kerasbnn.benchmarking.timing import SHORTEST
from kerasbnn.models.summarizing import byte_size

WIDTH = 100
# A thread that computes all the time has at least this share of the time on the wall.
IDLE = 0.85

_TWINS = (
    "the same layers without quantizers, as they are deployed without binarization: "
    "float weights, a ReLU for each sign, zeros as padding; int8 by full-integer "
    "post-training quantization. XNNPACK computes both. They compute something else "
    "than the model, so agreement with Keras does not apply (-)."
)


def rendered(report: BenchmarkReport) -> Group:
    """Return what `rich` prints.

    Args:
        report: The report.

    Returns:
        A table and notes below it.
    """
    table = Table(
        title=f"Benchmark: {report.model}, {_conditions(report)}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE,
        header_style="bold",
        show_edge=False,
        pad_edge=False,
        # The box has blanks of its own, and 80 columns are all that many have.
        padding=0,
    )
    unit, factor = unit_of_times(report)
    table.add_column("Contender", no_wrap=True)
    for title in (
        "File",
        f"Latency\nin {unit}",
        "10-90 %\nof calls",
        f"CPU\nin {unit}",
        "Speed\nfloat32\n= 1",
        "Speed\nint8\n= 1",
        "Same\nclass",
        "Largest\ndiffer-\nence",
    ):
        table.add_column(title, justify="right", no_wrap=True, vertical="bottom")
    for contender in report.contenders:
        table.add_row(*_row(report, contender, factor))
    return Group(table, *_notes(report))


def _conditions(report):
    threads = f"{report.num_threads} thread" + "s" * (report.num_threads > 1)
    return f"batch {report.batch_size}, {threads}"


def _row(report, contender, factor):
    if contender.bytes is None:
        return [Text(contender.label, style="dim"), *["-"] * 8]
    same, largest = contender.same_classes, contender.largest_difference
    wall, low, high, cpu = (
        three_digits(factor * value)
        for value in (
            contender.latency_ms,
            contender.latency_low_ms,
            contender.latency_high_ms,
            contender.cpu_ms,
        )
    )
    return [
        contender.label,
        byte_size(contender.bytes),
        wall,
        f"{low}-{high}",
        cpu,
        speed(report.speed(contender.name, FLOAT32)),
        speed(report.speed(contender.name, INT8)),
        "-" if same is None else f"{100 * same:.4g} %",
        "-" if largest is None else f"{largest:.2g}",
    ]


def unit_of_times(report: BenchmarkReport) -> tuple[str, float]:
    """Choose the unit in which latencies are best read.

    Args:
        report: The report.

    Returns:
        `"ms"`, or `"us"` where all latencies are below one millisecond; and how many of
        it a millisecond has.

    Example:
        >>> from kerasbnn.benchmarking import BenchmarkReport, Contender
        >>> from kerasbnn.benchmarking.tables import unit_of_times
        >>> fast = Contender("packed_stock", 1000, 15, latency_ms=0.02)
        >>> unit_of_times(BenchmarkReport("net", 1, 1, 9, True, "", {}, None, (fast,)))
        ('us', 1000.0)
    """
    largest = max(contender.latency_ms or 0.0 for contender in report.contenders)
    return ("ms", 1.0) if largest >= 1 else ("us", 1e3)


def three_digits(value: float) -> str:
    """Write a number with three digits.

    Args:
        value: The number.

    Returns:
        Text.

    Example:
        >>> from kerasbnn.benchmarking.tables import three_digits
        >>> three_digits(0.12345), three_digits(1234.5)
        ('0.123', '1234')
    """
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"


def speed(ratio: float | None) -> str:
    """Write how many times as fast something is.

    Args:
        ratio: The ratio, or None.

    Returns:
        Text such as `"18.3"`, or `"-"`.

    Example:
        >>> from kerasbnn.benchmarking.tables import speed
        >>> speed(18.345), speed(0.123), speed(None)
        ('18.3', '0.12', '-')
    """
    if ratio is None:
        return "-"
    return three_digits(ratio) if ratio >= 1 else f"{ratio:.2g}"


def _notes(report):
    lines = [("Twins", _TWINS)]
    implementation = report.implementation
    packed = "the file of kerasbnn.convert, in any LiteRT interpreter"
    if implementation:
        packed += f"; and with kerasbnn's native delegate ({implementation})"
    lines.append(("Packed", f"{packed}."))
    for contender in report.contenders:
        if contender.problem:
            lines.append((f"No {contender.label}", contender.problem))
    kind = "random " if report.are_random else ""
    lines.append(("Agreement", f"with Keras, on {report.samples:,} {kind}samples."))
    what = "CPU time" if report.num_threads == 1 else "latency"
    times = f"medians of calls in turns, in one process; speeds compare {what}."
    if any((c.latency_ms or 1) < SHORTEST / 1e6 for c in report.contenders):
        times += " Calls below 100 us are timed in groups."
    lines.append(("Times", times))
    if _was_busy(report):
        lines.append(
            ("Busy", "other programs took a share of the processor: trust CPU time.")
        )
    versions = ", ".join(f"{k} {v}" for k, v in report.versions.items())
    lines.append(("Measured on", f"{report.processor}; {versions}."))
    grid = Table.grid(padding=(0, 2))
    for title, text in lines:
        grid.add_row(Text(title, style="bold"), Text(text))
    return [grid]


def _was_busy(report):
    return report.num_threads == 1 and any(
        contender.cpu_ms < IDLE * contender.latency_ms
        for contender in report.contenders
        if contender.bytes is not None
    )

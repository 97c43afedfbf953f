"""What a swap test found, as numbers and as a table."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from kerasbnn.models import printing

# Where the output goes to a file there is no terminal whose width to ask for.
WIDTH = 100

_TITLES = {
    "continuous": "continuous weights in the place of quantized ones",
    "binary": "quantized weights in the place of continuous ones",
}


@dataclass(frozen=True)
class SwapRow:
    """How a model does with the weights of some layers swapped.

    Every number is from 0 to 1 (the correlations from -1), or None where there is none:
    without labels, without BatchNormalization, or for the reason in `note`.

    Attributes:
        layer: Path of the layer; None where it is none of them, or all.
        direction: `"continuous"` or `"binary"`, the kind of weights swapped in; None
            where none is.
        accuracy: Fraction of the samples whose class is that of the label.
        agreement: Fraction of the samples whose class is that of the unswapped model.
        correlation: Pearson's correlation between all outputs and those of the
            unswapped model; None where one of the two does not vary.
        accuracy_refit: As `accuracy`, with BatchNormalization refitted after the swap.
        agreement_refit: As `agreement`, likewise.
        correlation_refit: As `correlation`, likewise.
        note: Why a number is missing; None where all is well.

    Example:
        >>> from kerasbnn.models.swap_table import SwapRow
        >>> SwapRow("conv_1", "continuous", agreement=0.25).agreement
        0.25
    """

    layer: str | None
    direction: str | None
    accuracy: float | None = None
    agreement: float | None = None
    correlation: float | None = None
    accuracy_refit: float | None = None
    agreement_refit: float | None = None
    correlation_refit: float | None = None
    note: str | None = None


@dataclass(frozen=True)
class SwapReport:
    """What a swap test found.

    Attributes:
        model: Name of the model.
        direction: `"continuous"` or `"binary"`, the kind of weights swapped in.
        samples: Number of samples.
        refitted: Whether there is a BatchNormalization to refit.
        baseline: The model without a swap, as it is and refitted.
        rows: Each layer swapped alone, in the order of the layers.
        together: All these layers swapped at once.

    Example:
        >>> from kerasbnn.models.swap_table import SwapReport, SwapRow
        >>> report = SwapReport(
        ...     "net", "binary", 100, True,
        ...     baseline=SwapRow(None, None, accuracy=0.9, accuracy_refit=0.875),
        ...     rows=[SwapRow("conv", "binary", accuracy=0.1, accuracy_refit=0.75)],
        ...     together=SwapRow(None, "binary", accuracy=0.1, accuracy_refit=0.75),
        ... )
        >>> report.accuracy_lost()
        {'conv': 0.125}
    """

    model: str
    direction: str
    samples: int
    refitted: bool
    baseline: SwapRow
    together: SwapRow
    rows: list[SwapRow] = field(default_factory=list)

    def accuracy_lost(self) -> dict[str, float | None]:
        """Compare each layer's accuracy with that of the unswapped model.

        Both are refitted, where there is BatchNormalization.

        Returns:
            Accuracy of the unswapped model minus that with the layer swapped, by path;
            None without labels, or where the row has a note.

        Example:
            >>> from kerasbnn.models.swap_table import SwapReport, SwapRow
            >>> row = SwapRow("dense", "binary", accuracy=0.5)
            >>> unswapped = SwapRow(None, None, accuracy=0.75)
            >>> report = SwapReport("net", "binary", 8, False, unswapped, row, [row])
            >>> report.accuracy_lost()
            {'dense': 0.25}
        """
        name = "accuracy_refit" if self.refitted else "accuracy"
        before = getattr(self.baseline, name)
        after = {str(row.layer): getattr(row, name) for row in self.rows}
        return {
            path: None if value is None or before is None else before - value
            for path, value in after.items()
        }

    def to_dict(self) -> dict:
        """Return plain numbers, lists and strings, ready for `json.dumps`.

        Returns:
            Dict with the attributes as keys; rows are dicts of theirs. There is no NaN.

        Example:
            >>> from kerasbnn.models.swap_table import SwapReport, SwapRow
            >>> row = SwapRow(None, None, accuracy=0.75)
            >>> report = SwapReport("net", "binary", 8, False, row, row)
            >>> report.to_dict()["baseline"]["accuracy"]
            0.75
        """
        return asdict(self)

    def show(
        self,
        *,
        print_fn: Callable[[str], object] | None = None,
        console: Console | None = None,
    ):
        """Print the report as a table.

        Args:
            print_fn: Function that is called with each line of plain text, instead of
                printing.
            console: `rich` console to print to. By default one for the standard output.

        Example:
            >>> from kerasbnn.models.swap_table import SwapReport, SwapRow
            >>> row = SwapRow(None, "binary", agreement=0.75)
            >>> SwapReport("net", "binary", 8, False, row, row).show(
            ...     print_fn=lambda line: None
            ... )
        """
        printing.print_table(_table(self), WIDTH, print_fn, console)


def _table(report):
    table = Table(
        title=f"Swap test of {report.model}: {_TITLES[report.direction]}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE,
        header_style="bold",
        show_edge=False,
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
    )
    # Only ASCII characters, and no ellipsis: the output may go anywhere.
    table.add_column("Layer swapped", overflow="fold")
    columns = [("Accuracy", "accuracy"), ("Agree-\nment", "agreement")]
    columns += [("Corre-\nlation", "correlation")]
    if report.refitted:
        columns += [
            (f"{title}\nrefitted", f"{name}_refit")
            for title, name in (
                ("Accuracy", "accuracy"),
                ("Agreement", "agreement"),
                ("Correlation", "correlation"),
            )
        ]
    if report.baseline.accuracy is None:
        columns = [column for column in columns if "accuracy" not in column[1]]
    for title, _ in columns:
        table.add_column(title, justify="right", no_wrap=True)
    rows = [("none", report.baseline)]
    rows += [(row.layer, row) for row in report.rows]
    rows += [("all of them" if report.rows else "all", report.together)]
    for name, row in rows:
        marked = Text(name, style="" if row.layer is not None else "bold")
        table.add_row(marked, *(_number(getattr(row, key)) for _, key in columns))
    return Group(table, *_notes(report, rows))


def _number(value):
    return "-" if value is None else f"{value:.3f}"


def _notes(report, rows):
    lines = [("Samples", f"{report.samples:,}")]
    if not report.refitted:
        lines.append(("Refitted", "nothing: there is no BatchNormalization"))
    lines += [(name, row.note) for name, row in rows if row.note]
    grid = Table.grid(padding=(0, 2))
    for title, text in lines:
        grid.add_row(Text(title, style="bold"), Text(text))
    return [grid]

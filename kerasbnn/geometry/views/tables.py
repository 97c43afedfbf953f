"""The table that `GeometryReport.show` prints."""

from rich.box import SIMPLE
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kerasbnn.geometry.layer_geometry import LayerGeometry
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.geometry.views.consoles import standard_output
from kerasbnn.geometry.views.wording import (
    ABSENT,
    angle,
    decimal,
    headline,
    origin,
    percent,
    printable,
    quantizer,
    significant,
    tone,
    verdict_word,
)

WIDTH = 100
# From here on what takes two lines per layer fits into one.
WIDTH_OF_ONE_LINE = 132

_STYLES = {"good": "green", "change": "yellow", "stop": "red", "none": "dim"}

_ANGLE_LEGEND = (
    "Angle: between continuous and quantized weights, mean {pm} sd over the filters "
    "(in brackets: of Gaussian weights)."
)
_R_LEGEND = "r: correlation of the dot products with both, {kinds}."
# By the title of the column.
_KINDS_OF_R = {
    "r\npooled": "over all filters pooled",
    "r\nmean": "the mean of the filters",
    "r pre-\ndicted": "as the formula predicts it",
    "r per-\nmuted": "with permuted inputs",
}
_FURTHER_LEGENDS = {
    "Flips\nin %": "Flips: products whose sign differs, each filter's mean taken off.",
    "d_eff": "d_eff: effective dimension of the inputs.",
}
_VERDICT = "Verdict"
_ARROW = "->: a quantizer that the layer does not have yet."


def show(report: GeometryReport, console: Console | None = None):
    """Print a table of the layers and, below, what to do about each.

    Args:
        report: The report.
        console: `rich` console to print to; None for the standard output.

    Example:
        >>> import io
        >>> from rich.console import Console
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry
        >>> from kerasbnn.geometry.report import GeometryReport
        >>> from kerasbnn.geometry.views.tables import show
        >>> layer = LayerGeometry("conv", "conv", "kernel", "QuantConv2D", 27, 8)
        >>> file = io.StringIO()
        >>> show(GeometryReport("net", (layer,), samples=0), Console(file=file))
        >>> "conv" in file.getvalue()
        True
    """
    if console is None:
        with standard_output(WIDTH) as console:
            _Page(report, console).print()
    else:
        _Page(report, console).print()


class _Page:
    """One report on one console, in what that console can show."""

    def __init__(self, report: GeometryReport, console: Console):
        self.report = report
        self.console = console
        self.encoding = console.encoding
        self.plus_minus = "+-" if self.text("±").plain == "?" else "±"
        self.is_wide = console.width >= WIDTH_OF_ONE_LINE
        self.break_ = " " if self.is_wide else "\n"

    def text(self, text: str, style: str = "") -> Text:
        """Return a text without markup, with "?" for what the encoding lacks."""
        known = printable(text).encode(self.encoding, "replace").decode(self.encoding)
        return Text(known, style=style)

    def print(self):
        title = f"Geometry of {self.report.model}"
        line = self.text(title, "bold")
        line.append_text(self.text(f" ({origin(self.report)})", "not bold"))
        self.console.print(line)
        self.console.print(self.text(headline(self.report)))
        if self.report.layers:
            figures = self._figures()
            self.console.print(self._table(figures))
            self.console.print(self.text(self._legend(figures), "dim"))
        for layer in self.report.layers:
            self._print_findings(layer)
        for name, reason in self.report.skipped.items():
            self.console.print()
            self.console.print(self.text(f"{name}: not audited", "bold"))
            self._print_paragraph(reason)

    def _figures(self) -> dict[str, list[Text]]:
        """Return the columns, by their titles, that are known of some layer."""
        rows = [self._row(layer) for layer in self.report.layers]
        columns = {title: [row[title] for row in rows] for title in rows[0]}
        return {
            title: cells
            for title, cells in columns.items()
            if any(cell.plain != ABSENT for cell in cells)
        }

    def _table(self, figures: dict[str, list[Text]]) -> Table:
        table = Table(
            box=SIMPLE,
            header_style="bold",
            show_edge=False,
            pad_edge=False,
            # The box has blanks of its own, and every character counts.
            padding=(0, int(self.is_wide)),
        )
        table.add_column(f"Layer{self.break_}(type, quantizer)", overflow="fold")
        for title in ("Fan-\nin", "Fil-\nters", f"Angle{self.break_}(expected)"):
            table.add_column(title, justify="right", no_wrap=True)
        for title in figures:
            if title == _VERDICT:
                table.add_column(title, overflow="fold", min_width=len("continuous"))
            else:
                table.add_column(title, justify="right", no_wrap=True)
        for index, layer in enumerate(self.report.layers):
            cells = (column[index] for column in figures.values())
            table.add_row(*self._first_cells(layer), *cells)
        return table

    def _legend(self, figures: dict[str, list[Text]]) -> str:
        parts = [_ANGLE_LEGEND.format(pm=self.plus_minus)]
        *kinds, last = [
            words for title, words in _KINDS_OF_R.items() if title in figures
        ] or [""]
        if last:
            both = f"{', '.join(kinds)}, and {last}" if kinds else last
            parts.append(_R_LEGEND.format(kinds=both))
        parts += [text for title, text in _FURTHER_LEGENDS.items() if title in figures]
        if any(not layer.is_quantized for layer in self.report.layers):
            parts.append(_ARROW)
        return " ".join(parts)

    def _first_cells(self, layer: LayerGeometry) -> list[Text]:
        name = self.text(layer.name)
        kind = f"({layer.type}, {quantizer(layer)})"
        name.append(self.break_).append_text(self.text(kind, "dim"))
        measured, _ = angle(layer, self.plus_minus)
        expected = decimal(layer.angles.expected, 1)
        angles = self.text(measured)
        angles.append(self.break_).append_text(self.text(f"({expected})", "dim"))
        return [
            name,
            self.text(str(layer.fan_in)),
            self.text(str(layer.filters)),
            angles,
        ]

    def _row(self, layer: LayerGeometry) -> dict[str, Text]:
        products = layer.products
        correlations = (
            products.pooled,
            products.mean,
            products.predicted_mean,
            products.permuted,
        )
        kind = layer.verdicts[0].kind if layer.verdicts else ""
        flips = percent(products.centred_flips).removesuffix(" %")
        texts = [*(decimal(value) for value in correlations), flips]
        texts.append(significant(layer.inputs.participation_ratio))
        titles = (*_KINDS_OF_R, *_FURTHER_LEGENDS)
        cells = dict(zip(titles, map(self.text, texts), strict=True))
        style = _STYLES[tone(kind)] if kind else ""
        return {**cells, _VERDICT: self.text(verdict_word(kind) or ABSENT, style)}

    def _print_findings(self, layer: LayerGeometry):
        if not layer.verdicts and not layer.problems:
            return
        self.console.print()
        line = self.text(layer.name, "bold")
        for index, verdict in enumerate(layer.verdicts):
            line.append(", " if index else ": ")
            word, style = verdict_word(verdict.kind), _STYLES[tone(verdict.kind)]
            line.append_text(self.text(word, style))
        self.console.print(line)
        for verdict in layer.verdicts:
            self._print_paragraph(f"{verdict.reason} {verdict.remedy}".strip())
        for problem in layer.problems:
            self._print_paragraph(problem)

    def _print_paragraph(self, text: str):
        self.console.print(Padding(self.text(text), (0, 0, 0, 2), expand=False))

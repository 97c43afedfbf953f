"""The table that `GeometryReport.show` prints."""

from rich.box import SIMPLE
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from kerasbnn.geometry.layer_geometry import LayerGeometry
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.geometry.views.wording import (
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

# Where the output goes to a file there is no terminal whose width to ask for.
WIDTH = 100
# From here on what takes two lines per layer fits into one.
WIDTH_OF_ONE_LINE = 132

_STYLES = {"good": "green", "change": "yellow", "stop": "red", "none": "dim"}

_LEGEND = (
    "Angle: between continuous and quantized weights, mean {pm} sd over the filters "
    "(in brackets: of Gaussian weights). r: correlation of the dot products with both, "
    "over all filters pooled, the mean of the filters, as the formula predicts it, and "
    "with permuted inputs. Flips: products whose sign differs, each filter's mean "
    "taken off. d_eff: effective dimension of the inputs.{arrow}"
)
_ARROW = " ->: a quantizer that the layer does not have yet."


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
        console = Console()
        if not console.is_terminal:
            console.width = WIDTH
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
            self.console.print(self._table())
            arrow = any(not layer.is_quantized for layer in self.report.layers)
            legend = _LEGEND.format(pm=self.plus_minus, arrow=_ARROW if arrow else "")
            self.console.print(self.text(legend, "dim"))
        for layer in self.report.layers:
            self._print_findings(layer)
        for name, reason in self.report.skipped.items():
            self.console.print()
            self.console.print(self.text(f"{name}: not audited", "bold"))
            self._print_paragraph(reason)

    def _table(self) -> Table:
        table = Table(
            box=SIMPLE,
            header_style="bold",
            show_edge=False,
            pad_edge=False,
            # The box has blanks of its own, and every character counts.
            padding=(0, int(self.is_wide)),
        )
        table.add_column(f"Layer{self.break_}(type, quantizer)", overflow="fold")
        for title in (
            "Fan-\nin",
            "Fil-\nters",
            f"Angle{self.break_}(expected)",
            "r\npooled",
            "r\nmean",
            "r pre-\ndicted",
            "r per-\nmuted",
            "Flips\nin %",
            "d_eff",
        ):
            table.add_column(title, justify="right", no_wrap=True)
        table.add_column("Verdict", overflow="fold", min_width=len("continuous"))
        for layer in self.report.layers:
            table.add_row(*self._row(layer))
        return table

    def _row(self, layer: LayerGeometry) -> list[Text]:
        name = self.text(layer.name)
        kind = f"({layer.type}, {quantizer(layer)})"
        name.append(self.break_).append_text(self.text(kind, "dim"))
        measured, _ = angle(layer, self.plus_minus)
        expected = decimal(layer.angles.expected, 1)
        angles = self.text(measured)
        angles.append(self.break_).append_text(self.text(f"({expected})", "dim"))
        products = layer.products
        correlations = (
            products.pooled,
            products.mean,
            products.predicted_mean,
            products.permuted,
        )
        kind = layer.verdicts[0].kind if layer.verdicts else ""
        return [
            name,
            self.text(str(layer.fan_in)),
            self.text(str(layer.filters)),
            angles,
            *(self.text(decimal(value)) for value in correlations),
            self.text(percent(products.centred_flips).removesuffix(" %")),
            self.text(significant(layer.inputs.participation_ratio)),
            self.text(verdict_word(kind) or "-", _STYLES[tone(kind)] if kind else ""),
        ]

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

"""What `export` has written."""

from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from kerasbnn.exporting.folders import GEOMETRY, LABELS, MODEL, PROBE
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.models.printing import TableReport
from kerasbnn.models.summarizing import byte_size
from kerasbnn.tflite import ConversionReport, ProbeReport

WIDTH = 100

_PURPOSES = {
    MODEL: "predicts, with packed binary weights",
    PROBE: "measures the geometry of the layers on live inputs",
    GEOMETRY: "what the audit found, to compare live inputs with",
    LABELS: "a name for each output",
}


@dataclass(frozen=True)
class ExportReport(TableReport):
    """What `export` has written.

    Attributes:
        folder: The folder.
        name: Name of the model in its files.
        version: Its version there.
        conversion: What `kerasbnn.convert` has made of each layer.
        probe: What the probe measures, and what not and why.
        geometry: What the audit found on the data.
        files: Bytes of each file, by its name.
    """

    folder: str
    name: str
    version: str
    conversion: ConversionReport
    probe: ProbeReport
    geometry: GeometryReport
    files: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts, without joint histograms."""
        return {
            "folder": self.folder,
            "name": self.name,
            "version": self.version,
            "files": dict(self.files),
            "conversion": self.conversion.to_dict(),
            "probe": self.probe.to_dict(),
            "geometry": self.geometry.to_dict(histograms=False),
        }

    def _table(self):
        conversion, _ = self.conversion._table()
        return Group(conversion, Text(), *_rendered(self)), WIDTH


def _rendered(report):
    table = Table(
        title=Text(
            f"Exported: {report.name}, version {report.version}, to {report.folder}"
        ),
        title_justify="left",
        title_style="bold",
        box=SIMPLE,
        show_footer=True,
        header_style="bold",
        footer_style="bold",
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("File", "Together", no_wrap=True)
    table.add_column("What it does", overflow="fold")
    total = byte_size(sum(report.files.values()))
    table.add_column("Bytes", total, justify="right", no_wrap=True)
    for name, size in report.files.items():
        table.add_row(name, _PURPOSES[name], byte_size(size))
    notes = Table.grid(padding=(0, 2))
    found = report.geometry
    text = Text(f"{len(found)} kernels on {found.samples:,} samples")
    notes.add_row(Text("Audited", style="bold"), text)
    notes.add_row(
        Text("Measured live", style="bold"), Text(f"{len(report.probe.layers)} of them")
    )
    for name, why in report.probe.skipped.items():
        notes.add_row(Text("Not measured live", style="bold"), Text(f"{name}: {why}"))
    return table, notes

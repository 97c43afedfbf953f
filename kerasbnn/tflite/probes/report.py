"""What `probe` has written."""

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from kerasbnn.models.printing import TableReport
from kerasbnn.models.summarizing import byte_size

WIDTH = 100


@dataclass(frozen=True)
class ProbedKernel:
    """One kernel that a probe measures.

    Attributes:
        name: Path of the layer in the model, and of the kernel where it has two.
        type: Class of the layer.
        fan_in: Number of weights per filter.
        filters: Number of filters.
        steps: Number of values that a weight of one filter can be quantized to.
        calls: How often a forward pass uses it.
    """

    name: str
    type: str
    fan_in: int
    filters: int
    steps: int
    calls: int


@dataclass(frozen=True)
class ProbeReport(TableReport):
    """What `probe` has written.

    Attributes:
        model: Name of the model.
        path: The file.
        bytes: Its size.
        float32_bytes: Size of all weights of the model as float32.
        layers: The kernels that it measures, in the order of the calls.
        skipped: Kernels and layers that it does not measure, by name, and why.
    """

    model: str
    path: str
    bytes: int
    float32_bytes: int
    layers: tuple[ProbedKernel, ...]
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def size_ratio(self) -> float:
        """Size of the file relative to the weights as float32."""
        return self.bytes / self.float32_bytes

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts."""
        values = dataclasses.asdict(self)
        values["layers"] = list(values["layers"])
        return {**values, "size_ratio": self.size_ratio}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ProbeReport":
        """Make a report from what `to_dict` has returned.

        Args:
            values: The dict.

        Returns:
            The report.
        """
        known = {key: value for key, value in values.items() if key != "size_ratio"}
        layers = tuple(ProbedKernel(**layer) for layer in values["layers"])
        return cls(**{**known, "layers": layers})

    def _table(self):
        return _rendered(self), WIDTH

    def __str__(self) -> str:
        lines = [
            f"Probe: {self.model} to {self.path}, {byte_size(self.bytes)}, "
            f"{self.size_ratio:.3f} of the float32 weights"
        ]
        for layer in self.layers:
            shape = f"{layer.fan_in} x {layer.filters}, {layer.steps} values"
            again = f", called {layer.calls} times" if layer.calls > 1 else ""
            lines.append(f"  {layer.name} ({layer.type}): {shape}{again}")
        lines += [
            f"  not measured: {name}: {why}" for name, why in self.skipped.items()
        ]
        return "\n".join(lines)


def _rendered(report):
    table = Table(
        title=Text(f"Probe: {report.model} to {report.path}"),
        title_justify="left",
        title_style="bold",
        box=SIMPLE,
        header_style="bold",
        show_edge=False,
        pad_edge=False,
    )
    table.add_column("Layer (type)", overflow="fold")
    for title in ("Fan-in", "Filters", "Values", "Calls"):
        table.add_column(title, justify="right", no_wrap=True)
    for layer in report.layers:
        name = Text(layer.name).append(f" ({layer.type})", style="dim")
        numbers = (layer.fan_in, layer.filters, layer.steps, layer.calls)
        table.add_row(name, *map(str, numbers))
    grid = Table.grid(padding=(0, 2))
    size = f"{byte_size(report.bytes)}, {report.size_ratio:.3f} of the float32 weights"
    grid.add_row(Text("Size", style="bold"), Text(size))
    for name, why in report.skipped.items():
        grid.add_row(Text("Not measured", style="bold"), Text(f"{name}: {why}"))
    return Group(table, grid)

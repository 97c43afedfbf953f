"""What `probe` has written."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kerasbnn.geometry.files import write_text
from kerasbnn.models.summarizing import byte_size


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
class ProbeReport:
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

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the report as JSON, and write it where a path is given.

        Args:
            path: File to write, or None.

        Returns:
            The text.
        """
        return write_text(json.dumps(self.to_dict(), indent=2) + "\n", path)

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

"""What a conversion has made of each layer."""

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
class ConvertedLayer:
    """What became of one layer, or of one of its kernels.

    Attributes:
        name: Path of the layer in the model, and of the kernel where it has two.
        type: Class of the layer.
        packed: Whether its weights are packed bits, which the delegate computes with.
        weight_bits: Bits of one weight in the file.
        inputs: What its operation takes: `"bits"`, `"signs"` (of floats) or `"floats"`.
        outputs: What its operation yields: `"bits"` or `"floats"`.
        fused: Paths of what follows and is part of the same operation: pooling, batch
            normalization, the sign, a residual connection.
        reason: Why it is as it is.
        float32_bytes: Bytes of its weights as float32.
        bytes: Bytes of its weights, with what is fused, in the file; None where
            TensorFlow's converter has decided.
    """

    name: str
    type: str
    packed: bool
    weight_bits: int
    inputs: str
    outputs: str
    fused: tuple[str, ...]
    reason: str
    float32_bytes: int
    bytes: int | None


@dataclass(frozen=True)
class Verification:
    """What the comparison of the file with Keras has found.

    Attributes:
        samples: Number of inputs.
        decisions: Number of signs compared, or 0.
        near_ties: Number of signs that differ where the value before the sign is as
            near to 0 as float32 rounds, or follows such a tie of another quantizer.
        left_out: Number of samples whose outputs are not compared after such ties.
        largest_difference: Largest difference of an output from that of Keras.
        same_classes: Fraction of samples with the same largest output.
        delegate: Implementation of the delegate that was compared too; None where it
            is not there or computes no layer.
    """

    samples: int
    decisions: int = 0
    near_ties: int = 0
    left_out: int = 0
    largest_difference: float = 0.0
    same_classes: float = 1.0
    delegate: str | None = None


@dataclass(frozen=True)
class ConversionReport(TableReport):
    """What `convert` has written.

    Attributes:
        model: Name of the model.
        path: The file.
        bytes: Its size.
        float32_bytes: Size of all weights of the model as float32.
        layers: What became of each quantized layer and of each other layer with
            weights, in the order of the calls.
        verification: What the comparison with Keras has found; None where it was
            turned off.
        format: `"tflite"`, or `"larq"`, where `path` is the folder of a SavedModel and
            the bytes of layers are those in the file that Larq Compute Engine makes.
    """

    model: str
    path: str
    bytes: int
    float32_bytes: int
    layers: tuple[ConvertedLayer, ...] = field(repr=False)
    verification: Verification | None = None
    format: str = "tflite"

    @property
    def compression_ratio(self) -> float:
        """How many times smaller the file is than the weights as float32."""
        return self.float32_bytes / self.bytes

    @property
    def has_packed(self) -> bool:
        """Whether any layer is packed, so that the delegate computes something."""
        return any(layer.packed for layer in self.layers)

    def __getitem__(self, name: str) -> ConvertedLayer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(
            f"No layer {name!r} in this report. It has: "
            f"{', '.join(layer.name for layer in self.layers)}."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts."""
        values = dataclasses.asdict(self)
        values["layers"] = list(values["layers"])
        for layer in values["layers"]:
            layer["fused"] = list(layer["fused"])
        return {**values, "compression_ratio": self.compression_ratio}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ConversionReport":
        """Make a report from what `to_dict` has returned.

        Args:
            values: The dict.

        Returns:
            The report.
        """
        layers = tuple(
            ConvertedLayer(**{**layer, "fused": tuple(layer["fused"])})
            for layer in values["layers"]
        )
        checked = values["verification"]
        return cls(
            model=values["model"],
            path=values["path"],
            bytes=values["bytes"],
            float32_bytes=values["float32_bytes"],
            layers=layers,
            verification=None if checked is None else Verification(**checked),
            format=values["format"],
        )

    def _table(self):
        return _rendered(self), WIDTH


def _rendered(report):
    table = Table(
        title=f"Converted: {report.model} to {report.path}",
        title_justify="left",
        title_style="bold",
        box=SIMPLE,
        show_footer=True,
        header_style="bold",
        footer_style="bold",
        show_edge=False,
        pad_edge=False,
        padding=(0, 1),
        collapse_padding=True,
    )
    is_larq = report.format == "larq"
    table.add_column(
        "Layer (type)", "SavedModel" if is_larq else "File", overflow="fold"
    )
    table.add_column("Weights", overflow="fold")
    table.add_column("In", overflow="fold")
    table.add_column("Out", overflow="fold")
    table.add_column("With it", overflow="fold")
    table.add_column(
        "Float32\nbytes", byte_size(report.float32_bytes), justify="right", no_wrap=True
    )
    table.add_column("Bytes", byte_size(report.bytes), justify="right", no_wrap=True)
    for layer in report.layers:
        name = Text(layer.name)
        name.append(f" ({layer.type})", style="dim")
        bits = f"{layer.weight_bits} bit" + ("s" if layer.weight_bits > 1 else "")
        table.add_row(
            name,
            Text(
                bits if layer.weight_bits < 32 else "float",
                style="" if layer.weight_bits < 32 else "dim",
            ),
            layer.inputs,
            layer.outputs,
            ", ".join(_short(path, layer.name) for path in layer.fused),
            byte_size(layer.float32_bytes),
            "-" if layer.bytes is None else byte_size(layer.bytes),
        )
    return Group(table, *_notes(report))


def _short(path, layer):
    """Leave out what the name of a fused layer repeats of the layer's own."""
    stem = layer.split("/")[-1] + "_"
    last = path.split("/")[-1]
    return last.removeprefix(stem)


def _notes(report):
    grid = Table.grid(padding=(0, 2))
    if report.format == "larq":
        size = f"{byte_size(report.bytes)}, before Larq Compute Engine packs anything"
    else:
        size = (
            f"{byte_size(report.bytes)}, {_times(report.compression_ratio)} than the "
        )
        size += "float32 weights"
    grid.add_row(Text("Size", style="bold"), Text(size))
    if report.format == "larq" and report.has_packed:
        packed = [layer for layer in report.layers if layer.packed]
        small = sum(layer.bytes or 0 for layer in packed)
        large = sum(layer.float32_bytes for layer in packed)
        text = f"{byte_size(small)} in its file, {_times(large / small)} than in floats"
        grid.add_row(Text("Packed layers", style="bold"), Text(text))
    if not report.has_packed:
        text = Text("no binary layer: nothing is packed")
        grid.add_row(Text("Packed", style="bold"), text)
    for layer in report.layers:
        if not layer.packed and layer.reason:
            text = Text(f"{layer.name}: {layer.reason}")
            title = "Not packed" if layer.weight_bits == 32 else "As integers"
            grid.add_row(Text(title, style="bold"), text)
    checked = report.verification
    if checked is None:
        text = Text("turned off")
    else:
        text = Text(_verified(checked, report))
    grid.add_row(Text("Compared with Keras", style="bold"), text)
    return [grid]


def _times(ratio):
    if ratio < 1:
        return f"{1 / ratio:.1f} times larger" if ratio else "larger"
    return f"{ratio:.1f} times smaller"


def _verified(checked, report):
    with_delegate = (
        f", without and with the delegate ({checked.delegate})"
        if checked.delegate
        else ", without the delegate, which is not there"
    )
    if report.format == "larq":
        with_delegate = ", in TensorFlow"
    text = f"{checked.samples} samples{with_delegate if report.has_packed else ''}: "
    if checked.decisions:
        text += f"{checked.decisions:,} signs, "
        text += f"{checked.near_ties:,} of them different at ties within rounding; "
    if checked.left_out:
        text += f"{checked.left_out:,} samples left out after ties within rounding; "
    if checked.left_out == checked.samples:
        return text + "no outputs compared: give other `sample_inputs`"
    return text + f"outputs differ by at most {checked.largest_difference:.2g}"

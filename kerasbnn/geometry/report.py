"""The geometry of a whole model: `GeometryReport`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasbnn.geometry.files import write_text
from kerasbnn.geometry.layer_geometry import LayerGeometry, plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA_VERSION = 1

_PLAN_WORDS = {
    "binarize": "binary",
    "ternarize": "ternary",
    "rotate": "rotated",
    # The paper's own advice for such a layer; see the argument of `plan`.
    "whiten": "continuous",
}


@dataclass(frozen=True)
class GeometryReport:
    """What an audit has found, layer by layer.

    Attributes:
        model: Name of the model.
        layers: One entry per audited kernel, in the order of the calls.
        samples: Number of samples that were seen.
        backend: Backend that computed it.
        version: Version of kerasbnn that made it.
        settings: Arguments of the audit and the thresholds of its verdicts.
        skipped: Layers with kernels that could not be audited, by path, and why.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry
        >>> from kerasbnn.geometry.report import GeometryReport
        >>> layer = LayerGeometry("conv", "conv", "kernel", "QuantConv2D", 27, 8)
        >>> report = GeometryReport("net", (layer,), samples=0)
        >>> GeometryReport.from_dict(report.to_dict()) == report
        True

    Reference:
        Anderson & Berg, arXiv 1705.07199.
    """

    model: str
    layers: tuple[LayerGeometry, ...]
    samples: int
    backend: str = ""
    version: str = ""
    settings: dict[str, Any] = field(default_factory=dict[str, Any])
    skipped: dict[str, str] = field(default_factory=dict[str, str])

    def __getitem__(self, name: str) -> LayerGeometry:
        """Return the entry of a layer by its name."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        names = ", ".join(layer.name for layer in self.layers)
        raise KeyError(f"The report has no layer {name!r}. It has: {names}.")

    def __iter__(self) -> Iterator[LayerGeometry]:
        """Iterate over the layers."""
        return iter(self.layers)

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self.layers)

    def to_dict(self, histograms: bool = True) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts; no NaN among them.

        Args:
            histograms: Whether to include the joint histograms, most of the size.

        Returns:
            A dict with `"schema_version"` and one key per attribute; `"layers"` is a
            list of dicts with the attributes of `LayerGeometry`.
        """
        layers = [layer.to_dict() for layer in self.layers]
        if not histograms:
            for layer in layers:
                layer["histograms"] = {}
        return {"schema_version": SCHEMA_VERSION, **plain(self), "layers": layers}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "GeometryReport":
        """Make a report from what `to_dict` has returned.

        Args:
            values: The dict; keys that this version does not know are passed over.

        Returns:
            The report.

        Raises:
            ValueError: It is not the dict of a report, or of a later schema.
        """
        version = values.get("schema_version")
        if not isinstance(version, int) or "layers" not in values:
            raise ValueError(
                "Expected the dict of a GeometryReport, with the keys 'schema_version' "
                f"and 'layers'. Received the keys: {sorted(map(str, values))}."
            )
        if version > SCHEMA_VERSION:
            raise ValueError(
                f"The report has schema version {version}, but this kerasbnn knows "
                f"versions up to {SCHEMA_VERSION}. Install a newer kerasbnn."
            )
        try:
            layers = tuple(LayerGeometry.from_dict(layer) for layer in values["layers"])
        except (TypeError, AttributeError) as error:
            raise ValueError(
                f"An entry of 'layers' is not that of a GeometryReport: {error}."
            ) from error
        return cls(
            model=values.get("model", ""),
            layers=layers,
            samples=values.get("samples", 0),
            backend=values.get("backend", ""),
            version=values.get("version", ""),
            settings=dict(values.get("settings", {})),
            skipped=dict(values.get("skipped", {})),
        )

    def to_json(self, path: str | Path | None = None, histograms: bool = True) -> str:
        """Return the report as JSON, and write it to a file.

        Args:
            path: File to write, whole or not at all; None only returns the text.
            histograms: As for `to_dict`.

        Returns:
            The text.
        """
        text = json.dumps(self.to_dict(histograms), indent=1, allow_nan=False) + "\n"
        return write_text(text, path)

    @classmethod
    def from_json(cls, path: str | Path) -> "GeometryReport":
        """Read a report that `to_json` has written.

        Args:
            path: The file.

        Returns:
            The report.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no report.
        """
        if isinstance(path, str) and path.lstrip().startswith("{"):
            raise ValueError(
                "Expected the path of a file, but received JSON itself. Use "
                "GeometryReport.from_dict(json.loads(text))."
            )
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is no JSON: {error}.") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path} is not the JSON of a GeometryReport: no object.")
        return cls.from_dict(values)  # pyright: ignore[reportUnknownArgumentType]

    def plan(self, whiten: bool = False) -> dict[str, str]:
        """Say how to quantize each layer, for `kerasbnn.binarize`.

        Args:
            whiten: Whether layers whose inputs should be whitened get the word
                `"whitened"`, for which `binarize` needs data; otherwise they stay
                `"continuous"`, as the paper advises for a first layer.

        Returns:
            Dict from the path of a layer to `"binary"`, `"ternary"`, `"rotated"`,
            `"continuous"` or `"whitened"`. Of a layer with two kernels the more careful
            word counts.

        Raises:
            ValueError: A layer has no verdict: the report is that of a probe.
        """
        unjudged = [layer.name for layer in self.layers if not layer.verdicts]
        if unjudged:
            raise ValueError(
                "A plan follows the verdicts, but there are none for "
                f"{', '.join(unjudged)}: a probe's report has no verdicts. Use the "
                "report of kerasbnn.audit(model, data)."
            )
        words = {**_PLAN_WORDS, "whiten": "whitened" if whiten else "continuous"}
        careful = ["binary", "rotated", "whitened", "ternary", "continuous"]
        chosen: dict[str, str] = {}
        for layer in self.layers:
            word = words.get(layer.verdicts[0].kind, "continuous")
            before = chosen.get(layer.layer, word)
            chosen[layer.layer] = max(before, word, key=careful.index)
        return chosen

    def show(self, console: Any = None):
        """Print a table of the layers and, below, what to do about each.

        Args:
            console: `rich` console to print to; None for the standard output.
        """
        from kerasbnn.geometry.views.tables import show

        show(self, console)

    def to_markdown(self, path: str | Path | None = None) -> str:
        """Return the report as a Markdown page, and write it to a file.

        Args:
            path: File to write, whole or not at all; None only returns the text.

        Returns:
            The text.
        """
        from kerasbnn.geometry.views.markdown import to_markdown

        return write_text(to_markdown(self), path)

    def to_html(self, path: str | Path | None = None) -> str:
        """Return the report as one HTML file with plots, and write it.

        It needs no other file and no network.

        Args:
            path: File to write, whole or not at all; None only returns the text.

        Returns:
            The text.

        Raises:
            ImportError: matplotlib is not installed.
        """
        from kerasbnn.geometry.views.html import to_html

        return write_text(to_html(self), path)

    def plot(
        self, kind: str = "dot_products", path: str | Path | None = None
    ) -> "Figure":
        """Draw one of the paper's figures for this model.

        Args:
            kind: One of `kerasbnn.geometry.views.plots.KINDS`: `"angles"`, `"weights"`,
                `"dot_products"`, `"permuted"`, `"activations"`, `"deviations"` or
                `"spectrum"`.
            path: Picture to write, its format by the name; None only returns the
                figure.

        Returns:
            A `matplotlib.figure.Figure`.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: The kind is unknown.
        """
        from kerasbnn.geometry.views.plots import plot

        return plot(self, kind, path)

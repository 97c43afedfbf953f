"""The paper's figures for any model: what `GeometryReport.plot` draws."""

# matplotlib leaves its keyword arguments untyped.
# pyright: reportUnknownMemberType=false

import importlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kerasbnn.geometry.files import write_bytes
from kerasbnn.geometry.report import GeometryReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KINDS = (
    "angles",
    "weights",
    "dot_products",
    "permuted",
    "activations",
    "deviations",
    "spectrum",
)
"""All kinds of plots: figures 2b, 2c and 3 of the paper, figure 3 with permuted inputs
and for the inputs' own quantizer, the inset of 2b, and the spectrum of the inputs."""

DOTS_PER_INCH = 160


def plot(
    report: GeometryReport, kind: str = "dot_products", path: str | Path | None = None
) -> "Figure":
    """Draw one of the paper's figures for a report.

    Layers that lack the data are left out, and the figure says so. No window is opened
    and `matplotlib.pyplot` is not needed; in a notebook the figure shows as the value
    of its cell.

    Args:
        report: The report.
        kind: One of `KINDS`.
        path: Picture to write, whole or not at all, its format by the ending of the
            name; None only returns the figure.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: The kind, or the format of the picture, is unknown.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import Angles, LayerGeometry
        >>> from kerasbnn.geometry.views.plots import plot
        >>> from kerasbnn.geometry.report import GeometryReport
        >>> angles = Angles(per_filter=(36.0, 37.5, 38.0))
        >>> layer = LayerGeometry("a", "a", "kernel", "Dense", 64, 3, angles=angles)
        >>> len(plot(GeometryReport("net", (layer,), samples=0), "angles").axes)
        1

    Reference:
        Anderson & Berg, arXiv 1705.07199, figures 2 and 3.
    """
    if kind not in KINDS:
        known = ", ".join(map(repr, KINDS))
        raise ValueError(f"There is no plot {kind!r}. Choose one of: {known}.")
    figure = _drawing(kind)(report)
    if path is not None:
        save(figure, path)
    return figure


def save(figure: "Figure", path: str | Path):
    """Write a figure to a file, whole or not at all.

    Args:
        figure: The figure.
        path: The file, its format by the ending of the name.

    Raises:
        ValueError: matplotlib does not know the format.

    Example:
        >>> from pathlib import Path
        >>> from matplotlib.figure import Figure
        >>> from kerasbnn.geometry.views.plots import save
        >>> save(Figure(), "empty.png")
        >>> Path("empty.png").read_bytes()[1:4]
        b'PNG'
    """
    ending = check_format(path)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=ending, dpi=DOTS_PER_INCH)
    write_bytes(buffer.getvalue(), path)


def check_format(path: str | Path) -> str:
    """Check that matplotlib can write a picture of this name.

    Args:
        path: The file.

    Returns:
        Its format, such as `"png"`.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: It does not know the format.

    Example:
        >>> from kerasbnn.geometry.views.plots import check_format
        >>> check_format("bars.SVG")
        'svg'
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    ending = Path(path).suffix[1:].lower()
    known = Figure().canvas.get_supported_filetypes()
    if ending not in known:
        raise ValueError(
            "The ending of a picture's name gives its format. Received: "
            f"{str(path)!r}. Use one of: .{', .'.join(sorted(known))}."
        )
    return ending


def require_matplotlib():
    """Raise an error that says how to install matplotlib, unless it is there.

    Raises:
        ImportError: matplotlib is not installed.

    Example:
        >>> from kerasbnn.geometry.views.plots import require_matplotlib
        >>> require_matplotlib()
    """
    try:
        importlib.import_module("matplotlib.figure")
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "matplotlib":
            raise
        raise ImportError(
            "Plots are drawn with matplotlib, which is not installed. Install it with: "
            'pip install "kerasbnn[plots]"'
        ) from error


def _drawing(kind: str) -> "Callable[[GeometryReport], Figure]":
    require_matplotlib()
    from kerasbnn.geometry.views import plots_inputs, plots_products, plots_weights

    pairs = plots_products.plot_pairs
    drawings: dict[str, Callable[[GeometryReport], Figure]] = {
        "angles": lambda report: plots_weights.plot_angles(report.layers),
        "weights": lambda report: plots_weights.plot_weights(report.layers),
        "dot_products": lambda report: pairs(report.layers, "products"),
        "permuted": lambda report: pairs(report.layers, "permuted"),
        "activations": lambda report: pairs(report.layers, "activations"),
        "deviations": lambda report: plots_weights.plot_deviations(report.layers),
        "spectrum": lambda report: plots_inputs.plot_spectrum(report.layers),
    }
    return drawings[kind]

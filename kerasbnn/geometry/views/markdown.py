"""The page that `GeometryReport.to_markdown` returns."""

import re

from kerasbnn.geometry.layer_geometry import LayerGeometry
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.geometry.views.wording import (
    angle,
    code_segments,
    decimal,
    headline,
    origin,
    percent,
    printable,
    quantizer,
    significant,
    verdict_word,
)

_COLUMNS = (
    ("Layer", ":--"),
    ("Type", ":--"),
    ("Quantizer", ":--"),
    ("Fan-in", "--:"),
    ("Filters", "--:"),
    ("Angle, degrees", "--:"),
    ("Expected", "--:"),
    ("Pooled r", "--:"),
    ("Mean r", "--:"),
    ("Median r", "--:"),
    ("Predicted median", "--:"),
    ("Permuted r", "--:"),
    ("Sign flips", "--:"),
    ("d_eff", "--:"),
    ("Verdict", ":--"),
)

_LEGEND = (
    "The angle is that between continuous and quantized weights, mean ± standard "
    "deviation over the filters, and what is expected of Gaussian weights. r is the "
    "correlation of the dot products with both: over all filters pooled, mean and "
    "median of the filters, as the formula predicts the median, and with permuted "
    "inputs. Sign flips are products whose sign differs, each filter's mean taken off. "
    "d_eff is the effective dimension of the inputs."
)


def to_markdown(report: GeometryReport) -> str:
    """Write a report as a Markdown page: a table, and what to do about each layer.

    Args:
        report: The report.

    Returns:
        The text, with tables as GitHub has them; names cannot break out of their cells.

    Example:
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry
        >>> from kerasbnn.geometry.views.markdown import to_markdown
        >>> from kerasbnn.geometry.report import GeometryReport
        >>> layer = LayerGeometry("a|b", "a|b", "kernel", "Dense", 9, 8)
        >>> text = to_markdown(GeometryReport("net", (layer,), samples=10))
        >>> text.splitlines()[0]
        '# Geometry of `net`'
    """
    parts = [
        f"# Geometry of {_code(report.model)}",
        f"{_escaped(origin(report))}. {headline(report)}",
    ]
    if report.layers:
        parts += [_table(report), _LEGEND]
        if any(not layer.is_quantized for layer in report.layers):
            parts.append("-> marks a quantizer that the layer does not have yet.")
    findings = [_findings(layer) for layer in report.layers]
    if any(findings):
        parts += ["## What to do", *(text for text in findings if text)]
    if report.skipped:
        lines = [
            f"- {_code(name)}: {_escaped(reason)}"
            for name, reason in report.skipped.items()
        ]
        parts += ["## Not audited", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def _table(report: GeometryReport) -> str:
    titles, alignments = zip(*_COLUMNS, strict=True)
    rows = [titles, alignments, *(_row(layer) for layer in report.layers)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(layer: LayerGeometry) -> tuple[str, ...]:
    products = layer.products
    cells = (
        _code(layer.name),
        _escaped(layer.type),
        _escaped(quantizer(layer)),
        str(layer.fan_in),
        str(layer.filters),
        *angle(layer),
        decimal(products.pooled),
        decimal(products.mean),
        decimal(products.median),
        decimal(products.predicted_median),
        decimal(products.permuted),
        percent(products.centred_flips),
        significant(layer.inputs.participation_ratio),
        f"**{verdict_word(layer.verdicts[0].kind)}**" if layer.verdicts else "-",
    )
    # Within code, too, a pipe ends a cell unless it is escaped.
    return tuple(cell.replace("|", "\\|") for cell in cells)


def _findings(layer: LayerGeometry) -> str:
    lines = [
        f"- **{verdict_word(v.kind)}**: {_escaped(f'{v.reason} {v.remedy}'.strip())}"
        for v in layer.verdicts
    ]
    lines += [f"- {_escaped(problem)}" for problem in layer.problems]
    return f"### {_code(layer.name)}\n\n" + "\n".join(lines) if lines else ""


def _code(name: str) -> str:
    """Return a name as code, in more backticks than it has in a row."""
    name = printable(name)
    runs = re.findall("`+", name)
    if not runs:
        return f"`{name}`"
    fence = "`" * (1 + max(map(len, runs)))
    return f"{fence} {name} {fence}"


def _escaped(text: str) -> str:
    """Return a sentence with nothing of it taken as markup but code in backticks."""
    # An underscore within a word, as in many names, is none.
    markup = r"([\\`*\[\]<~&]|^#|(?<!\w)_|_(?!\w))"
    return "".join(
        _code(piece) if is_code else re.sub(markup, r"\\\1", piece)
        for piece, is_code in code_segments(printable(text))
    )

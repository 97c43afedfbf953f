"""The page that `GeometryReport.to_html` returns."""

import base64
import hashlib
import json
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING

from kerasbnn.geometry.layer_geometry import LayerGeometry, plain
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.geometry.views.html_style import STYLE
from kerasbnn.geometry.views.sentences import sentences
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
    tone,
    verdict_word,
)

if TYPE_CHECKING:
    from kerasbnn.geometry.views.html_figures import Illustration

_COLUMNS = (
    "Fan-in",
    "Filters",
    "Angle, degrees<br><small>expected</small>",
    "Pooled r",
    "Mean r",
    "Median r",
    "Predicted median",
    "Permuted r",
    "Sign flips",
    "d<sub>eff</sub>",
)

_MEANINGS = {
    "Angle": "Between the continuous weights of a filter and their quantized values. "
    "The signs of Gaussian weights are 37.07° away where there are many of them, a "
    "little less where there are few. Two random directions would be 90° apart, so "
    "this is close. Uniform weights, such as most layers start from, have 30°.",
    "Pooled r": "Correlation between the dot products of the inputs with quantized and "
    "with continuous weights, over all filters together. At 1 the quantized layer "
    "computes what the continuous one does, up to a scale that does not matter before "
    "a batch normalization.",
    "Mean r": "The same for each filter by itself, and of these the mean, by which the "
    "verdict goes. It does not see differences between filters, which the pooled one "
    "mixes in.",
    "Median r": "Of these the median, to compare with the predicted one.",
    "Predicted median": "What the angle and the variance along the weights let expect "
    "of it: 1 / sqrt(1 + tan²(angle) / rho). rho is the variance of the inputs along "
    "the weights, relative to that in a mean direction.",
    "Permuted r": "The correlation where the elements of the inputs are permuted at "
    "random. It is near the cosine of the angle. A higher pooled r shows that the "
    "filters look along directions in which the inputs vary; a lower one, as in many "
    "first layers, that they do not.",
    "Sign flips": "Share of dot products whose sign the quantization changes, each "
    "filter's mean taken off. With a correlation r, arccos(r) / pi are expected.",
    "d_eff": "Effective dimension of the inputs of a filter: how many directions their "
    "variance is spread over. Where it is small, one error in the weights can outweigh "
    "all else.",
}


def to_html(report: GeometryReport) -> str:
    """Write a report as one HTML page, with plots, that needs no other file.

    It has no scripts and refers to nothing outside; its own content security policy
    forbids both. Colors follow the reader's choice of light or dark.

    Args:
        report: The report.

    Returns:
        The text of the page.

    Raises:
        ImportError: matplotlib is not installed.

    Example:
        >>> from kerasbnn.geometry.views.html import to_html
        >>> from kerasbnn.geometry.layer_geometry import LayerGeometry
        >>> from kerasbnn.geometry.report import GeometryReport
        >>> layer = LayerGeometry("<b>", "<b>", "kernel", "Dense", 9, 8)
        >>> page = to_html(GeometryReport("net", (layer,), samples=10))
        >>> "&lt;b&gt;" in page, "<b>" in page
        (True, False)
    """
    _require_matplotlib()
    digest = hashlib.sha256(STYLE.encode()).digest()
    policy = (
        f"default-src 'none'; style-src 'sha256-{base64.b64encode(digest).decode()}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    title = f"Geometry of {_text(report.model)}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="faint">{_text(origin(report))}</p>
<p>{_text(headline(report))}</p>
</header>
<main>
{"".join(_sections(report))}</main>
</body>
</html>
"""


def _require_matplotlib():
    # Asking for what the plots need raises the error that says how to install it.
    from kerasbnn.geometry.views.plots import require_matplotlib

    require_matplotlib()


def _sections(report: GeometryReport) -> Iterable[str]:
    from kerasbnn.geometry.views.html_figures import overview, panels

    if report.layers:
        yield _summary(report)
        plots = _plots(overview(report.layers), "all", "plots wide")
        if plots:
            yield f"<section>\n<h2>All layers</h2>\n{plots}</section>\n"
        yield "<section>\n<h2>Layer by layer</h2>\n"
        for index, layer in enumerate(report.layers):
            yield _layer(index, layer, _plots(panels(index, layer), f"p{index}"))
        yield "</section>\n"
    if report.skipped:
        items = "".join(
            f"<li><code>{_text(name)}</code>: {_sentence(reason)}</li>\n"
            for name, reason in report.skipped.items()
        )
        yield f"<section>\n<h2>Not audited</h2>\n<ul>\n{items}</ul>\n</section>\n"
    meanings = "".join(
        f"<dt>{_text(name)}</dt><dd>{_text(meaning)}</dd>\n"
        for name, meaning in _MEANINGS.items()
    )
    yield f"<section>\n<h2>What the figures mean</h2>\n<dl>\n{meanings}</dl>\n"
    yield (
        '<p class="faint">The quantities are those of Anderson and Berg, The '
        "High-Dimensional Geometry of Binary Neural Networks, arXiv 1705.07199.</p>\n"
        "</section>\n"
    )
    if report.settings:
        settings = escape(json.dumps(plain(report.settings), indent=2), quote=False)
        yield (
            "<details>\n<summary>Settings of the audit</summary>\n"
            f"<pre>{settings}</pre>\n</details>\n"
        )


def _summary(report: GeometryReport) -> str:
    titles = "".join(f'<th scope="col">{title}</th>' for title in _COLUMNS)
    rows = "".join(_row(index, layer) for index, layer in enumerate(report.layers))
    arrow = (
        " An arrow marks a quantizer that the layer does not have yet."
        if any(not layer.is_quantized for layer in report.layers)
        else ""
    )
    return f"""<section>
<h2>Summary</h2>
<div class="scroll" role="region" aria-label="Summary" tabindex="0">
<table>
<caption>Angles are means and standard deviations over the filters, above what is
expected of Gaussian weights. r is the correlation of dot products with quantized and
with continuous weights. What the columns mean is explained below.{arrow}</caption>
<thead>
<tr><th scope="col" class="text">Layer</th><th scope="col" class="text">Verdict</th>\
{titles}</tr>
</thead>
<tbody>
{rows}</tbody>
</table>
</div>
</section>
"""


def _row(index: int, layer: LayerGeometry) -> str:
    products = layer.products
    measured, expected = angle(layer)
    cells = (
        f"{layer.fan_in:,}",
        f"{layer.filters:,}",
        f"{measured}<br><small>{expected}</small>",
        decimal(products.pooled),
        decimal(products.mean),
        decimal(products.median),
        decimal(products.predicted_median),
        decimal(products.permuted),
        percent(products.centred_flips),
        significant(layer.inputs.participation_ratio),
    )
    badge = _badge(layer.verdicts[0].kind) if layer.verdicts else "-"
    kind = f"{_text(layer.type)}, {_arrow(quantizer(layer))}"
    return (
        f'<tr><th scope="row" class="text"><a href="#layer-{index}">'
        f"{_text(layer.name)}</a><br><small>{kind}</small></th>"
        f'<td class="text">{badge}</td>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>\n"
    )


def _layer(index: int, layer: LayerGeometry, plots: str) -> str:
    kind = f"{_text(layer.type)}, {_arrow(quantizer(layer))}"
    findings = [
        f"<li>{_badge(verdict.kind)} "
        f"{_sentence(f'{verdict.reason} {verdict.remedy}'.strip())}</li>\n"
        for verdict in layer.verdicts
    ]
    findings += [f"<li>{_sentence(problem)}</li>\n" for problem in layer.problems]
    verdicts = f'<ul class="findings">\n{"".join(findings)}</ul>\n' if findings else ""
    words = "".join(
        f"<dt>{subject}</dt><dd>{_text(' '.join(lines))}</dd>\n"
        for subject, lines in sentences(layer).items()
    )
    return f"""<section class="layer" id="layer-{index}">
<h3>{_text(layer.name)}</h3>
<p class="faint">{kind}</p>
{verdicts}<dl>
{words}</dl>
{plots}</section>
"""


def _plots(
    illustrations: "Iterable[Illustration]", prefix: str, classes: str = "plots"
) -> str:
    from kerasbnn.geometry.views.html_svg import inline_svg

    figures = ""
    for number, found in enumerate(illustrations):
        description = printable(found.description)
        svg = inline_svg(found.figure, description, f"{prefix}-{number}")
        caption = f"<figcaption>{_text(found.caption)}</figcaption>"
        figures += f"<figure>\n{svg}\n{caption}\n</figure>\n"
    return f'<div class="{classes}">\n{figures}</div>\n' if figures else ""


def _badge(kind: str) -> str:
    return f'<span class="verdict {tone(kind)}">{_text(verdict_word(kind))}</span>'


def _arrow(name: str) -> str:
    return _text(name.replace("->", "\N{RIGHTWARDS ARROW}"))


def _sentence(text: str) -> str:
    return "".join(
        f"<code>{_text(piece)}</code>" if is_code else _text(piece)
        for piece, is_code in code_segments(text)
    )


def _text(text: str) -> str:
    # A line should not end between a number and its sign.
    return escape(printable(text)).replace(" %", "&nbsp;%")

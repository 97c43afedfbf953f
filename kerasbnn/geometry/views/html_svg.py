"""Figures as SVG that can stand inside an HTML page.

What matplotlib writes is a file of its own, with a style sheet, style attributes and
white paper. Inside a page, texts and axes take the page's color, so that they are seen
in a dark one too; nothing needs a permission of a strict content security policy; and
identifiers are made unique.
"""

import io
import re
import warnings
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

from kerasbnn.geometry.views.plots_canvas import INK, PAPER

_SVG = "{http://www.w3.org/2000/svg}"
_LINK = "{http://www.w3.org/1999/xlink}href"
# The page has its own; these would be written for each figure again.
_DROPPED = ("metadata", "style", "title")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")


def inline_svg(figure: Figure, description: str, prefix: str) -> str:
    """Return a figure as an `<svg>` element without references to anything outside.

    Args:
        figure: The figure, drawn in the colors of `plots_canvas`.
        description: What it shows, for those who cannot see it.
        prefix: What no identifier of another figure of the page begins with.

    Returns:
        The element.

    Example:
        >>> from kerasbnn.geometry.views.html_svg import inline_svg
        >>> from kerasbnn.geometry.views.plots_canvas import new_figure
        >>> inline_svg(new_figure(2, 1), "Nothing", "a")[:39]
        '<svg viewBox="0 0 144 72" role="img" ar'
    """
    buffer = io.BytesIO()
    # Texts stay texts, in the fonts of the page: small, and to be found by a search.
    settings = {"svg.fonttype": "none", "svg.hashsalt": prefix}
    with mpl.rc_context(settings), warnings.catch_warnings():  # pyright: ignore
        # A glyph that matplotlib's font lacks is drawn by the browser.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", append=False)
        figure.savefig(buffer, format="svg", metadata={"Date": None})  # pyright: ignore
    root = ElementTree.fromstring(buffer.getvalue())
    attributes = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": description,
        "stroke-linejoin": "round",
        "stroke-linecap": "butt",
    }
    root.attrib.clear()
    root.attrib.update(attributes)
    _clean(root, prefix)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _clean(element: ElementTree.Element, prefix: str):
    element.tag = element.tag.removeprefix(_SVG)
    element.tail = None
    if element.tag != "text" and element.tag != "tspan":
        element.text = None
    for child in list(element):
        if child.tag.removeprefix(_SVG) in _DROPPED:
            element.remove(child)
            continue
        _clean(child, prefix)
        if child.tag == "defs" and len(child) == 0:
            element.remove(child)
    attributes = element.attrib
    for name, value in _declarations(attributes.pop("style", "")):
        if name == "font":
            size = re.search(r"[\d.]+(?=px)", value)
            attributes["font-size"] = size[0] if size else "9"
        else:
            attributes[name] = value
    if attributes.get("fill") == PAPER:
        attributes["fill"] = "none"
    for name in ("fill", "stroke"):
        if attributes.get(name) == INK:
            attributes[name] = "currentColor"
    link = attributes.pop(_LINK, None)
    if link is not None:
        attributes["href"] = f"#{prefix}-{link[1:]}" if link[0] == "#" else link
    if "id" in attributes:
        attributes["id"] = f"{prefix}-{attributes['id']}"
    if "clip-path" in attributes:
        attributes["clip-path"] = attributes["clip-path"].replace("#", f"#{prefix}-")
    for name in ("d", "x", "y"):
        if name in attributes:
            attributes[name] = _shortened(attributes[name])


def _declarations(style: str) -> list[tuple[str, str]]:
    """Split `"fill: none; stroke: #000000"` into names and values."""
    pairs = [part.partition(":") for part in style.split(";") if ":" in part]
    return [(name.strip(), value.strip()) for name, _, value in pairs]


def _shortened(numbers: str) -> str:
    """Round to hundredths of a point, and write a path on one line."""
    rounded = _LONG_NUMBER.sub(lambda m: f"{float(m[0]):z.2f}".rstrip("0"), numbers)
    return " ".join(rounded.split()).replace(". ", " ").removesuffix(".")

"""Reads pages as text, without a browser."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "input", "br", "img"}


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str | None]
    parent: "Element | None" = None
    children: list["Element | str"] = field(default_factory=list)

    @property
    def text(self) -> str:
        pieces = [c if isinstance(c, str) else c.text for c in self.children]
        return " ".join("".join(pieces).split())

    def all(self, tag: str, **attributes: str) -> list["Element"]:
        found = []
        for child in self.children:
            if isinstance(child, str):
                continue
            if child.tag == tag and attributes.items() <= child.attributes.items():
                found.append(child)
            found += child.all(tag, **attributes)
        return found

    def everything(self) -> list["Element"]:
        found = [child for child in self.children if isinstance(child, Element)]
        return found + [below for child in found for below in child.everything()]


class _Parser(HTMLParser):
    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.root = self.here = Element("", {})

    def handle_starttag(self, tag, attrs):
        element = Element(tag, dict(attrs), self.here)
        assert len(attrs) == len(element.attributes), f"an attribute twice in {tag}"
        self.here.children.append(element)
        if tag not in VOID:
            self.here = element

    def handle_endtag(self, tag):
        assert self.here.tag == tag, f"</{tag}> ends <{self.here.tag}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data):
        self.here.children.append(data)


def parsed(text: str) -> Element:
    """Return the root of a page whose tags all have an end."""
    parser = _Parser()
    parser.feed(text)
    parser.close()
    assert parser.here is parser.root, f"<{parser.here.tag}> has no end"
    return parser.root


def rows_of(table: Element) -> list[list[str]]:
    """Return the texts of the cells of a table's body."""
    (body,) = table.all("tbody")
    return [
        [cell.text for cell in row.children if isinstance(cell, Element)]
        for row in body.all("tr")
    ]

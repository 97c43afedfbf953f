"""Scales and elements of charts, as SVG that may stand in a page.

Colors are classes, which the style sheet of the page gives for light and dark; the
content security policy of the pages allows no style of an element itself.
"""

import math
from dataclasses import dataclass

from markupsafe import Markup, escape


@dataclass(frozen=True)
class Scale:
    """Maps values to places along an axis, linearly.

    Attributes:
        low: Value at the start.
        high: Value at the end.
        start: Place of `low`.
        end: Place of `high`.
    """

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the place of a value."""
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 6) -> list[float]:
        """Return round values from low to high, few of them.

        Args:
            most: How many to return at most, from 2 on.

        Returns:
            Multiples of 1, 2 or 5 times a power of ten.

        Example:
            >>> from kerasbnn.serve.page.svg import Scale
            >>> Scale(29.5, 41, 0, 100).ticks()
            [30, 32, 34, 36, 38, 40]
        """
        step = round_step((self.high - self.low) / most)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [_rounded(number * step) for number in range(first, last + 1)]


def round_step(least: float) -> float:
    """Return the smallest of 1, 2 and 5 times a power of ten that is large enough.

    Args:
        least: What it must reach, above 0.

    Example:
        >>> from kerasbnn.serve.page.svg import round_step
        >>> round_step(0.3), round_step(2), round_step(2.1)
        (0.5, 2.0, 5.0)
    """
    power = 10.0 ** math.floor(math.log10(least))
    for factor in (1, 2, 5):
        if factor * power >= least * (1 - 1e-9):
            return factor * power
    return 10 * power


def element(tag: str, content: str | Markup = "", /, **attributes: object) -> Markup:
    """Return an element of SVG; all that is given is escaped.

    Args:
        tag: Its name.
        content: What stands in it: a text, or elements that are `Markup`.
        attributes: Its attributes. `_` stands for `-`, one at the end is left out, and
            numbers are rounded to two decimals.

    Example:
        >>> from kerasbnn.serve.page.svg import element
        >>> print(element("text", "a < b", x=1.0, class_="tick", text_anchor="end"))
        <text x="1" class="tick" text-anchor="end">a &lt; b</text>
    """
    words = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for name, value in attributes.items()
    )
    return Markup(f"<{tag}{words}>{escape(content)}</{tag}>")


def titled(tag: str, title: str, /, **attributes: object) -> Markup:
    """Return an element that tells what it is when one points at it."""
    return element(tag, element("title", title), **attributes)


def drawing(
    width: float, height: float, label: str, parts: list[Markup], class_: str
) -> Markup:
    """Return a chart.

    Args:
        width: Its width, which is scaled to that of its place in the page.
        height: Its height.
        label: What it shows, for those who do not see it.
        parts: Its elements.
        class_: Its class.
    """
    return element(
        "svg",
        Markup("").join(parts),
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_label=label,
        class_=f"chart {class_}",
    )


def _value(value):
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return escape(value)


def _rounded(value):
    value = float(f"{value:.12g}")
    return int(value) if value.is_integer() else value

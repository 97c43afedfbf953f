"""How the tables of this package are printed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType

from kerasbnn.geometry.files import write_text
from kerasbnn.geometry.views.consoles import standard_output


def print_table(
    table: RenderableType,
    width: int,
    print_fn: Callable[[str], object] | None = None,
    console: Console | None = None,
):
    """Print a table to a terminal, a file or a function.

    Args:
        table: What `rich` can print.
        width: Number of columns where there is no terminal whose width to ask for.
        print_fn: Function that is called with each line of plain text, instead of
            printing.
        console: `rich` console to print to. By default one for the standard output.

    Example:
        >>> from kerasbnn.models.printing import print_table
        >>> print_table("one", width=10, print_fn=print)
        one
    """
    if print_fn is not None:
        plain = Console(width=width, color_system=None, force_terminal=False)
        with plain.capture() as capture:
            plain.print(table)
        for line in capture.get().splitlines():
            print_fn(line.rstrip())
        return
    if console is None:
        with standard_output(width) as console:
            console.print(table)
    else:
        console.print(table)


class TableReport:
    """A report that is printed as a table and written as JSON."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts."""
        raise NotImplementedError

    def _table(self) -> tuple[RenderableType, int]:
        """Return the table, and its width where there is no terminal to ask for one."""
        raise NotImplementedError

    def to_json(self, path: str | Path | None = None) -> str:
        """Return the report as JSON, and write it where a path is given.

        Args:
            path: File to write, whole or not at all, or None.

        Returns:
            The text.
        """
        return write_text(json.dumps(self.to_dict(), indent=2) + "\n", path)

    def show(
        self,
        *,
        print_fn: Callable[[str], object] | None = None,
        console: Console | None = None,
    ):
        """Print the report as a table.

        Args:
            print_fn: Function that is called with each line of plain text, instead of
                printing.
            console: `rich` console to print to. By default one for the standard output.
        """
        print_table(*self._table(), print_fn, console)

    def __str__(self) -> str:
        lines: list[str] = []
        self.show(print_fn=lines.append)
        return "\n".join(lines)

"""How the tables of this package are printed."""

from collections.abc import Callable

from rich.console import Console, RenderableType

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

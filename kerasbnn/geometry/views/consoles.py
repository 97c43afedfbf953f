"""The standard output as a `rich` console: a terminal, a notebook or a file."""

import os
import re
from collections.abc import Generator
from contextlib import contextmanager

from rich.console import Console


@contextmanager
def standard_output(width: int) -> Generator[Console, None, None]:
    """Yield a console; what goes to a file has no blanks at the ends of its lines.

    Args:
        width: Number of columns where there is no terminal whose width to ask for, and
            no environment variable `COLUMNS`.

    Yields:
        The console.

    Example:
        >>> from kerasbnn.geometry.views.consoles import standard_output
        >>> with standard_output(width=10) as console:
        ...     console.print("one  ")
        one
    """
    console = Console()
    if console.is_terminal:
        yield console
        return
    if not os.environ.get("COLUMNS", "").isdigit():
        console.width = width
    if console.is_jupyter:
        yield console
        return
    with console.capture() as capture:
        yield console
    print(re.sub(" +$", "", capture.get(), flags=re.MULTILINE), end="")

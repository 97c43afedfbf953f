"""Files that the commands write."""

from pathlib import Path

from kerasbnn._errors import CommandError


def check_output(path: Path):
    """Check, before any long work, that a file can be written.

    Args:
        path: The file.

    Raises:
        CommandError: It cannot.
    """
    if path.is_dir():
        raise CommandError(f"'{path}' is a folder. Name a file in it.")
    if not path.parent.is_dir():
        raise CommandError(f"there is no folder '{path.parent}'.")

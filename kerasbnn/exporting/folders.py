"""Folders of models: their names, and writing one whole or not at all."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from kerasbnn._written_folders import written_whole as whole_folder

MODEL, PROBE, GEOMETRY, LABELS = (
    "model.tflite",
    "model.probe.tflite",
    "geometry.json",
    "labels.txt",
)

# What may stand in a URL as it is.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

# A service has statistics of all models where one of this name would be.
_TAKEN = "stats"


def name_and_version(folder: Path) -> tuple[str, str]:
    """Return what the last two folders of a path say: name and version of a model.

    Args:
        folder: The path, `MODEL_DIR/NAME/VERSION`.

    Returns:
        The two names.

    Raises:
        ValueError: One of them cannot be part of a URL, or the name is that of
            something else there.

    Example:
        >>> from pathlib import Path
        >>> from kerasbnn.exporting.folders import name_and_version
        >>> name_and_version(Path("models/digits/1"))
        ('digits', '1')
    """
    # Links keep the names that the user has given.
    path = Path(os.path.abspath(folder))
    for kind, word in (("name", path.parent.name), ("version", path.name)):
        if not _NAME.fullmatch(word):
            raise ValueError(
                f"'{folder}' must end in NAME/VERSION, such as models/digits/1, of at "
                "most 128 letters, digits, '.', '_' and '-' each, the first a letter "
                f"or a digit, as they become part of a URL. Received the {kind} "
                f"{word!r}."
            )
    if path.parent.name == _TAKEN:
        raise ValueError(
            f"A model cannot have the name {_TAKEN!r}, as a service has its statistics "
            f"at this URL. Received: '{folder}'."
        )
    return path.parent.name, path.name


def check_replaceable(folder: Path, overwrite: bool):
    """Check that nothing is lost where a model is written.

    Args:
        folder: The folder of the model; an empty one may be there.
        overwrite: Whether a model that is there is to be replaced.

    Raises:
        FileExistsError: There is one, or something else.
    """
    if not os.path.lexists(folder):
        return
    if folder.is_symlink() or not folder.is_dir():
        raise FileExistsError(
            f"'{folder}' is a file or a link, not a folder. Name another folder."
        )
    found = {path.name for path in folder.iterdir()}
    others = sorted(found - {MODEL, PROBE, GEOMETRY, LABELS})
    if others:
        raise FileExistsError(
            f"'{folder}' holds what no export has written: {', '.join(others[:5])}. "
            "Name another folder."
        )
    if found and not overwrite:
        raise FileExistsError(
            f"'{folder}' holds a model already. Name the next version, or use "
            "`overwrite` to replace it."
        )


@contextlib.contextmanager
def written_whole(folder: Path, overwrite: bool) -> Iterator[Path]:
    """Make a folder that is there in the end with all its files, or not at all.

    Args:
        folder: The folder; folders above it are made where there are none.
        overwrite: Whether a model that is there is to be replaced.

    Yields:
        An empty folder beside it to write to. It gets its name at the end of the
        block; after an error all is as it was.

    Raises:
        FileExistsError: As `check_replaceable`, before the block and after it.
        OSError: The folder cannot be made.

    Example:
        >>> from pathlib import Path
        >>> from kerasbnn.exporting.folders import written_whole
        >>> with written_whole(Path("models/net/1"), overwrite=False) as new:
        ...     _ = (new / "labels.txt").write_text("ape")
        >>> [str(path) for path in Path("models").rglob("*.txt")]
        ['models/net/1/labels.txt']
    """
    with whole_folder(folder, lambda: check_replaceable(folder, overwrite)) as new:
        yield new

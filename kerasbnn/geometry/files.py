"""Files that are written whole or not at all."""

import os
import tempfile
from pathlib import Path


def writable_path(path: str | Path) -> Path:
    """Check, before any long work, that a file can be written there.

    Args:
        path: The file; another one that is there will be replaced.

    Returns:
        The path.

    Raises:
        FileNotFoundError: It is a folder, or there is no folder to write it into.

    Example:
        >>> from kerasbnn.geometry.files import writable_path
        >>> writable_path("model.tflite").name
        'model.tflite'
    """
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        problem = "it is a folder"
        if not path.is_dir():
            problem = f"there is no folder '{path.parent}'"
        raise FileNotFoundError(f"Cannot write '{path}': {problem}. Name a file.")
    return path


def write_bytes(content: bytes, path: str | Path):
    """Write a file under another name first, so that no half of it is ever there.

    Args:
        content: What to write.
        path: Where to; a file that is there is replaced.

    Raises:
        FileNotFoundError: There is no such folder, or the path is one.

    Example:
        >>> from pathlib import Path
        >>> from kerasbnn.geometry.files import write_bytes
        >>> write_bytes(b"1", "one.txt")
        >>> Path("one.txt").read_text()
        '1'
    """
    path = writable_path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # The temporary file is private to its owner; a new file would not be.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(name, 0o666 & ~mask)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write_text(text: str, path: str | Path | None) -> str:
    """Write a text as UTF-8, whole or not at all, and return it.

    Args:
        text: What to write.
        path: Where to, or None for nowhere.

    Returns:
        `text`, unchanged.

    Example:
        >>> from kerasbnn.geometry.files import write_text
        >>> write_text("one", None)
        'one'
    """
    if path is not None:
        write_bytes(text.encode("utf-8"), path)
    return text

"""Folders that are written whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path


@contextlib.contextmanager
def written_whole(folder: Path, check: Callable[[], None]) -> Iterator[Path]:
    """Make a folder that is there in the end with all its files, or not at all.

    Args:
        folder: The folder; folders above it are made where there are none. One that is
            there is replaced.
        check: Raises where what is in the place of the folder must stay; called before
            the block and after it.

    Yields:
        An empty folder beside it to write to. It gets its name at the end of the
        block; after an error all is as it was.

    Raises:
        OSError: The folder cannot be made.

    Example:
        >>> from pathlib import Path
        >>> from kerasbnn._written_folders import written_whole
        >>> with written_whole(Path("notes"), check=lambda: None) as new:
        ...     _ = (new / "one.txt").write_text("1")
        >>> [str(path) for path in Path("notes").iterdir()]
        ['notes/one.txt']
    """
    check()
    made: list[Path] = []
    try:
        with contextlib.ExitStack() as stack:
            try:
                _make(folder.parent, made)
                scratch = stack.enter_context(
                    tempfile.TemporaryDirectory(
                        dir=folder.parent, prefix=f".{folder.name}."
                    )
                )
                new = Path(scratch, folder.name)
                new.mkdir()
            except OSError as error:
                raise type(error)(
                    f"Cannot write '{folder}': {error.strerror}. Name a folder in a "
                    "place where you may write."
                ) from error
            yield new
            check()
            _move(new, folder, Path(scratch, "replaced"))
    except BaseException:
        for path in reversed(made):
            # Somebody else may have put something there.
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


def _make(folder: Path, made: list[Path]):
    """Make a folder and those above it; note those that were not there."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(exist_ok=True)
        made.append(path)


def _move(new: Path, folder: Path, aside: Path):
    """Put a folder in the place of another, which goes aside, or nothing changes."""
    try:
        if folder.exists():
            os.rename(folder, aside)
        os.rename(new, folder)
    except BaseException:
        # Such as Ctrl+C, at any line of these.
        if aside.exists() and not folder.exists():
            os.rename(aside, folder)
        raise

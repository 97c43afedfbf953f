"""Finds the models of a folder."""

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from kerasbnn._errors import CommandError

MODEL, PROBE, GEOMETRY, LABELS = (
    "model.tflite",
    "model.probe.tflite",
    "geometry.json",
    "labels.txt",
)
EXPORT = "Write one with `kerasbnn export model.keras MODEL_DIR/NAME/1 --data x.npz`."

# What may stand in a URL as it is.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")

# `GET /v2/models/stats` tells of all models.
_TAKEN = "stats"


@dataclass(frozen=True)
class ModelFiles:
    """The files of one version of a model.

    Attributes:
        name: Name of the model.
        version: Its version.
        model: The file that predicts.
        probe: The file that measures the geometry, or None.
        geometry: The report and the reference of the export, or None.
        labels: A file with a name for each class on a line, or None.
    """

    name: str
    version: str
    model: Path
    probe: Path | None = None
    geometry: Path | None = None
    labels: Path | None = None


def packaged_models() -> Path:
    """Return the folder of the models that come with the package."""
    return Path(__file__).parent.parent / "digits"


def find_models(path: Path) -> list[ModelFiles]:
    """Find the models of a folder, or take a single file.

    Args:
        path: A folder with `NAME/VERSION/model.tflite`, a folder `NAME` or `VERSION` of
            such a one, or a `.tflite` file.

    Returns:
        Files of each version of each model, ordered by name and version.

    Raises:
        CommandError: There is no model, one with a name that a URL cannot have or
            that has another meaning there, or one that this user must not read.

    Example:
        >>> from kerasbnn.serve.models.repository import find_models, packaged_models
        >>> [(files.name, files.version) for files in find_models(packaged_models())]
        [('digits', '1')]
    """
    path = path.resolve()
    if not path.exists():
        raise CommandError(f"there is no file or folder '{path}'.")
    _check_readable(path)
    if path.is_file():
        return [_single_file(path)]
    folders = _model_folders(path)
    if folders:
        found = [_files_of(folder) for folder in folders]
        return sorted(found, key=lambda f: (f.name, version_order(f.version)))
    raise CommandError(
        f"'{path}' holds no model: expected NAME/VERSION/{MODEL} in it. "
        f"{_suggestion(path) or EXPORT}"
    )


def version_order(version: str) -> tuple[int, str]:
    """Return what versions are ordered by: numbers as numbers, after all words.

    Args:
        version: The version.

    Returns:
        A key for `sorted`.

    Example:
        >>> from kerasbnn.serve.models.repository import version_order
        >>> sorted(["10", "beta", "9"], key=version_order)
        ['beta', '9', '10']
    """
    return (int(version), "") if version.isdecimal() else (-1, version)


def _check_readable(path):
    if not os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        raise CommandError(
            f"'{path}' must not be read by this user. Let others read it: "
            f"chmod -R a+rX '{path}'."
        )


def _check_free(name, path):
    if name == _TAKEN:
        raise CommandError(
            f"a model cannot have the name {name!r}, as the statistics of all models "
            f"are at this URL. Rename '{path}'."
        )


def _model_folders(path):
    """Return the folders of all versions of all models, or of the only one."""
    for pattern in (f"*/*/{MODEL}", f"*/{MODEL}", MODEL):
        # Hidden folders are exports that are being written.
        found = [
            model.parent
            for model in path.glob(pattern)
            if not any(part[0] == "." for part in model.relative_to(path).parts)
        ]
        if found:
            return found
    return []


def _suggestion(path):
    """Name the folder of models in a folder of something else, if there is one."""
    for folder in sorted(path.glob("[!.]*")):
        # Elsewhere, what is listed may be gone, or nobody's to be read.
        with contextlib.suppress(OSError):
            if folder.is_dir() and _model_folders(folder):
                return f"Did you mean '{folder}'?"
    return ""


def _single_file(path):
    if path.suffix != ".tflite":
        raise CommandError(
            f"'{path}' is no .tflite file. Write one with `kerasbnn convert`, or give "
            "a folder of models."
        )
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._") or "model"
    _check_free(name, path)
    return ModelFiles(name, "1", path, _readable(path.with_suffix(".probe.tflite")))


def _files_of(folder):
    name, version = folder.parent.name, folder.name
    for kind, word in (("model", name), ("version", version)):
        if not _NAME.fullmatch(word):
            raise CommandError(
                f"'{word}' in '{folder}' cannot be the name of a {kind}: expected "
                "letters, digits, '.', '_' and '-' only, as it becomes part of a URL. "
                "Rename the folder."
            )
    _check_free(name, folder.parent)
    _check_readable(folder / MODEL)
    probe, geometry, labels = (
        _readable(folder / name) for name in (PROBE, GEOMETRY, LABELS)
    )
    return ModelFiles(name, version, folder / MODEL, probe, geometry, labels)


def _readable(path):
    """Return the path of a file, or None where there is none."""
    if not path.is_file():
        return None
    _check_readable(path)
    return path

"""Finds, loads and tests the native delegate, once in a process."""

import ctypes
import os
import sys
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kerasbnn.runtime.errors import DelegateError

LIBRARY = "libkerasbnn_delegate"
FORCE = "KERASBNN_FORCE_IMPLEMENTATION"
_SUFFIXES = (".so", ".dylib", ".dll")

REINSTALL = (
    "It is compiled when kerasbnn is installed: install a C++ compiler (g++ or "
    "clang++; on Debian `apt install g++`) and run "
    '`pip install --force-reinstall --no-deps --no-cache-dir "kerasbnn"`, or '
    "`pip install -e .` in a checkout."
)

_lock = threading.Lock()
_loaded: "Loaded | None" = None
_has_warned = False


@dataclass(frozen=True)
class Loaded:
    """What became of the delegate in this process.

    Attributes:
        delegate: LiteRT's object of it, or None where it cannot be used.
        library: Path of the library, or None where there is none.
        implementation: Name of the implementation in use, or None.
        available: Names of those that this processor can run.
        self_test: `"passed"`, `"failed"` or `"not run"`.
        problem: Why it cannot be used, or None.
        advice: What would help, or an empty text.
    """

    delegate: Any = None
    library: Path | None = None
    implementation: str | None = None
    available: tuple[str, ...] = ()
    self_test: str = "not run"
    problem: str | None = None
    advice: str = ""


def delegate_path() -> str:
    """Return where the native delegate is, for any interpreter of LiteRT.

    Returns:
        Path of the shared library.

    Raises:
        DelegateError: There is none; the text says how to get it.

    Example:
        >>> from kerasbnn.runtime import DelegateError, delegate_path
        >>> try:
        ...     found = delegate_path().endswith((".so", ".dylib", ".dll"))
        ... except DelegateError:
        ...     found = True  # installed without a compiler
        >>> found
        True
    """
    found = _find()
    if found is None:
        raise DelegateError(_not_installed())
    return str(found)


def load() -> Loaded:
    """Load and test the delegate at the first call; return what became of it.

    Returns:
        The same object at every call.
    """
    global _loaded
    with _lock:
        if _loaded is None:
            _loaded = _load()
        return _loaded


def load_if_usable():
    """Return the delegate for LiteRT, if it is there and has passed its test.

    Returns:
        LiteRT's object of the delegate, or None.

    Raises:
        DelegateError: The environment variable `KERASBNN_FORCE_IMPLEMENTATION` asks for
            an implementation that cannot be had.
    """
    loaded = load()
    if loaded.delegate is None and os.environ.get(FORCE):
        raise DelegateError(
            f"{FORCE}={os.environ[FORCE]} cannot be followed: {loaded.problem} Unset "
            "it to run what is available."
        )
    return loaded.delegate


def implementation() -> str | None:
    """Return the name of the implementation in use, or None without the delegate."""
    return load().implementation


def warn_of_missing_delegate():
    """Warn, once in a process, that files run without the delegate."""
    global _has_warned
    with _lock:
        if _has_warned:
            return
        _has_warned = True
    warnings.warn(
        "Binary layers run as built-in operations of LiteRT, with the same results but "
        f"several times slower: {load().problem} "
        "`print(kerasbnn.runtime.status())` tells more; pass `delegate=False` to run "
        "like this without a warning.",
        stacklevel=3,
    )


def _not_installed():
    return (
        f"kerasbnn's native delegate, {LIBRARY}{_SUFFIXES[0]}, is not installed. "
        f"{REINSTALL}"
    )


def _folders():
    """Yield where the library may be: not beside the source, if that is editable."""
    for folder in sys.modules["kerasbnn.runtime"].__path__:
        # A folder of its own: Python takes a library beside modules for one of them.
        yield Path(folder) / "lib"


def _find():
    for folder in _folders():
        for suffix in _SUFFIXES:
            path = folder / f"{LIBRARY}{suffix}"
            if path.is_file():
                return path.resolve()
    return None


def _load():
    path = _find()
    if path is None:
        problem = _not_installed()
        return Loaded(problem=problem, advice=REINSTALL)
    try:
        from ai_edge_litert.interpreter import load_delegate

        from kerasbnn.runtime.self_test import failure_of
    except ModuleNotFoundError as error:
        return Loaded(
            library=path,
            problem=f"LiteRT, which runs files, is not installed ({error.name!r}).",
            advice='Run: pip install "kerasbnn[runtime]".',
        )
    forced = os.environ.get(FORCE)
    try:
        library = ctypes.CDLL(str(path))
        available = tuple(_text(library, "kerasbnn_implementations").split(","))
        name = _text(library, "kerasbnn_implementation")
        if not name:
            return Loaded(
                library=path,
                available=available,
                problem=f"there is no implementation {forced!r} that this processor "
                f"can run; there is {', '.join(available)}.",
                advice=f"Unset {FORCE}.",
            )
        delegate = load_delegate(str(path))
    except (OSError, ValueError, AttributeError) as error:
        text = " ".join(str(error).split()).rstrip(".")
        return Loaded(
            library=path,
            problem=f"the native delegate does not load: {text}.",
            advice=f"Unset {FORCE}." if forced else REINSTALL,
        )
    failure = failure_of(delegate)
    if failure is not None:
        advice = "Please report this with your processor's name."
        return Loaded(
            library=path,
            available=available,
            self_test="failed",
            problem=f"the implementation {name!r} of the native delegate failed its "
            f"test: {failure} {advice}",
            advice=advice,
        )
    return Loaded(delegate, path, name, available, "passed")


def _text(library, function):
    call = getattr(library, function)
    call.restype, call.argtypes = ctypes.c_char_p, []
    return (call() or b"").decode()

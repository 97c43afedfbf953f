"""Tells what computes the binary layers, why, and what would help."""

import dataclasses
import os
import platform
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from kerasbnn.runtime import delegate
from kerasbnn.runtime.delegate import FORCE

# From the fastest on, with what a processor must have.
_NEEDS = {"avx512-vpopcntdq": "AVX-512 VPOPCNTDQ"}


@dataclass(frozen=True)
class Status:
    """What computes the binary layers of files in this process.

    Attributes:
        implementation: Name of the native delegate's implementation in use, or None
            where LiteRT's own operations compute the layers.
        reason: Why it is this one.
        available: Names of the implementations that this processor can run.
        forced: What the environment variable `KERASBNN_FORCE_IMPLEMENTATION` asks for,
            or None.
        library: Path of the native delegate, or None.
        self_test: `"passed"`, `"failed"` or `"not run"`.
        litert: Version of ai-edge-litert.
        processor: Kind of the processor.
        advice: What would help, or an empty text.
    """

    implementation: str | None
    reason: str
    available: tuple[str, ...]
    forced: str | None
    library: str | None
    self_test: str
    litert: str
    processor: str
    advice: str

    def to_dict(self) -> dict[str, Any]:
        """Return the same as a dict of plain values."""
        values = dataclasses.asdict(self)
        return {**values, "available": list(self.available)}

    def __str__(self):
        name = self.implementation or "none: LiteRT's own operations"
        lines = {
            "implementation": name,
            "reason": self.reason,
            "available": ", ".join(self.available) or "none",
            "forced": self.forced or "no",
            "library": self.library or "not found",
            "self-test": self.self_test,
            "ai-edge-litert": self.litert,
            "processor": self.processor,
        }
        if self.advice:
            lines["advice"] = self.advice
        width = max(map(len, lines))
        return "\n".join(f"{key:<{width}}  {value}" for key, value in lines.items())


def status() -> Status:
    """Return what computes the binary layers; loads and tests the delegate.

    Returns:
        A `Status`; print it, or take its `to_dict()`.

    Example:
        >>> from kerasbnn.runtime import status
        >>> status().self_test in ("passed", "failed", "not run")
        True
    """
    loaded = delegate.load()
    forced = os.environ.get(FORCE) or None
    reason, advice = loaded.problem or "", loaded.advice
    if loaded.library is None:
        reason = "the native delegate is not installed"
    elif loaded.problem is not None:
        pass
    elif forced:
        reason = f"{FORCE} asks for it"
    else:
        reason = "the fastest that this processor can run"
        missing = [
            need for name, need in _NEEDS.items() if name not in loaded.available
        ]
        if missing:
            advice = (
                f"This processor lacks {missing[0]}, or the compiler did when kerasbnn "
                "was installed; with both, binary layers run several times faster."
            )
    return Status(
        implementation=loaded.implementation,
        reason=reason,
        available=loaded.available,
        forced=forced,
        library=None if loaded.library is None else str(loaded.library),
        self_test=loaded.self_test,
        litert=_version_of_litert(),
        processor=platform.machine(),
        advice=advice,
    )


def _version_of_litert():
    try:
        return version("ai-edge-litert")
    except PackageNotFoundError:
        return "not installed"

"""Says in the log when a layer begins to drift, and when it no longer does."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

logger = logging.getLogger("kerasbnn.serve.geometry")

# A layer has at most one line in so many seconds.
QUIET_SECONDS = 60.0


@dataclass
class _State:
    """What is known of a layer, and what of that the log has."""

    warns: bool = False
    changes: int = 0
    logged_at: float = float("-inf")


class DriftLog:
    """A line of the log where the warnings of a layer begin, and where they end.

    Of a layer that comes and goes there is one line a minute, which says how often.

    Args:
        model: Name of the model.
        clock: Seconds that have elapsed, of any beginning.

    Example:
        >>> from kerasbnn.serve.geometry.drift_log import DriftLog
        >>> DriftLog("digits").note({"samples": 64, "layers": [], "inputs": []})
    """

    def __init__(self, model: str, clock: Callable[[], float] = time.monotonic):
        self._model, self._clock = model, clock
        self._states: dict[tuple[str, str], _State] = {}

    def note(self, drift: Mapping[str, Any]):
        """Log what has begun or ended since the last time.

        Args:
            drift: What `Drift.to_dict` returns.
        """
        now = self._clock()
        for sort, part in _parts(drift):
            state = self._states.setdefault((sort, part["name"]), _State())
            warns = bool(part["warnings"])
            if warns != state.warns:
                state.warns = warns
                state.changes += 1
            if state.changes and now - state.logged_at >= QUIET_SECONDS:
                self._write(sort, part, state.changes, drift["samples"])
                state.changes, state.logged_at = 0, now

    def _write(self, sort: str, part: Mapping[str, Any], changes: int, samples: int):
        often = f"; {changes} changes since the last line" if changes > 1 else ""
        words = (self._model, sort, part["name"], samples, often)
        if part["warnings"]:
            logger.warning(
                "Model '%s': %s '%s' drifts by the last %d live samples%s (%s). %s",
                *words,
                ", ".join(part["kinds"]),
                " ".join(_sentence(text) for text in part["warnings"]),
            )
        else:
            logger.info(
                "Model '%s': %s '%s' no longer drifts by the last %d live samples%s.",
                *words,
            )


def _parts(drift: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the layers, and the inputs without what the layers tell already."""
    told = {text for layer in drift["layers"] for text in layer["warnings"]}
    yield from (("layer", layer) for layer in drift["layers"])
    for part in drift["inputs"]:
        is_told = told.issuperset(part["warnings"])
        yield "input", {**part, "warnings": [] if is_told else part["warnings"]}


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."

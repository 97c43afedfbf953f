"""Measures the geometry of live requests, and says where it drifts."""

import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from kerasbnn.probing import Drift, Observation, Probe, Reference

from .drift_log import DriftLog
from .sampler import MOST_ROWS, Sampler
from .status import OFF, answer_of
from .window import Window

if TYPE_CHECKING:
    from ..models.repository import ModelFiles
    from ..settings import Settings

Arrays = Mapping[str, np.ndarray]

# Key of the reference in `geometry.json`.
REFERENCE = "reference"

# What is asked for more often than this gets the same answer.
FRESH_SECONDS = 1.0

# The log is written no more often than this, and comparing for it may take this share
# of what measuring may take.
LOG_SECONDS, LOG_SHARE = 5.0, 0.1


class GeometryMonitor:
    """The geometry of the live requests of a model, beside that of its reference.

    Args:
        probe: The probe of the model.
        reference: What its reference inputs looked like.
        budget: Share of one processor's time that measuring may take; 0 for none.
        queue: Rows that may wait to be measured.
        window: Latest rows that the live figures are of.
        name: Name of the model in the log; that of its probe by default.

    Raises:
        ValueError: The reference is of another probe.

    Example:
        >>> from kerasbnn.serve import Settings, create_app
        >>> model = create_app(Settings()).state.service.models.get("digits")
        >>> model.monitor.live()["status"]
        'collecting'
    """

    def __init__(
        self,
        probe: Probe,
        reference: Reference,
        *,
        budget: float,
        queue: int,
        window: int,
        name: str | None = None,
    ):
        reference.check(probe.description, probe.inputs)
        self._probe, self._reference = probe, reference
        self._window = Window(probe.description, reference, window)
        self._window_size = window
        self._lock = threading.Lock()
        name = name or probe.description.model
        self._sampler = Sampler(self._add, budget, queue, name, self._log_changes)
        self._log = DriftLog(name)
        self._log_next = 0.0
        self._started = time.monotonic()
        self._known: dict[str, Any] = {}
        self._known_at = -1, 0.0

    @classmethod
    def for_model(
        cls,
        files: "ModelFiles",
        geometry: Mapping[str, Any] | None,
        settings: "Settings",
    ) -> "GeometryMonitor | None":
        """Make the monitor of a model.

        Args:
            files: Its files.
            geometry: What `geometry.json` holds, or None.
            settings: Settings of the service.

        Returns:
            The monitor; None where the model has no probe or no reference.

        Raises:
            ModelError: The probe is damaged.
            ValueError: The reference is damaged, or of another probe.
        """
        values = (geometry or {}).get(REFERENCE)
        if files.probe is None or values is None:
            return None
        return cls(
            Probe(files.probe),
            Reference.from_dict(values),
            budget=settings.geometry_budget,
            queue=settings.geometry_queue,
            window=settings.geometry_window,
            name=files.name,
        )

    def start(self):
        """Begin to measure what is offered."""
        self._sampler.start()

    def offer(self, arrays: Arrays):
        """Take a few rows of a request; never wait, never raise.

        Args:
            arrays: An array `(rows, ...)` for each input.
        """
        self._sampler.offer(arrays)

    def measure(self, arrays: Arrays, seconds: float = float("inf")) -> dict[str, Any]:
        """Measure some rows by themselves, beside the reference.

        Args:
            arrays: An array `(rows, ...)` for each input.
            seconds: Time that it may take.

        Returns:
            What `Drift.to_dict` returns, with the verdict of `answer_of`.

        Raises:
            TimeoutError: It takes longer.
            ValueError: Values are not finite.
            ModelError: LiteRT cannot run the probe on such inputs.
        """
        deadline = time.monotonic() + seconds
        found = Observation(self._probe.description, self._reference)
        rows = min(map(len, arrays.values()))
        for start in range(0, rows, MOST_ROWS):
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{start} of {rows} rows were measured.")
            part = {n: array[start : start + MOST_ROWS] for n, array in arrays.items()}
            found.merge(self._observe(part))
        return answer_of(Drift.of(found))

    def live(self) -> dict[str, Any]:
        """Return the geometry of live requests, ready for JSON.

        Returns:
            What `measure` returns for the samples of the window, but a `status` of
            `"off"` without a budget; the figures of all samples as `since_start`, and
            what sampling has seen and used.
        """
        sampler = self._sampler
        is_on = sampler.budget.share > 0
        return {
            **self._drift(),
            **({} if is_on else {"status": OFF}),
            "sampling": is_on,
            "seen": sampler.seen,
            "measured": sampler.measured,
            "dropped": sampler.dropped,
            "waiting": sampler.waiting,
            "failed": sampler.failed,
            "error": sampler.error,
            "budget": sampler.budget.share,
            "cpu_seconds": round(sampler.budget.used, 6),
            "elapsed_seconds": round(time.monotonic() - self._started, 3),
            "window": self._window_size,
        }

    def warnings(self) -> dict[str, list[str]]:
        """Return the warnings of the live geometry, by layer."""
        layers = self._drift()["layers"]
        return {one["name"]: one["warnings"] for one in layers if one["warnings"]}

    def close(self):
        """End the thread, and free the memory."""
        self._sampler.close()
        self._probe.close()

    def _drift(self) -> dict[str, Any]:
        with self._lock:
            measured, at = self._known_at
            now = time.monotonic()
            is_old = measured != self._sampler.measured and now - at >= FRESH_SECONDS
            if measured >= 0 and not is_old:
                return self._known
            measured = self._sampler.measured
            observed = self._window.observed()
            self._known = {
                **answer_of(Drift.of(observed)),
                "since_start": self._window.since_start(),
            }
            self._known_at = measured, now
            return self._known

    def _log_changes(self):
        """Log which layers drift by now; the thread of the sampler often asks."""
        now = time.monotonic()
        if now < self._log_next or not self._sampler.measured:
            return
        started = time.thread_time()
        try:
            self._log.note(self._drift())
        finally:
            cost = (time.thread_time() - started) / LOG_SHARE
            wait = max(LOG_SECONDS, cost / self._sampler.budget.share)
            self._log_next = now + wait

    def _add(self, arrays: Arrays) -> int:
        observation = self._observe(_finite(arrays))
        with self._lock:
            self._window.add(observation)
        return observation.samples

    def _observe(self, arrays: Arrays) -> Observation:
        names = self._probe.inputs
        inputs: Any = {name: arrays[name] for name in names if name in arrays}
        if len(inputs) < len(names) == len(arrays) == 1:
            inputs = next(iter(arrays.values()))
        return Observation.measure(
            self._probe, self._reference, inputs, batch_size=MOST_ROWS
        )


def _finite(arrays: Arrays) -> Arrays:
    """Leave out rows with NaN or infinity, which say nothing of the others."""
    kept = np.ones(min(map(len, arrays.values())), np.bool_)
    for array in arrays.values():
        if array.dtype.kind == "f":
            kept &= np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
    if kept.all():
        return arrays
    return {name: array[kept] for name, array in arrays.items()}

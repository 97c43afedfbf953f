"""Counts what a model has answered, and the time that each step took."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Arrays = Mapping[str, np.ndarray]
Run = Callable[[Arrays], dict[str, np.ndarray]]


class ModelStatistics:
    """What a model has answered so far.

    Requests are counted in the event loop, batches where they are computed, which may
    be there and in a thread at the same time.

    Example:
        >>> from kerasbnn.serve.protocol.statistics import ModelStatistics
        >>> statistics = ModelStatistics()
        >>> statistics.record(rows=2, received=0, decoded=10, inferred=40, encoded=45)
        >>> statistics.to_dict()["inference_stats"]["compute_output"]
        {'count': 1, 'ns': 5}
    """

    def __init__(self):
        self._rows = self._last = 0
        self._success = _Duration()
        self._fail = _Duration()
        self._queue = _Duration()
        self._compute_input = _Duration()
        self._compute_infer = _Duration()
        self._compute_output = _Duration()
        self._batches: dict[int, _Duration] = {}
        self._lock = threading.Lock()
        self._last_batch = 0

    def timed(self, run: Run) -> Run:
        """Count the batches that a function computes.

        Args:
            run: The function.

        Returns:
            A function that does the same.
        """

        def timed_run(arrays):
            begin = time.perf_counter_ns()
            outputs = run(arrays)
            self._last_batch = nanoseconds = time.perf_counter_ns() - begin
            rows = max((len(a) for a in arrays.values() if a.ndim), default=1)
            with self._lock:
                batches = self._batches.get(rows)
                if batches is None:
                    batches = self._batches[rows] = _Duration()
                batches.add(nanoseconds)
            return outputs

        return timed_run

    def record(
        self, *, rows: int, received: int, decoded: int, inferred: int, encoded: int
    ):
        """Count a request that was answered.

        Args:
            rows: Its rows.
            received: When its body was there, in nanoseconds of `perf_counter_ns`.
            decoded: When it was decoded.
            inferred: When the model had answered.
            encoded: When the answer was encoded.
        """
        self._rows += rows
        self._last = time.time_ns()
        # What it took besides its batch, the last one that was computed, it waited.
        computed = min(self._last_batch, inferred - decoded)
        self._success.add(encoded - received)
        self._queue.add(inferred - decoded - computed)
        self._compute_input.add(decoded - received)
        self._compute_infer.add(computed)
        self._compute_output.add(encoded - inferred)

    def record_failure(self, nanoseconds: int):
        """Count a request that was refused or failed.

        Args:
            nanoseconds: What it took.
        """
        self._fail.add(nanoseconds)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures in the form of the extension `statistics`."""
        batches = sorted(dict(self._batches).items())
        none = {"count": 0, "ns": 0}
        return {
            # Milliseconds since 1970.
            "last_inference": self._last // 1_000_000,
            "inference_count": self._rows,
            "execution_count": sum(batch.count for _, batch in batches),
            "inference_stats": {
                "success": self._success.to_dict(),
                "fail": self._fail.to_dict(),
                "queue": self._queue.to_dict(),
                "compute_input": self._compute_input.to_dict(),
                "compute_infer": self._compute_infer.to_dict(),
                "compute_output": self._compute_output.to_dict(),
            },
            "batch_stats": [
                {
                    "batch_size": rows,
                    # Requests are decoded and encoded one by one.
                    "compute_input": none,
                    "compute_infer": batch.to_dict(),
                    "compute_output": none,
                }
                for rows, batch in batches
            ],
        }


class _Duration:
    """How often something was done, and what it took in all."""

    __slots__ = ("count", "nanoseconds")

    def __init__(self):
        self.count = self.nanoseconds = 0

    def add(self, nanoseconds):
        self.count += 1
        self.nanoseconds += nanoseconds

    def to_dict(self):
        return {"count": self.count, "ns": self.nanoseconds}

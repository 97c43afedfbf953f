"""Takes a few rows of live requests, and hands them to a thread with a CPU budget."""

import contextlib
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from time import monotonic

import numpy as np

from .budget import Budget

logger = logging.getLogger(__name__)

Arrays = Mapping[str, np.ndarray]

# Of one request at most so many rows, for those of a request are often alike.
ROWS_PER_REQUEST = 4
# Larger batches cost less a row, but hold the interpreter's lock for longer.
MOST_ROWS, BATCH_SECONDS = 64, 0.05
# More rows than these each second tell little more, but while numpy works on them the
# threads take the interpreter's lock from each other again and again.
MOST_ROWS_PER_SECOND = 32.0
# A row waits for others at most so long.
LONGEST_WAIT = 2.0
POLL_SECONDS = 0.1
NICENESS = 10
# How much the last batch counts in the mean cost of a row.
NEWEST = 0.3


class Sampler:
    """Rows of live requests, spread over time, for a thread that may use little time.

    `offer` only copies a few rows into a bounded queue. It takes rows at the rate at
    which the budget lets the thread measure them, but at most 32 a second, and drops
    all others, so that the sample is spread over time and not the beginning of each
    burst.

    Args:
        measure: Measures an array of rows for each input, in the thread; returns how
            many of the rows it could measure.
        share: Share of one processor's time that the thread may use.
        capacity: Rows that may wait.
        name: Name of the model, for the log.
        after: Called in the thread from time to time, also without rows; its time
            counts.

    Attributes:
        budget: What the thread has used.
        measured: Rows that were measured.
        failed: Rows that could not be measured.
        error: Why the last ones could not, or None.
    """

    def __init__(
        self,
        measure: Callable[[Arrays], int],
        share: float,
        capacity: int,
        name: str = "",
        after: Callable[[], None] | None = None,
    ):
        self.budget = Budget(share)
        self.measured = self.failed = 0
        self.error: str | None = None
        self._measuring = self._dropped = 0
        self._measure = measure
        self._capacity = capacity
        self._name = name
        self._after = after
        self._queue: deque[tuple[float, Arrays]] = deque()
        # What is appended needs no lock; it is added up now and then.
        self._uncounted: deque[int] = deque()
        self._seen = 0
        # Rows that may be taken now, and how many more each second.
        self._allowed, self._rate = float(capacity), 1.0
        self._updated = monotonic()
        # Before this no row may be taken.
        self._next = 0.0
        self._seconds_per_row: float | None = None
        # The thread never holds it, so `offer` waits for no slow thread.
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def seen(self) -> int:
        """Rows that were offered."""
        with self._lock:
            self._count()
            return self._seen

    @property
    def waiting(self) -> int:
        """Rows that wait to be measured."""
        return len(self._queue)

    @property
    def dropped(self) -> int:
        """Rows that were offered and never will be measured; it never falls."""
        others = self.measured + self.failed + self.waiting + self._measuring
        self._dropped = max(self._dropped, self.seen - others)
        return self._dropped

    def offer(self, arrays: Arrays):
        """Take a few rows of a request, or none; never wait, never raise.

        Args:
            arrays: An array `(rows, ...)` for each input; rows are copied.
        """
        try:
            for array in arrays.values():
                self._uncounted.append(len(array))
                # Nearly every request ends here.
                if monotonic() >= self._next:
                    with self._lock:
                        self._consider(arrays, len(array), monotonic())
                return
        except Exception as error:
            self._note(error, 0)

    def _consider(self, arrays: Arrays, rows: int, now: float):
        self._count()
        self._next = now + POLL_SECONDS
        if self._thread is None or self._stop.is_set():
            return
        earned = self._rate * (now - self._updated)
        self._allowed = min(self._allowed + earned, float(self._capacity))
        self._updated = now
        room = self._capacity - len(self._queue)
        count = min(rows, ROWS_PER_REQUEST, int(self._allowed), room)
        if count > 0:
            self._allowed -= count
            self._take(arrays, rows, count, now)
        # Between requests that are considered others pass at once.
        if room > count:
            seconds = max(1 - self._allowed, 0.0) / self._rate
            self._next = now + min(seconds, POLL_SECONDS)

    def _count(self):
        while self._uncounted:
            self._seen += self._uncounted.popleft()

    def _take(self, arrays: Arrays, rows: int, count: int, now: float):
        step = rows // count
        first = self._seen % step
        for row in range(first, first + step * count, step):
            one = {name: array[row : row + 1].copy() for name, array in arrays.items()}
            self._queue.append((now, one))

    def start(self):
        """Start the thread, where there is anything that it may use."""
        if self.budget.share > 0 and self._thread is None:
            self._thread = threading.Thread(
                target=self._run, name=f"geometry of {self._name}", daemon=True
            )
            self._thread.start()

    def close(self):
        """End the thread; a batch that it measures is measured to its end."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._queue.clear()

    def _run(self):
        _lower_priority()
        charged = time.thread_time()
        while not self._stop.wait(max(POLL_SECONDS, self.budget.seconds_to_wait())):
            is_due = True
            while is_due:
                is_due = self._is_due()
                if is_due:
                    self._measure_batch()
                used = time.thread_time()
                self.budget.spend(used - charged)
                charged = used
            self._call_after()

    def _call_after(self):
        if self._after is None or self._stop.is_set():
            return
        try:
            self._after()
        except Exception as error:
            self._note(error, 0)

    def _is_due(self) -> bool:
        if not self._queue or self._stop.is_set() or self.budget.seconds_to_wait():
            return False
        oldest = monotonic() - self._queue[0][0]
        return len(self._queue) >= self._batch_rows() or oldest >= LONGEST_WAIT

    def _batch_rows(self) -> int:
        """Return a power of two, as LiteRT allocates anew for each other size."""
        if self._seconds_per_row is None:
            return 1
        rows = BATCH_SECONDS / max(self._seconds_per_row, 1e-9)
        return 2 ** int(np.log2(np.clip(rows, 1, min(MOST_ROWS, self._capacity))))

    def _measure_batch(self):
        started = time.thread_time()
        count = min(self._batch_rows(), len(self._queue))
        rows = [self._queue.popleft()[1] for _ in range(count)]
        self._measuring = count
        self._measure_rows(rows)
        self._measuring = 0
        cost = (time.thread_time() - started) / count
        if self._seconds_per_row is None:
            self._seconds_per_row = cost
        self._seconds_per_row += NEWEST * (cost - self._seconds_per_row)
        affordable = self.budget.share / max(self._seconds_per_row, 1e-9)
        self._rate = min(affordable, MOST_ROWS_PER_SECOND)

    def _measure_rows(self, rows: list[Arrays]):
        try:
            measured = self._measure(
                {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
            )
        except Exception as error:
            if len(rows) == 1:
                self._note(error, 1)
                return
            # One that cannot be measured must not hide the others.
            for row in rows:
                self._measure_rows([row])
            return
        self.measured += measured
        self.failed += len(rows) - measured

    def _note(self, error: Exception, rows: int):
        self.failed += rows
        message = f"{type(error).__name__}: {error}"
        if message != self.error:
            logger.warning(
                "Rows of live requests of model '%s' could not be measured; requests "
                "are answered as usual. %s",
                self._name,
                message,
            )
        self.error = message


def _lower_priority():
    """Let other threads go first, where the system can tell threads apart."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)

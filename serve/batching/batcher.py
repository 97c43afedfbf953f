"""Computes requests, those that wait at the same time together."""

import asyncio
import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ..errors import ServiceError
from .plan import BatchingPlan
from .rows import joined, parts_of, rows_of, split

Arrays = Mapping[str, np.ndarray]

# Share of its timeout that a request may be thought to wait: that is no exact figure,
# and who is accepted shall be answered.
LONGEST_WAIT = 0.5

# Weight of the last batch in what a row is thought to take.
_LATEST = 0.1


class Batcher:
    """Computes the requests for a model, in the order in which they came.

    No clock makes a request wait for others: while a batch is computed, requests queue,
    and those that wait when it is done become the next one. What takes little is
    computed in the event loop: at once while requests come one by one, else with the
    others that came in the same turn of the loop. The rest is computed in one thread.

    The methods belong to the event loop.

    Args:
        run: Computes the outputs of all rows of its inputs at once.
        plan: What to compute together, and where.
        max_queue: Rows that may wait.

    Attributes:
        plan: As given.
        queued_rows: Rows that wait.
        batches: Batches that were computed.
        rows: Rows that were computed.
    """

    def __init__(
        self,
        run: Callable[[Arrays], dict[str, np.ndarray]],
        plan: BatchingPlan,
        max_queue: int,
    ):
        self.plan = plan
        self.queued_rows = self.batches = self.rows = 0
        self._run = run
        self._max_queue = max_queue
        self._seconds_per_row = 0.0
        if plan.seconds:
            self._seconds_per_row = plan.seconds_of(plan.max_batch) / plan.max_batch
        self._is_closed = self._is_busy = False
        # Requests that came in the last turn of the event loop, and so far in this one.
        self._in_last_turn = self._in_this_turn = 0
        # Shared with the thread, as are `queued_rows` and `_is_busy`.
        self._lock = threading.Lock()
        self._queue: OrderedDict[_Request, None] = OrderedDict()
        self._unanswered: set[asyncio.Future] = set()
        self._thread: ThreadPoolExecutor | None = None

    async def submit(
        self, arrays: Arrays, timeout: float | None = None
    ) -> dict[str, np.ndarray]:
        """Compute the outputs of a request, as if there were no other.

        Args:
            arrays: An array for each input, of as many rows each.
            timeout: Seconds that the answer may take, or None.

        Returns:
            An array for each output.

        Raises:
            ServiceError: Too many rows wait, or the service is about to end; 503.
            TimeoutError: The time is over.
            Exception: What the model raises for these inputs.
        """
        if self._is_closed:
            raise ServiceError(
                503,
                "The service is about to end. Ask another one, or try again later.",
                {"Retry-After": "1"},
            )
        rows = rows_of(arrays)
        if self._is_alone() and self.plan.is_inline(rows):
            begin = time.perf_counter()
            outputs = self._compute(arrays, rows)
            self._count(1, rows, time.perf_counter() - begin)
            return outputs
        self.check_queue(rows, timeout)
        request = _Request(arrays, rows, asyncio.get_running_loop())
        self._unanswered.add(request.future)
        self._enqueue(request)
        try:
            async with asyncio.timeout(timeout):
                return await request.future
        finally:
            self._unanswered.discard(request.future)
            self._withdraw(request)

    def check_queue(self, rows: int, timeout: float | None = None):
        """Refuse rows that would wait too long.

        Args:
            rows: How many more there are.
            timeout: Seconds that their answer may take, or None.

        Raises:
            ServiceError: Too many rows wait; 503.
        """
        waiting = self.queued_rows
        if not waiting:
            return
        seconds = waiting * self._seconds_per_row
        is_late = timeout is not None and seconds > LONGEST_WAIT * timeout
        if waiting + rows <= self._max_queue and not is_late:
            return
        retry = max(1, math.ceil(seconds))
        raise ServiceError(
            503,
            f"Too many requests: {waiting} rows wait already, and this one has {rows}. "
            f"Try again in {retry} s, or send less.",
            {"Retry-After": str(retry)},
        )

    async def drain(self):
        """Refuse what comes from now on, and answer all that has been accepted."""
        self._is_closed = True
        while self._unanswered:
            await asyncio.wait(self._unanswered)
        if self._thread is not None:
            await asyncio.to_thread(self._thread.shutdown)

    def _is_alone(self):
        """Tell whether a request that comes now would find no other to join."""
        if self.plan.max_batch == 1:
            return True
        if self._is_busy or self._in_last_turn > 1:
            return False
        if not self._in_this_turn:
            asyncio.get_running_loop().call_soon(self._end_turn)
        self._in_this_turn += 1
        return True

    def _end_turn(self):
        self._in_last_turn, self._in_this_turn = self._in_this_turn, 0

    def _enqueue(self, request):
        with self._lock:
            self._queue[request] = None
            self.queued_rows += request.rows
            if self._is_busy:
                return
            self._is_busy = True
        # Others that have come in the same turn of the event loop join.
        request.loop.call_soon(self._begin)

    def _withdraw(self, request):
        """Forget a request whose client does not wait any longer."""
        with self._lock:
            if request in self._queue:
                del self._queue[request]
                self.queued_rows -= request.rows

    def _take(self):
        """Take the next batch off the queue; rest where nothing waits."""
        with self._lock:
            batch, rows = [], 0
            most = self.plan.batch_of(self.queued_rows)
            while self._queue:
                request = next(iter(self._queue))
                if batch and rows + request.rows > most:
                    break
                del self._queue[request]
                batch.append(request)
                rows += request.rows
            self.queued_rows -= rows
            self._is_busy = bool(batch)
            return batch, rows

    def _begin(self):
        """Compute a batch here if it is small, else it and what follows in a thread."""
        batch, rows = self._take()
        if not batch:
            return
        self._in_last_turn = len(batch)
        if self.plan.is_inline(rows):
            self._deliver(*self._answers(batch, rows))
            batch[0].loop.call_soon(self._begin)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="batcher")
        self._thread.submit(self._work, batch, rows)

    def _work(self, batch, rows):
        while batch:
            answers = self._answers(batch, rows)
            try:
                batch[0].loop.call_soon_threadsafe(self._deliver, *answers)
            except RuntimeError:
                pass  # The event loop was closed; nobody waits.
            batch, rows = self._take()

    def _answers(self, batch, rows):
        begin = time.perf_counter()
        count = 1
        try:
            outputs = self._compute(joined([r.arrays for r in batch]), rows)
            answers = split(outputs, [r.rows for r in batch])
        except Exception as error:
            answers = [error]
            if len(batch) > 1:
                # One that cannot be computed must not fail its neighbours.
                answers = [self._answer_alone(request) for request in batch]
                count = len(batch)
        return batch, answers, count, rows, time.perf_counter() - begin

    def _answer_alone(self, request):
        if request.future.cancelled():
            return None
        try:
            return self._compute(request.arrays, request.rows)
        except Exception as error:
            return error

    def _deliver(self, batch, answers, count, rows, seconds):
        self._count(count, rows, seconds)
        for request, answer in zip(batch, answers, strict=True):
            if request.future.done():
                continue
            if isinstance(answer, Exception):
                request.future.set_exception(answer)
            else:
                request.future.set_result(answer)

    def _count(self, batches, rows, seconds):
        self.batches += batches
        self.rows += rows
        if rows:
            latest = seconds / rows
            self._seconds_per_row += _LATEST * (latest - self._seconds_per_row)

    def _compute(self, arrays, rows):
        at_once = self.plan.rows_at_once
        if at_once is None or rows <= at_once:
            return self._run(arrays)
        return joined([self._run(part) for part in parts_of(arrays, rows, at_once)])


class _Request:
    """A request that waits."""

    __slots__ = ("arrays", "future", "loop", "rows")

    def __init__(self, arrays, rows, loop):
        self.arrays = arrays
        self.rows = rows
        self.loop = loop
        self.future = loop.create_future()

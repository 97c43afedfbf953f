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
from .batch import AbandonedError, Batch, Request
from .plan import BatchingPlan
from .rows import joined, parts_of, rows_of, split

Arrays = Mapping[str, np.ndarray]

# Share of its timeout that a request may be thought to wait: that is no exact figure,
# and who is accepted shall be answered.
LONGEST_WAIT = 0.5

# A request is too large where it is thought to take so many times its timeout.
TOO_LARGE = 2.0

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
        self._seconds_per_row = self._least_seconds_per_row = 0.0
        if plan.seconds:
            rows = max(plan.max_batch, min(plan.seconds))
            self._seconds_per_row = plan.seconds_of(rows) / rows
        if plan.seconds and plan.rows_at_once is not None:
            # Otherwise, many rows at once may take less than was measured.
            self._least_seconds_per_row = min(s / n for n, s in plan.seconds.items())
        self._is_closed = self._is_busy = False
        # Requests that came in the last turn of the event loop, and so far in this one.
        self._in_last_turn = self._in_this_turn = 0
        # Shared with the thread, as are `queued_rows` and `_is_busy`.
        self._lock = threading.Lock()
        self._queue: OrderedDict[Request, None] = OrderedDict()
        self._current = Batch([], 0)
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
            ServiceError: Too many rows come first, or the service is about to end,
                503; or there are more rows than the time is enough for, 413.
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
        request = Request(arrays, rows, asyncio.get_running_loop())
        self._unanswered.add(request.future)
        self._enqueue(request)
        try:
            async with asyncio.timeout(timeout):
                return await request.future
        finally:
            self._unanswered.discard(request.future)
            self._withdraw(request)

    def check_queue(self, rows: int, timeout: float | None = None):
        """Refuse rows that would wait too long, or take too long by themselves.

        Args:
            rows: How many more there are.
            timeout: Seconds that their answer may take, or None.

        Raises:
            ServiceError: Too many rows come first, 503; or these are too many, 413.
        """
        if timeout is not None and rows > 1:
            self._check_size(rows, timeout)
        if not self._is_busy:
            return
        waiting, current = self.queued_rows, self._current
        is_full = waiting > 0 and waiting + rows > self._max_queue
        longest = math.inf if timeout is None else LONGEST_WAIT * timeout
        seconds = waiting * self._seconds_per_row + self._seconds_left(current)
        if not is_full and seconds <= longest:
            return
        retry = max(1, math.ceil(seconds))
        first = f"{waiting} rows wait already"
        if not waiting:
            first = f"{current.rows} rows are being computed"
        raise ServiceError(
            503,
            f"Too many requests: {first}, and this one has {rows}. "
            f"Try again in {retry} s, or send less.",
            {"Retry-After": str(retry)},
        )

    def _check_size(self, rows, timeout):
        each = min(self._least_seconds_per_row, self._seconds_per_row)
        if rows * each > TOO_LARGE * timeout:
            raise ServiceError(
                413,
                f"The {rows} rows of this request would take about {rows * each:.2g} "
                f"s, and an answer may take {timeout:g} s. Send fewer rows at a time.",
            )

    def _seconds_left(self, batch):
        """Estimate when a batch is done that is being computed."""
        rows = batch.rows
        if batch.is_abandoned:
            rows = min(rows, self.plan.rows_at_once or rows)
        passed = time.perf_counter() - batch.begin
        return max(0.0, rows * self._seconds_per_row - passed)

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
            requests, rows = [], 0
            most = self.plan.batch_of(self.queued_rows)
            while self._queue:
                request = next(iter(self._queue))
                if requests and rows + request.rows > most:
                    break
                del self._queue[request]
                requests.append(request)
                rows += request.rows
            self.queued_rows -= rows
            self._is_busy = bool(requests)
            self._current = Batch(requests, rows)
            return self._current

    def _begin(self):
        """Compute a batch here if it is small, else it and what follows in a thread."""
        batch = self._take()
        if not batch.requests:
            return
        self._in_last_turn = len(batch.requests)
        if self.plan.is_inline(batch.rows):
            self._deliver(*self._answers(batch))
            batch.loop.call_soon(self._begin)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="batcher")
        self._thread.submit(self._work, batch)

    def _work(self, batch):
        while batch.requests:
            answers = self._answers(batch)
            try:
                batch.loop.call_soon_threadsafe(self._deliver, *answers)
            except RuntimeError:
                pass  # The event loop was closed; nobody waits.
            batch = self._take()

    def _answers(self, batch):
        requests, rows, count = batch.requests, batch.rows, 1
        begin = time.perf_counter()
        try:
            arrays = joined([request.arrays for request in requests])
            outputs = self._compute(arrays, rows, batch)
            answers = split(outputs, [request.rows for request in requests])
        except AbandonedError as abandoned:
            rows = abandoned.rows
            answers = [None] * len(requests)
        except Exception as error:
            answers = [error]
            if len(requests) > 1:
                # One that cannot be computed must not fail its neighbours.
                answers = [self._answer_alone(request) for request in requests]
                count = len(requests)
        return requests, answers, count, rows, time.perf_counter() - begin

    def _answer_alone(self, request):
        if request.future.cancelled():
            return None
        try:
            return self._compute(request.arrays, request.rows)
        except Exception as error:
            return error

    def _deliver(self, requests, answers, count, rows, seconds):
        self._count(count, rows, seconds)
        for request, answer in zip(requests, answers, strict=True):
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

    def _compute(self, arrays, rows, batch=None):
        at_once = self.plan.rows_at_once
        if at_once is None or rows <= at_once:
            return self._run(arrays)
        parts = []
        for part in parts_of(arrays, rows, at_once):
            if batch is not None and batch.is_abandoned:
                raise AbandonedError(len(parts) * at_once)
            parts.append(self._run(part))
        return joined(parts)

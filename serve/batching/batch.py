"""Requests that wait, and those that are computed together."""

import asyncio
import time
from collections.abc import Mapping, Sequence

import numpy as np


class Request:
    """A request that waits.

    Args:
        arrays: An array for each input.
        rows: Their rows.
        loop: Where it is answered.

    Attributes:
        future: Its answer.
    """

    __slots__ = ("arrays", "future", "loop", "rows")

    def __init__(
        self,
        arrays: Mapping[str, np.ndarray],
        rows: int,
        loop: asyncio.AbstractEventLoop,
    ):
        self.arrays = arrays
        self.rows = rows
        self.loop = loop
        self.future: asyncio.Future[dict[str, np.ndarray]] = loop.create_future()


class Batch:
    """Requests that are computed together, from now on.

    Args:
        requests: The requests.
        rows: All their rows.

    Attributes:
        begin: When that began, as `time.perf_counter` has it.
    """

    __slots__ = ("begin", "requests", "rows")

    def __init__(self, requests: Sequence[Request], rows: int):
        self.requests = requests
        self.rows = rows
        self.begin = time.perf_counter()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Where they are answered."""
        return self.requests[0].loop

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for an answer any longer."""
        return all(request.future.done() for request in self.requests)


class AbandonedError(Exception):
    """Nobody waits for the rest of a batch.

    Args:
        rows: How many of its rows were computed.
    """

    def __init__(self, rows: int):
        super().__init__(rows)
        self.rows = rows

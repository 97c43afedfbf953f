"""Lets one request at a time measure inputs, and few wait for that."""

import asyncio
from contextlib import asynccontextmanager

from ..errors import ServiceError

MOST_WAITING = 8
"""Requests of a model that may wait; each does with its inputs in memory."""


class Turns:
    """The turns of the requests that measure inputs of one model.

    Measuring takes far longer than predicting, so one request does so at a time.

    Args:
        name: Name of the model, for errors.
    """

    def __init__(self, name: str):
        self._name = name
        self._turn = asyncio.Lock()
        self._waiting = 0

    def check(self):
        """Refuse a request that would not be let wait.

        Raises:
            ServiceError: As many wait as may; 503.
        """
        if self._waiting >= MOST_WAITING:
            raise self._refusal(f"{self._waiting} more wait")

    @asynccontextmanager
    async def taken(self, seconds: float):
        """Wait for a turn, and end it.

        Args:
            seconds: How long to wait at most.

        Raises:
            ServiceError: Too many wait, or it took longer; 503.
        """
        self.check()
        self._waiting += 1
        try:
            async with asyncio.timeout(seconds):
                await self._turn.acquire()
        except TimeoutError:
            raise self._refusal(f"did so for {seconds:g} s") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._turn.release()

    def _refusal(self, why):
        return ServiceError(
            503,
            f"Other requests measure inputs of model '{self._name}', and {why}. Try "
            "again later.",
            {"Retry-After": "1"},
        )

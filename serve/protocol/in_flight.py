"""Bounds what the bodies of all requests hold in memory together."""

import asyncio
import threading

from ..errors import ServiceError
from ..settings import MEBIBYTE, Settings

MOST_IN_FLIGHT = 256 * MEBIBYTE
"""Bytes of all bodies together; twice the largest body where that is more."""

# Smaller bodies are not counted: as many as there may be connections are few bytes.
UNCOUNTED = 64 * 1024


class InFlight:
    """Counts the bytes that are held for requests, until they are answered.

    Attributes:
        held: How many there are.

    Example:
        >>> import asyncio
        >>> from kerasbnn.serve import Settings
        >>> from kerasbnn.serve.protocol.in_flight import InFlight
        >>> counted = InFlight()
        >>> async def request():
        ...     counted.share(Settings()).hold(1_000_000)
        ...     return counted.held
        >>> asyncio.run(request()), counted.held
        (1000000, 0)
    """

    def __init__(self):
        self.held = 0
        self._lock = threading.Lock()

    def share(self, limits: Settings) -> "Share":
        """Give the task that asks, which answers one request, a share.

        Args:
            limits: How large a body may be.

        Returns:
            The share; it is given back when the task ends, however it does.
        """
        largest = max(limits.max_body, limits.max_decompressed_body)
        return Share(self, max(MOST_IN_FLIGHT, 2 * largest))

    def add(self, count: int, most: int):
        """Count more bytes, or fewer.

        Args:
            count: How many more.
            most: How many there may be then.

        Raises:
            ServiceError: There would be more; 503.
        """
        with self._lock:
            if count > 0 and self.held + count > most:
                raise ServiceError(
                    503,
                    f"The bodies of the requests that are being answered take {most} "
                    "bytes, the most that they may together. Try again in a second.",
                    {"Retry-After": "1"},
                )
            self.held += count


class Share:
    """What one request holds.

    Args:
        counted: What counts it.
        most: Bytes that all requests may hold together.
    """

    def __init__(self, counted: InFlight, most: int):
        self._counted = counted
        self._most = most
        self._size = 0

    def hold(self, size: int):
        """Say how many bytes are held now.

        Args:
            size: How many.

        Raises:
            ServiceError: All requests together would hold too many; 503.
        """
        if size <= UNCOUNTED and not self._size:
            return
        self._counted.add(size - self._size, self._most)
        if not self._size:
            task = asyncio.current_task()
            task.add_done_callback(  # pyright: ignore[reportOptionalMemberAccess]
                self._give_back
            )
        self._size = size

    def _give_back(self, task):
        self._counted.add(-self._size, self._most)
        self._size = 0


BODIES = InFlight()
"""Counts the bodies of this process."""

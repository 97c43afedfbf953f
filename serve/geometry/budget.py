"""How much of a processor may be used: a token bucket of seconds."""

import time
from collections.abc import Callable

# Seconds of elapsed time whose share may be saved up and used at once.
SAVED_SECONDS = 2.0


class Budget:
    """A share of one processor's time.

    It may be in debt after a long piece of work, which is then waited out, so over a
    time `t` at most `share * (t + 2)` seconds are used, and one piece of work.

    Args:
        share: From 0 to 1.
        clock: Seconds that have elapsed, of any beginning.

    Attributes:
        share: As given.
        used: Seconds used so far.

    Example:
        >>> from kerasbnn.serve.geometry.budget import Budget
        >>> now = 0.0
        >>> budget = Budget(0.5, clock=lambda: now)
        >>> budget.spend(2.0)
        >>> budget.seconds_to_wait()
        2.0
    """

    def __init__(self, share: float, clock: Callable[[], float] = time.monotonic):
        self.share = share
        self.used = 0.0
        self._clock = clock
        self._saved = share * SAVED_SECONDS
        self._updated = clock()

    def spend(self, seconds: float):
        """Note that so many seconds of a processor were used."""
        self._update()
        self.used += seconds
        self._saved -= seconds

    def seconds_to_wait(self) -> float:
        """Return for how long nothing may be used."""
        self._update()
        if self._saved >= 0:
            return 0.0
        return -self._saved / self.share if self.share else float("inf")

    def _update(self):
        now = self._clock()
        earned = self.share * (now - self._updated)
        self._saved = min(self._saved + earned, self.share * SAVED_SECONDS)
        self._updated = now

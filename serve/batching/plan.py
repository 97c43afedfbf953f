"""Which rows are computed at once, and where."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

INLINE_SECONDS = 3e-4
"""What the event loop computes itself: another thread would cost about as much."""

# A batch wins where it takes at most this share of the time of smaller ones.
_FASTER = 0.9


@dataclass(frozen=True)
class BatchingPlan:
    """How the requests for a model become batches.

    Attributes:
        max_batch: Most rows of several requests that are computed at once; 1 computes
            each request by itself.
        reason: Why, as a sentence.
        seconds: What a batch of so many rows took when the model was loaded, with the
            change of LiteRT to its size; empty where that could not be measured.
        rows_at_once: Most rows of one request that are computed at once; None for all.
    """

    max_batch: int
    reason: str
    seconds: Mapping[int, float] = field(default_factory=dict)
    rows_at_once: int | None = None

    @property
    def threaded(self) -> bool:
        """Whether even the smallest batch is computed beside the event loop."""
        return not self.seconds or self._least() > INLINE_SECONDS

    def seconds_of(self, rows: int) -> float:
        """Estimate what a batch takes.

        Args:
            rows: Its rows.

        Returns:
            Seconds, between those of the measured sizes; infinity where nothing was
            measured.
        """
        if not self.seconds:
            return float("inf")
        return interpolated(self.seconds, rows)

    def is_inline(self, rows: int) -> bool:
        """Tell whether the event loop computes a batch itself.

        Args:
            rows: Its rows.

        Returns:
            Whether it takes so little that a thread would cost as much.
        """
        return self.seconds_of(rows) <= INLINE_SECONDS

    def batch_of(self, waiting: int) -> int:
        """Choose the next batch.

        Args:
            waiting: Rows that wait.

        Returns:
            How many of them to compute next, so that all are computed soonest.
        """
        return self._batches[min(waiting, self.max_batch)]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as values of JSON."""
        return {
            "max_batch_size": self.max_batch,
            "rows_at_once": self.rows_at_once,
            "threaded": self.threaded,
            "milliseconds": {
                str(rows): round(1000 * seconds, 4)
                for rows, seconds in self.seconds.items()
            },
            "reason": self.reason,
        }

    @cached_property
    def _batches(self) -> list[int]:
        if self.max_batch == 1:
            return [1, 1]
        return quickest_batches(self.seconds, self.max_batch)

    def _least(self):
        return self.seconds[min(self.seconds)]


def quickest_batches(seconds: Mapping[int, float], limit: int) -> list[int]:
    """Find the batches that compute rows soonest.

    More rows at once may take longer per row, so each size has to win: a batch of
    several counts only where it takes clearly less than smaller ones for the same rows.

    Args:
        seconds: What a batch of so many rows takes; holds 1.
        limit: Most rows of a batch.

    Returns:
        List whose entry `rows` is the size of the first of these batches.

    Example:
        >>> from kerasbnn.serve.batching.plan import quickest_batches
        >>> quickest_batches({1: 0.5, 2: 3.0, 4: 3.0, 8: 3.0}, 8)
        [1, 1, 1, 1, 1, 1, 1, 7, 8]
    """
    cost = [0.0, seconds[1]]
    for rows in range(2, limit + 1):
        cost.append(interpolated(seconds, rows) / _FASTER)
    sizes = [size for size in sorted(seconds) if size <= limit]
    best, first = cost[:2], [1, 1]
    for rows in range(2, limit + 1):
        total, size = min(
            (cost[size] + best[rows - size], -size)
            for size in {rows, *sizes}
            if size <= rows
        )
        best.append(total)
        first.append(-size)
    return first


def interpolated(seconds: Mapping[int, float], rows: int) -> float:
    """Estimate what a batch takes from what others took.

    Args:
        seconds: What a batch of so many rows takes.
        rows: Rows of the batch.

    Returns:
        Seconds: between the neighbours, but not less than those of the smaller one; in
        proportion beyond the largest.
    """
    if rows in seconds:
        return seconds[rows]
    largest = max(seconds)
    if rows > largest:
        return seconds[largest] * rows / largest
    above = min(size for size in seconds if size > rows)
    below = max((size for size in seconds if size < rows), default=above)
    if below == above:
        return seconds[above]
    share = (rows - below) / (above - below)
    rise = max(0.0, seconds[above] - seconds[below])
    return seconds[below] + share * rise


def planned(seconds: Mapping[int, float], setting: str | int) -> BatchingPlan:
    """Make a plan for a model whose rows can be computed together.

    Args:
        seconds: What a batch of so many rows took; holds 1.
        setting: "auto", "off", or the most rows of a batch.

    Returns:
        The plan.
    """
    largest = max(seconds)
    if isinstance(setting, int):
        largest = min(largest, setting)
    max_batch = 1 if setting == "off" else max(quickest_batches(seconds, largest))
    fastest = min(seconds, key=lambda rows: (seconds[rows] / rows, rows))
    if max_batch > 1:
        reason = _why_together(seconds, max_batch)
    else:
        reason = _why_alone(seconds, fastest, setting)
    return BatchingPlan(max_batch, reason, seconds, max(fastest, max_batch))


def _why_together(seconds, max_batch):
    several = interpolated(seconds, max_batch)
    where = "in a thread"
    if several <= INLINE_SECONDS:
        where = "in the event loop"
    elif seconds[1] <= INLINE_SECONDS:
        where = f"in a thread where that takes more than {in_words(INLINE_SECONDS)}"
    return (
        f"One row takes {in_words(seconds[1])}, {max_batch} rows take "
        f"{in_words(several)}: requests that wait are computed together, up to "
        f"{max_batch} rows at a time, {where}."
    )


def _why_alone(seconds, fastest, setting):
    is_inline = seconds[1] <= INLINE_SECONDS
    why = ""
    if setting == "off":
        why = ", and batching is off"
    elif len(seconds) == 1 and setting != 1:
        why = ", too long to measure batches at the start"
    elif fastest > 1:
        each = in_words(seconds[fastest] / fastest)
        why = f", and {each} in a batch of {fastest}, which is not clearly less"
    else:
        why = ", and no less in a batch"
    where = "in the event loop" if is_inline else "in a thread"
    return (
        f"One row takes {in_words(seconds[1])}{why}: each request is computed by "
        f"itself, {where}."
    )


def in_words(seconds: float) -> str:
    """Return a time as milliseconds with three digits."""
    return f"{1000 * seconds:.3g} ms"

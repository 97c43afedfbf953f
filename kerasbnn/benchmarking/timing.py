"""Times functions against each other: in turns, in one process."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

ROUNDS = 15
SHORTEST = 100_000
"""What is timed at once, in nanoseconds: reading the clocks takes up to 1000."""


@dataclass(frozen=True)
class Timing:
    """What one call takes, in seconds; short ones are means over groups of calls.

    Attributes:
        calls: Number of calls that were timed.
        wall: Median of what a clock on the wall shows.
        low: Its 10th percentile.
        high: Its 90th percentile.
        cpu: Median of the processor's time that the calling thread uses.
    """

    calls: int
    wall: float
    low: float
    high: float
    cpu: float


def time_in_turns(
    functions: Mapping[str, Callable[[], object]],
    seconds: float,
    after_round: Callable[[], object] = lambda: None,
) -> dict[str, Timing]:
    """Time functions in turns, so that what else the machine does hits all alike.

    A turn begins with a call that is not timed, which brings the function's data back
    into the caches. Calls of less than 0.1 ms are timed in groups that take as long:
    reading the clocks would count by itself.

    Args:
        functions: Functions by name.
        seconds: What to spend on all together; calls that take longer are made once in
            each of 15 rounds nevertheless.
        after_round: Called after each round.

    Returns:
        The times of each function.

    Example:
        >>> from kerasbnn.benchmarking.timing import time_in_turns
        >>> timing = time_in_turns({"sum": lambda: sum(range(1000))}, 0.1)["sum"]
        >>> 0 < timing.low <= timing.wall <= timing.high
        True
    """
    walls = {name: [] for name in functions}
    cpus = {name: [] for name in functions}
    sizes = dict.fromkeys(functions, 1)
    calls = dict.fromkeys(functions, 0)
    share = int(1e9 * seconds / ROUNDS / max(1, len(functions)))
    for _ in range(ROUNDS):
        for name, function in functions.items():
            end = time.perf_counter_ns() + share
            function()
            while True:
                size = sizes[name]
                wall, cpu = _time_together(function, size)
                if wall < SHORTEST:
                    sizes[name] = 2 * size
                    continue
                walls[name].append(wall / size)
                cpus[name].append(cpu / size)
                calls[name] += size
                if time.perf_counter_ns() >= end:
                    break
        after_round()
    timings = {}
    for name in functions:
        low, wall, high = np.percentile(walls[name], (10, 50, 90)) / 1e9
        cpu = float(np.median(cpus[name])) / 1e9
        timings[name] = Timing(calls[name], float(wall), float(low), float(high), cpu)
    return timings


def _time_together(function, size):
    """Return the nanoseconds of some calls, on the wall and of this thread."""
    wall, cpu = time.perf_counter_ns(), time.thread_time_ns()
    for _ in range(size):
        function()
    cpu = time.thread_time_ns() - cpu
    return time.perf_counter_ns() - wall, cpu

"""Times functions against each other: in turns, in one process."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

ROUNDS = 15


@dataclass(frozen=True)
class Timing:
    """What one call takes, in seconds.

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
    into the caches.

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
    share = int(1e9 * seconds / ROUNDS / max(1, len(functions)))
    for _ in range(ROUNDS):
        for name, function in functions.items():
            end = time.perf_counter_ns() + share
            function()
            while True:
                cpu, wall = time.thread_time_ns(), time.perf_counter_ns()
                function()
                now = time.perf_counter_ns()
                cpus[name].append(time.thread_time_ns() - cpu)
                walls[name].append(now - wall)
                if now >= end:
                    break
        after_round()
    timings = {}
    for name in functions:
        low, wall, high = np.percentile(walls[name], (10, 50, 90)) / 1e9
        cpu = float(np.median(cpus[name])) / 1e9
        timings[name] = Timing(
            len(walls[name]), float(wall), float(low), float(high), cpu
        )
    return timings

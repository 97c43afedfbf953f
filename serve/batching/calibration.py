"""Measures what batches of a model take, before it answers."""

import time
from collections.abc import Callable, Mapping

import numpy as np

from ..models.tensor_spec import TensorSpec
from .plan import BatchingPlan, in_words, interpolated, planned
from .rows import joined, rows_of, split

Arrays = Mapping[str, np.ndarray]
Run = Callable[[Arrays], dict[str, np.ndarray]]

LARGEST_BATCH = 64
BUDGET_SECONDS = 0.5

# More tell nothing new.
_ROUNDS = 10
# Shares of the budget that one row, and the first round, may take.
_ONE_SHARE = 0.15
_FIRST_SHARE = 0.4
# Rows of which one may change the answer to another.
_COMPARED = 2
# Rounding, relative to the largest output: sums may be ordered otherwise in a batch.
_ROUNDING = 1e-5


def calibrate(
    run: Run,
    inputs: Mapping[str, TensorSpec],
    setting: str | int = "auto",
    num_threads: int = 1,
    budget_seconds: float = BUDGET_SECONDS,
) -> BatchingPlan:
    """Plan the batches of a model from what they take.

    The sizes take turns, so that what else the machine does hits all alike, and the
    least time of each counts: of the processor, where one thread computes. A batch of
    several includes what it takes LiteRT to change to its size, which requests pay as
    well; a single row does not.

    Rows are computed together only where that was seen to change no answer.

    Args:
        run: Computes the outputs of all rows of its inputs at once.
        inputs: What the model takes.
        setting: "auto" for up to 64 rows; the most rows of a batch; or "off".
        num_threads: Threads that compute a batch.
        budget_seconds: What this may take by the same clock, unless a single row takes
            longer.

    Returns:
        The plan.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.serve.batching import calibrate
        >>> from kerasbnn.serve.models.tensor_spec import TensorSpec
        >>> spec = TensorSpec("x", "FP32", np.dtype("float32"), (-1, 8))
        >>> plan = calibrate(lambda arrays: {"y": 2 * arrays["x"]}, {"x": spec})
        >>> sorted(plan.seconds), plan.threaded
        ([1, 2, 4, 8, 16, 32, 64], False)
    """
    free = [s.name for s in inputs.values() if any(size < 0 for size in s.shape[1:])]
    if free:
        return _by_itself(
            f"Input '{free[0]}' has more open sizes than that of the batch, so that "
            "batches could not be measured"
        )
    clock = time.thread_time if num_threads == 1 else time.perf_counter
    begin = clock()
    samples = _Samples(inputs)
    one = samples.batch(1)
    try:
        seconds = _first_seconds(_timer(run, clock), one)
    except Exception as error:
        return _by_itself(f"A row of random numbers could not be computed ({error})")
    closed = [s.name for s in inputs.values() if s.shape[:1] != (-1,)]
    if closed or not inputs:
        why = f"Input '{closed[0]}' has no open batch axis" if closed else "No inputs"
        return _by_itself(why, {rows_of(one): seconds})
    if seconds > _ONE_SHARE * budget_seconds:
        return _by_itself("Batches take too long to be measured", {1: seconds})
    problem, rows_at_once = _dependence(run, samples)
    if problem:
        return _by_itself(problem, {1: seconds}, rows_at_once)
    sizes = _sizes(setting if isinstance(setting, int) else LARGEST_BATCH)
    budget = budget_seconds - (clock() - begin)
    return planned(_measured(run, samples, sizes, seconds, clock, budget), setting)


class _Samples:
    """Random inputs."""

    def __init__(self, inputs):
        self._inputs = inputs
        self._rng = np.random.default_rng(0)

    def batch(self, rows):
        return {name: self._array(spec, rows) for name, spec in self._inputs.items()}

    def _array(self, spec, rows):
        shape = tuple(rows if size < 0 else size for size in spec.shape)
        if spec.dtype.kind in "fc":
            return self._rng.standard_normal(shape, np.float32).astype(spec.dtype)
        # Integers may count something, of which there may be few.
        return self._rng.integers(0, 2, shape).astype(spec.dtype)


def _by_itself(why, seconds=None, rows_at_once=None):
    plan = BatchingPlan(1, "", seconds or {}, rows_at_once)
    where = "in a thread" if plan.threaded else "in the event loop"
    if seconds:
        rows, taken = next(iter(seconds.items()))
        count = "One row takes" if rows == 1 else f"{rows} rows take"
        why += f". {count} {in_words(taken)}"
    reason = f"{why}: each request is computed by itself, {where}."
    return BatchingPlan(1, reason, seconds or {}, rows_at_once)


def _timer(run, clock):
    def timed(arrays):
        begin = clock()
        run(arrays)
        return clock() - begin

    return timed


def _first_seconds(timed, arrays):
    """Return the least time of some calls; of one call where that is slow."""
    taken = [timed(arrays)]
    while sum(taken) < 0.02 and len(taken) < _ROUNDS:
        taken.append(timed(arrays))
    return min(taken)


def _dependence(run, samples):
    """Say why rows cannot share a batch, and how many of a request can nevertheless."""
    rows = [samples.batch(1) for _ in range(_COMPARED)]
    alone = [run(row) for row in rows]
    for name, output in alone[0].items():
        if output.shape[:1] != (1,):
            return f"Output '{name}' has no batch axis", None
    try:
        together = run(joined(rows))
    except Exception as error:
        return f"Batches of {_COMPARED} rows cannot be computed ({error})", 1
    try:
        parts = split(together, [1] * _COMPARED)
    except ValueError:
        return "The outputs have no batch axis", None
    for expected, found in zip(alone, parts, strict=True):
        for name, values in expected.items():
            if not _are_alike(values, found[name]):
                return "The rows of a batch change each other's answers", None
    return "", None


def _are_alike(a, b):
    if a.dtype.kind not in "fc":
        return np.array_equal(a, b)
    finite = np.abs(a[np.isfinite(a)])
    most = float(finite.max()) if finite.size else 0.0
    return np.allclose(a, b, rtol=0, atol=_ROUNDING * most, equal_nan=True)


def _sizes(limit):
    sizes = [1 << i for i in range(limit.bit_length())]
    return sizes if sizes[-1] == limit else [*sizes, limit]


def _measured(run, samples, sizes, one_takes, clock, budget):
    """Return the least seconds of each size, as far as the budget reaches."""
    begin, timed = clock(), _timer(run, clock)
    batches, seconds = {}, {1: one_takes}

    def fits(expected, share=1.0):
        return clock() - begin + expected <= share * budget

    for rows in sizes[1:]:
        # In proportion to the last size: more than most sizes will take.
        if not fits(interpolated(seconds, rows), _FIRST_SHARE):
            break
        batches[rows] = samples.batch(rows)
        seconds[rows] = timed(batches[rows])
    one = samples.batch(1)
    timed(one)
    for _ in range(_ROUNDS):
        for rows, arrays in batches.items():
            if not fits(seconds[rows] + 2 * seconds[1]):
                return seconds
            seconds[rows] = min(seconds[rows], timed(arrays))
            timed(one)  # So that the next one changes no size.
            seconds[1] = min(seconds[1], timed(one))
    return seconds

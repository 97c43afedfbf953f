"""Which batches a plan chooses from measured times."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.serve.batching.plan import (
    INLINE_SECONDS,
    BatchingPlan,
    interpolated,
    planned,
    quickest_batches,
)

# Measured with a dense network of OpenBLAS: two rows take longer than two times one.
STEPPED = {1: 506e-6, 2: 2845e-6, 8: 3381e-6, 64: 10265e-6}
# Measured with float32 weights of 4096 x 4096: eight rows take longer than 4 and 4.
DENSE = {1: 2.4e-3, 2: 3.1e-3, 4: 2.7e-3, 8: 5.6e-3, 16: 9.1e-3, 32: 20e-3, 64: 26e-3}
# And with BinaryNet: what a row takes is the same in any batch.
BINARYNET = {1: 0.66e-3, 2: 2.1e-3, 4: 3.3e-3, 8: 5.9e-3, 16: 10.6e-3, 64: 40.2e-3}

TIMES = st.lists(st.floats(1e-6, 1e-1), min_size=1, max_size=6).map(
    lambda times: {2**i: seconds for i, seconds in enumerate(times)}
)


def seconds_in(plan, rows):
    """Return what rows that wait together take, batch after batch."""
    total = 0.0
    while rows:
        size = plan.batch_of(rows)
        total += interpolated(plan.seconds, size)
        rows -= size
    return total


def partitions(rows, most):
    """Yield all ways to write a number as a sum, without their order."""
    if not rows:
        yield []
    for size in range(1, min(rows, most) + 1):
        for rest in partitions(rows - size, size):
            yield [size, *rest]


@given(TIMES)
def test_the_batches_are_the_quickest_of_all(seconds):
    limit = min(max(seconds), 10)

    def cost(size):
        return interpolated(seconds, size) / (1 if size == 1 else 0.9)

    first = quickest_batches(seconds, limit)
    for rows in range(1, limit + 1):
        best = min(
            sum(map(cost, sizes))
            for sizes in partitions(rows, limit)
            # At most one batch is of a size that was not measured.
            if sum(size not in seconds for size in sizes) <= 1
        )
        total, left = 0.0, rows
        while left:
            total += cost(first[left])
            left -= first[left]
        assert total == pytest.approx(best)


@given(TIMES, st.integers(1, 200))
def test_a_plan_is_never_slower_than_rows_alone(seconds, waiting):
    plan = planned(seconds, "auto")
    assert 1 <= plan.batch_of(waiting) <= min(waiting, plan.max_batch)
    assert seconds_in(plan, waiting) <= waiting * seconds[1] * (1 + 1e-9)


def test_a_size_that_is_slower_is_left_out():
    plan = planned(STEPPED, "auto")
    assert [plan.batch_of(rows) for rows in (1, 2, 5, 8, 64, 1000)] == [
        *(1, 1, 1, 8, 64, 64)
    ]
    plan = planned(DENSE, "auto")
    assert plan.max_batch == 64
    assert [plan.batch_of(rows) for rows in (4, 8)] == [4, 4]
    assert 64 * DENSE[1] / seconds_in(plan, 64) > 5


def test_what_is_not_clearly_faster_is_no_reason_to_wait():
    plan = planned(BINARYNET, "auto")
    assert plan.max_batch == 1
    assert plan.rows_at_once == 64
    assert plan.reason == (
        "One row takes 0.66 ms, and 0.628 ms in a batch of 64, which is not clearly "
        "less: each request is computed by itself, in a thread."
    )
    assert planned({1: 1e-3, 2: 1.81e-3}, "auto").max_batch == 1
    assert planned({1: 1e-3, 2: 1.79e-3}, "auto").max_batch == 2


def test_settings():
    assert planned(DENSE, "off").max_batch == 1
    assert planned(DENSE, "off").rows_at_once == 64
    assert "batching is off" in planned(DENSE, "off").reason
    assert planned(DENSE, 16).max_batch == 16
    assert planned(DENSE, 11).max_batch == 11
    assert planned(DENSE, 1).max_batch == 1
    assert "too long to measure" in planned({1: 0.4}, "auto").reason
    assert "no less in a batch" in planned({1: 1e-3, 2: 3e-3}, "auto").reason


def test_where_batches_are_computed():
    plan = planned({1: 0.08e-3, 16: 0.25e-3, 64: 0.9e-3}, "auto")
    assert not plan.threaded
    assert plan.is_inline(16)
    assert not plan.is_inline(64)
    assert plan.reason == (
        "One row takes 0.08 ms, 64 rows take 0.9 ms: requests that wait are computed "
        "together, up to 64 rows at a time, in a thread where that takes more than "
        "0.3 ms."
    )
    assert planned({1: INLINE_SECONDS * 1.01}, "auto").threaded
    unmeasured = BatchingPlan(1, "Unknown.")
    assert unmeasured.threaded
    assert not unmeasured.is_inline(1)
    # Many rows of one request take long, however quick each is.
    assert not planned({1: 1e-5}, "off").is_inline(1000)
    assert planned({1: 1e-5, 64: 2e-4}, "auto").reason.endswith("in the event loop.")


def test_interpolation():
    seconds = {1: 1.0, 4: 2.5, 8: 2.5}
    expected = np.interp(range(1, 9), list(seconds), list(seconds.values()))
    found = [interpolated(seconds, rows) for rows in range(1, 9)]
    np.testing.assert_allclose(found, expected)
    assert interpolated(seconds, 16) == 5.0
    # Which of the sizes between are as quick as the larger one is not known.
    assert interpolated({4: 3.0, 8: 1.0}, 7) == 3.0
    assert interpolated({8: 2.0}, 3) == 2.0


def test_a_plan_is_json():
    values = json.loads(json.dumps(planned(DENSE, "auto").to_dict()))
    assert values["max_batch_size"] == 64
    assert values["threaded"] is True
    assert values["milliseconds"]["8"] == 5.6
    values = json.loads(json.dumps(BatchingPlan(1, "No.").to_dict()))
    assert values == {
        "max_batch_size": 1,
        "rows_at_once": None,
        "threaded": True,
        "milliseconds": {},
        "reason": "No.",
    }

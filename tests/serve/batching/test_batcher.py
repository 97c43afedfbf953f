"""How requests become batches, and what each of them gets."""

import asyncio
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kerasbnn.serve.batching import Batcher, BatchingPlan
from kerasbnn.serve.errors import ServiceError

INLINE = {2**i: 1e-6 * (i + 1) for i in range(7)}
THREADED = {2**i: 1e-3 * (i + 1) for i in range(7)}


class Model:
    """Computes two outputs of two inputs, and keeps the rows of each call.

    Attributes:
        rows: Rows of each call.
        threads: The thread of each.
        go_on: What calls wait for.
        begun: Released by each call.
    """

    def __init__(self):
        self.rows, self.threads = [], []
        self.go_on, self.begun = threading.Event(), threading.Semaphore(0)
        self.go_on.set()

    def __call__(self, arrays):
        self.rows.append(len(arrays["a"]))
        self.threads.append(threading.get_ident())
        self.begun.release()
        assert self.go_on.wait(30)
        if (arrays["a"] == 13).any():
            raise ValueError("13")
        return expected(arrays)

    async def wait_for_call(self):
        assert await asyncio.to_thread(self.begun.acquire, timeout=30)


def expected(arrays):
    a, b = arrays["a"], arrays["b"]
    return {"sum": a.sum(1) + b, "outer": a[:, :, None] * b[:, None, None]}


def request(rows=1, value=1.0):
    return {"a": np.full((rows, 3), value), "b": np.arange(rows) + value}


def plan(seconds=THREADED, max_batch=64, rows_at_once=64):
    return BatchingPlan(max_batch, "", seconds, rows_at_once)


def assert_answers(found, arrays):
    assert set(found) == {"sum", "outer"}
    for name, values in expected(arrays).items():
        np.testing.assert_array_equal(found[name], values)


def run(main):
    asyncio.run(asyncio.wait_for(main(), 60))


@given(
    requests=st.lists(st.tuples(st.integers(0, 40), st.integers(0, 3)), max_size=30),
    seconds=st.sampled_from([INLINE, THREADED, {}]),
    max_batch=st.sampled_from([1, 2, 16, 64]),
    rows_at_once=st.sampled_from([None, 64]),
)
@settings(max_examples=60, deadline=None)
def test_each_request_gets_its_own_answer(requests, seconds, max_batch, rows_at_once):
    model = Model()
    if not seconds:
        max_batch = 1
    batcher = Batcher(model, plan(seconds, max_batch, rows_at_once), 10_000)

    async def ask(number, rows, pause):
        for _ in range(pause):
            await asyncio.sleep(0)
        # No two numbers of all requests are the same, and none is 13.
        arrays = request(rows, 100.0 * (number + 1))
        assert_answers(await batcher.submit(arrays, 30), arrays)
        return rows

    async def main():
        asked = [ask(i, *how) for i, how in enumerate(requests)]
        rows = await asyncio.gather(*asked)
        assert sum(model.rows) == sum(rows) == batcher.rows
        assert len(model.rows) == batcher.batches
        # Several requests share a batch up to the maximum; a larger one is alone.
        assert all(n <= max_batch or n in rows for n in model.rows)
        assert batcher.queued_rows == 0
        await batcher.drain()

    run(main)


def test_what_waits_becomes_the_next_batch():
    model = Model()

    async def main():
        batcher = Batcher(model, plan(max_batch=8), 1000)
        model.go_on.clear()
        first = asyncio.create_task(batcher.submit(request()))
        await model.wait_for_call()
        others = [asyncio.create_task(batcher.submit(request(n))) for n in (3, 4, 2, 6)]
        await asyncio.sleep(0.05)
        assert batcher.queued_rows == 15
        # The event loop is free while a thread computes.
        assert model.rows == [1]
        model.go_on.set()
        for task, rows in zip([first, *others], (1, 3, 4, 2, 6), strict=True):
            assert_answers(await task, request(rows))
        assert model.rows == [1, 7, 8]
        assert threading.get_ident() not in model.threads

    run(main)


def test_requests_of_one_turn_of_the_event_loop():
    model = Model()

    async def main():
        batcher = Batcher(model, plan(INLINE), 1000)
        for _ in range(3):
            assert_answers(await batcher.submit(request()), request())
            await asyncio.sleep(0)
        assert model.rows == [1, 1, 1]
        for _ in range(3):
            await asyncio.gather(*(batcher.submit(request()) for _ in range(9)))
        # The first nine come after one that was alone.
        assert model.rows == [1] * 12 + [9, 9]
        for _ in range(2):
            await batcher.submit(request())
        assert model.rows[-2:] == [1, 1]
        assert set(model.threads) == {threading.get_ident()}

    run(main)


def test_a_lone_request_is_computed_without_a_turn_of_the_event_loop():
    batcher = Batcher(Model(), plan(INLINE), 1000)

    async def main():
        with pytest.raises(StopIteration) as stop:
            batcher.submit(request(2)).send(None)
        assert_answers(stop.value.value, request(2))

    run(main)


def test_many_rows_do_not_hold_the_event_loop():
    model = Model()

    async def main():
        batcher = Batcher(model, plan(INLINE, 1, None), 1000)
        assert_answers(await batcher.submit(request(9000)), request(9000))
        assert threading.get_ident() not in model.threads

    run(main)


def test_a_large_request_is_computed_in_parts_by_itself():
    model = Model()

    async def main():
        batcher = Batcher(model, plan(max_batch=8, rows_at_once=8), 1000)
        model.go_on.clear()
        tasks = [asyncio.create_task(batcher.submit(request(n))) for n in (1, 2, 20, 3)]
        await model.wait_for_call()
        model.go_on.set()
        for task, rows in zip(tasks, (1, 2, 20, 3), strict=True):
            assert_answers(await task, request(rows))
        assert model.rows == [3, 8, 8, 4, 3]

    run(main)


def test_a_full_queue_refuses():
    model = Model()

    async def main():
        batcher = Batcher(model, plan({1: 2.5, 64: 32.0}), 10)
        model.go_on.clear()
        tasks = [asyncio.create_task(batcher.submit(request()))]
        await model.wait_for_call()
        # Whatever comes first is taken: else nothing ever could.
        tasks.append(asyncio.create_task(batcher.submit(request(50))))
        await asyncio.sleep(0)
        with pytest.raises(
            ServiceError, match="50 rows wait already, and this"
        ) as error:
            await batcher.submit(request())
        assert error.value.status == 503
        # 50 rows of half a second each, and what is left of the first one.
        assert error.value.headers == {"Retry-After": "26"}
        assert batcher.queued_rows == 50
        model.go_on.set()
        await asyncio.gather(*tasks)
        assert_answers(await batcher.submit(request(10)), request(10))

    run(main)


def test_what_could_not_be_answered_in_time_is_refused_at_once():
    model = Model()

    async def main():
        batcher = Batcher(model, plan({1: 1.0}, 1), 1000)
        model.go_on.clear()
        tasks = []
        for _ in range(13):
            tasks.append(asyncio.create_task(batcher.submit(request(), 21)))
            await asyncio.sleep(0.01)
        model.go_on.set()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        # Each takes a second, and half of the timeout may be waited for.
        refused = [isinstance(answer, ServiceError) for answer in done]
        assert refused == [False] * 11 + [True] * 2
        assert done[-1].headers == {"Retry-After": "11"}

    run(main)


def test_what_is_being_computed_counts_as_well():
    model = Model()

    async def main():
        batcher = Batcher(model, plan({1: 0.1}, 1, 1), 1000)
        model.go_on.clear()
        running = asyncio.create_task(batcher.submit(request(20)))
        await model.wait_for_call()
        with pytest.raises(ServiceError, match="20 rows are being computed") as error:
            await batcher.submit(request(), 2.0)
        assert error.value.status == 503
        assert error.value.headers == {"Retry-After": "2"}
        patient = asyncio.create_task(batcher.submit(request(), 20))
        await asyncio.sleep(0)
        # Of what nobody waits for, no more than one part is computed.
        running.cancel()
        await asyncio.sleep(0)
        other = asyncio.create_task(batcher.submit(request(), 2.0))
        await asyncio.sleep(0)
        model.go_on.set()
        assert_answers(await patient, request())
        assert_answers(await other, request())

    run(main)


def test_rows_that_take_far_longer_than_the_timeout_are_refused():
    model = Model()

    async def main():
        batcher = Batcher(model, plan({1: 0.25, 4: 0.5}, 4, 4), 1000)
        # An eighth of a second each, and twice the timeout is not refused.
        with pytest.raises(ServiceError, match=r"33 rows.*about 4.1 s.*fewer") as error:
            await batcher.submit(request(33), 2)
        assert error.value.status == 413
        assert model.rows == []
        assert_answers(await batcher.submit(request(32), 2), request(32))
        assert_answers(await batcher.submit(request(33)), request(33))
        # By then it is known that they take less.
        for _ in range(3):
            assert_answers(await batcher.submit(request(4)), request(4))
        assert_answers(await batcher.submit(request(33), 2), request(33))

    run(main)


@pytest.mark.parametrize(("rows", "at_once"), [(1, 1), (900, None)])
def test_what_may_take_less_than_was_measured_is_tried(rows, at_once):
    """One row is as few as can be sent, and 900 at once may take as long."""

    async def main():
        batcher = Batcher(Model(), plan({1: 100.0}, 1, at_once), 1000)
        assert_answers(await batcher.submit(request(rows), 10), request(rows))

    run(main)


def test_who_is_late_takes_no_successor_along():
    taken = []

    def slow(arrays):
        taken.append(len(arrays["a"]))
        time.sleep(0.02 * len(arrays["a"]))
        return expected(arrays)

    async def main():
        batcher = Batcher(slow, plan({1: 0.02}, 1, 1), 1000)
        with pytest.raises(TimeoutError):
            await batcher.submit(request(40), 0.4)
        for _ in range(3):
            assert_answers(await batcher.submit(request(), 0.4), request())
        # All that were computed are counted, and no more.
        assert batcher.rows == sum(taken) < 30
        await batcher.drain()

    run(main)


def test_retry_after_follows_what_requests_take():
    model = Model()

    async def main():
        batcher = Batcher(model, plan({1: 100.0}, 1), 2)
        for _ in range(60):
            await batcher.submit(request())
        model.go_on.clear()
        model.begun = threading.Semaphore(0)
        tasks = [asyncio.create_task(batcher.submit(request()))]
        await model.wait_for_call()
        tasks.append(asyncio.create_task(batcher.submit(request(2))))
        await asyncio.sleep(0)
        with pytest.raises(ServiceError) as error:
            await batcher.submit(request())
        assert error.value.headers == {"Retry-After": "1"}
        model.go_on.set()
        await asyncio.gather(*tasks)

    run(main)


def test_who_does_not_wait_any_longer_is_not_computed():
    model = Model()

    async def main():
        batcher = Batcher(model, plan(), 1000)
        model.go_on.clear()
        running = asyncio.create_task(batcher.submit(request()))
        await model.wait_for_call()
        gone = asyncio.create_task(batcher.submit(request(7)))
        late = asyncio.create_task(batcher.submit(request(9), 0.01))
        stays = asyncio.create_task(batcher.submit(request(2)))
        await asyncio.sleep(0)
        gone.cancel()
        with pytest.raises(TimeoutError):
            await late
        with pytest.raises(asyncio.CancelledError):
            await gone
        assert batcher.queued_rows == 2
        # One that is computed already may be left as well.
        running.cancel()
        model.go_on.set()
        assert_answers(await stays, request(2))
        assert model.rows == [1, 2]
        assert running.cancelled()
        assert_answers(await batcher.submit(request(3)), request(3))

    run(main)


@pytest.mark.parametrize("seconds", [INLINE, THREADED])
def test_one_that_fails_leaves_its_neighbours_alone(seconds):
    model = Model()

    async def main():
        batcher = Batcher(model, plan(seconds), 1000)
        values = [1, 13, 2, 13, 3]
        for _ in range(2):
            found = await asyncio.gather(
                *(batcher.submit(request(2, value)) for value in values),
                return_exceptions=True,
            )
            for value, answer in zip(values, found, strict=True):
                if value == 13:
                    assert isinstance(answer, ValueError)
                    assert str(answer) == "13"
                else:
                    assert_answers(answer, request(2, value))
        assert 10 in model.rows

    run(main)


def test_outputs_of_another_number_of_rows_are_an_error_of_each():
    batcher = Batcher(lambda arrays: {"sum": arrays["a"][:1]}, plan(), 1000)

    async def main():
        found = await asyncio.gather(*(batcher.submit(request()) for _ in range(3)))
        # Each is right by itself.
        assert [answer["sum"].shape for answer in found] == [(1, 3)] * 3

    run(main)


@pytest.mark.parametrize("seconds", [INLINE, THREADED])
def test_draining_answers_what_was_accepted(seconds):
    model = Model()

    async def main():
        batcher = Batcher(model, plan(seconds, 4), 1000)
        batcher._in_last_turn = 2
        tasks = [asyncio.create_task(batcher.submit(request(3))) for _ in range(5)]
        await asyncio.sleep(0)
        drained = asyncio.create_task(batcher.drain())
        await asyncio.sleep(0)
        with pytest.raises(ServiceError, match="about to end") as error:
            await batcher.submit(request())
        assert (error.value.status, error.value.headers) == (503, {"Retry-After": "1"})
        await drained
        assert all(task.done() for task in tasks)
        for task in tasks:
            assert_answers(await task, request(3))
        await batcher.drain()

    run(main)


def test_draining_waits_for_the_thread():
    """The file may be closed when it returns."""
    model = Model()

    async def main():
        batcher = Batcher(model, plan(), 1000)
        model.go_on.clear()
        task = asyncio.create_task(batcher.submit(request()))
        await model.wait_for_call()
        task.cancel()
        drained = asyncio.create_task(batcher.drain())
        await asyncio.sleep(0.05)
        assert not drained.done()
        model.go_on.set()
        await drained
        assert task.cancelled()

    run(main)


def test_no_timer_delays_a_request(monkeypatch):
    """Nothing is ever scheduled for later, but for the time limit."""

    async def main():
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_later", None)
        monkeypatch.setattr(loop, "call_at", None)
        batcher = Batcher(Model(), plan(), 1000)
        found = [batcher.submit(request()) for _ in range(5)]
        for answer in await asyncio.gather(*found):
            assert_answers(answer, request())
        await asyncio.create_task(batcher.drain())

    asyncio.run(main())

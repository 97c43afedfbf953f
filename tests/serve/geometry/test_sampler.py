"""`Sampler`: what it takes, what it drops, what it costs, and that it never waits."""

import logging
import os
import sys
import threading
import time

import numpy as np
import pytest

from kerasbnn.serve.geometry import sampler as module
from kerasbnn.serve.geometry.budget import SAVED_SECONDS
from kerasbnn.serve.geometry.sampler import (
    LONGEST_WAIT,
    MOST_ROWS_PER_SECOND,
    ROWS_PER_REQUEST,
    Sampler,
)


def eventually(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def row(value, width=3):
    return {"x": np.full((1, width), value, np.float32)}


class Recorder:
    """Measures nothing, but keeps copies of what it is given.

    Args:
        seconds: Time of a processor that a row costs.
    """

    def __init__(self, seconds=0.0):
        self.seconds = seconds
        self.given = []

    def __call__(self, arrays):
        rows = len(next(iter(arrays.values())))
        if self.seconds:
            burn(self.seconds * rows)
        self.given.append({name: array.copy() for name, array in arrays.items()})
        return rows

    @property
    def x(self):
        return np.concatenate([arrays["x"] for arrays in self.given])


@pytest.fixture
def started():
    """Make samplers that are closed at the end."""
    samplers = []

    def start(measure, share=1.0, capacity=64):
        sampler = Sampler(measure, share, capacity, "net")
        samplers.append(sampler)
        sampler.start()
        return sampler

    yield start
    for sampler in samplers:
        sampler.close()


def burn(seconds):
    begin = time.thread_time()
    while time.thread_time() - begin < seconds:
        pass


def test_rows_arrive_whole_and_once(started):
    recorder = Recorder()
    sampler = started(recorder)
    for value in range(40):
        sampler.offer(row(value))
    eventually(lambda: sampler.measured == 40)
    assert sorted(recorder.x[:, 0]) == list(range(40))
    assert np.all(recorder.x == recorder.x[:, :1])
    assert (sampler.seen, sampler.dropped, sampler.waiting) == (40, 0, 0)


def test_rows_are_copied(started):
    recorder = Recorder()
    sampler = started(recorder)
    x = np.ones((1, 3), np.float32)
    sampler.offer({"x": x})
    x[:] = 7
    eventually(lambda: sampler.measured == 1)
    np.testing.assert_array_equal(recorder.x, np.ones((1, 3)))


def test_of_a_large_request_a_few_rows_from_all_of_it(started):
    recorder = Recorder()
    sampler = started(recorder)
    sampler.offer({"x": np.arange(1000.0)[:, np.newaxis].repeat(2, axis=1)})
    eventually(lambda: sampler.measured == ROWS_PER_REQUEST)
    assert np.all(np.diff(sorted(recorder.x[:, 0])) == 1000 // ROWS_PER_REQUEST)
    assert (sampler.seen, sampler.dropped) == (1000, 1000 - ROWS_PER_REQUEST)


def test_several_inputs_keep_their_rows_together(started):
    recorder = Recorder()
    sampler = started(recorder)
    a = np.arange(50.0)[:, np.newaxis]
    sampler.offer({"a": a, "b": a * [[1, 10]]})
    eventually(lambda: sampler.measured == ROWS_PER_REQUEST)
    for arrays in recorder.given:
        np.testing.assert_array_equal(arrays["a"] * [[1, 10]], arrays["b"])


def test_a_stuck_probe_does_not_hold_up_requests(started):
    release, stuck = threading.Event(), threading.Event()

    def measure(arrays):
        if arrays["x"].max() > 0:
            stuck.set()
            release.wait(30)
        return len(arrays["x"])

    sampler = started(measure, capacity=8)
    try:
        # So cheap a probe could measure all rows, until it is stuck.
        for _ in range(8):
            sampler.offer(row(0))
        eventually(lambda: sampler.measured == 8)
        sampler.offer(row(1))
        eventually(stuck.is_set)
        end, durations = time.monotonic() + 1, []
        while time.monotonic() < end:
            begin = time.perf_counter()
            sampler.offer(row(1))
            durations.append(time.perf_counter() - begin)
        assert sampler.waiting == 8
        assert sampler.dropped >= len(durations) - 16
        # Generous, as other processes take turns; a call that waits takes seconds.
        assert np.median(durations) < 0.001
        assert max(durations) < 1.0
    finally:
        release.set()


def test_a_failing_probe_is_told_once_and_measures_on(started, caplog):
    def measure(arrays):
        if arrays["x"][0, 0] < 10:
            raise RuntimeError("the probe is broken")
        return len(arrays["x"])

    sampler = started(measure)
    with caplog.at_level(logging.WARNING, "kerasbnn.serve"):
        for value in range(5):
            sampler.offer(row(value))
            eventually(lambda: sampler.waiting == 0)
        eventually(lambda: sampler.failed == 5)
        sampler.offer(row(10))
        eventually(lambda: sampler.measured == 1)
    assert "the probe is broken" in sampler.error
    told = [text for text in caplog.messages if "the probe is broken" in text]
    assert len(told) == 1
    assert "model 'net'" in told[0]
    assert sampler.dropped == 0


def test_a_row_that_cannot_be_measured_hides_no_other(started):
    recorder = Recorder()

    def measure(arrays):
        if arrays["x"].max() >= 1000:
            raise ValueError("too large")
        return recorder(arrays)

    sampler = started(measure)
    for value in range(30):
        large = 1000 if value % 5 == 0 else 0
        sampler.offer(row(value + large))
    eventually(lambda: sampler.failed == 6)
    eventually(lambda: sampler.measured == 24)
    found = sorted(set(recorder.x[:, 0]))
    assert found == [value for value in range(30) if value % 5]
    assert "too large" in sampler.error


@pytest.mark.parametrize(
    "arrays", [{}, {"x": np.float32(1)}, {"x": None}, None, {"x": np.zeros((0, 2))}]
)
def test_whatever_is_offered_raises_nothing(started, arrays):
    sampler = started(Recorder())
    sampler.offer(arrays)
    sampler.offer(row(1))
    eventually(lambda: sampler.measured == 1)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_no_more_than_the_budget_is_used(started, share):
    sampler = started(Recorder(0.002), share)
    # What was saved up is used first, as it were by earlier traffic.
    sampler.budget.spend(share * SAVED_SECONDS)
    used, begin = sampler.budget.used, time.monotonic()
    while time.monotonic() - begin < 4:
        sampler.offer(row(0))
        time.sleep(0.001)
    elapsed = time.monotonic() - begin
    spent = sampler.budget.used - used
    # A batch may go over it by its own cost, a twentieth of a second.
    assert spent <= share * elapsed + 0.2
    assert spent == pytest.approx(0.002 * sampler.measured, rel=0.5)
    assert sampler.measured > 0
    assert sampler.dropped > 0


def test_rows_that_cost_nothing_are_few_all_the_same(started, monkeypatch):
    monkeypatch.setattr(module, "_lower_priority", lambda: None)
    recorder = Recorder(0)
    sampler, begin = started(recorder, 0.5), time.monotonic()
    while (now := time.monotonic() - begin) < 4:
        sampler.offer(row(now))
        time.sleep(0.0005)
    eventually(lambda: sampler.waiting == 0)
    sampler.close()
    measured = np.count_nonzero(recorder.x[:, 0] > 1)
    assert 0.5 < measured / (3 * MOST_ROWS_PER_SECOND) < 1.1


def test_the_sample_is_spread_over_time(started, monkeypatch):
    # A busy machine would starve the thread, and a full queue then drops rows.
    monkeypatch.setattr(module, "_lower_priority", lambda: None)
    recorder = Recorder(0.0005)
    # Some 18 rows a second.
    sampler, waiting = started(recorder, 0.01), []
    begin = time.monotonic()
    while (now := time.monotonic() - begin) < 6:
        sampler.offer(row(now))
        waiting.append(sampler.waiting)
        time.sleep(0.0005)
    eventually(lambda: sampler.waiting == 0)
    sampler.close()
    # Each second has its share, not only the moments after a batch.
    counts, _ = np.histogram(recorder.x[:, 0], np.arange(2.0, 7.0))
    assert 40 < counts.sum() < 90
    assert counts.min() > 0.2 * counts.mean()
    # Rows are taken as fast as they are measured, so they are not old by then.
    assert np.median(waiting) < 50
    assert sampler.dropped > 0


def test_few_requests_are_measured_soon(started):
    sampler = started(Recorder())
    sampler.offer(row(0))
    eventually(lambda: sampler.measured == 1)
    # The cost of a row is known now, and batches wait to be full.
    begin = time.monotonic()
    sampler.offer(row(1))
    eventually(lambda: sampler.measured == 2)
    assert time.monotonic() - begin < LONGEST_WAIT + 3


def test_nothing_is_taken_without_a_budget():
    sampler = Sampler(Recorder(), 0.0, 8, "idle")
    sampler.start()
    for value in range(10):
        sampler.offer(row(value))
    assert (sampler.seen, sampler.dropped, sampler.waiting) == (10, 10, 0)
    assert not any("of idle" in thread.name for thread in threading.enumerate())
    sampler.close()


def test_closing_ends_the_thread(started):
    sampler = started(Recorder(), share=0.5)
    # Deep in debt, the thread would wait for minutes.
    sampler.budget.spend(100)
    time.sleep(0.3)
    begin = time.monotonic()
    sampler.close()
    assert time.monotonic() - begin < 5
    assert not any("of net" in thread.name for thread in threading.enumerate())
    sampler.offer(row(1))
    assert sampler.waiting == 0
    sampler.close()


def test_offers_of_many_threads_are_all_counted(started):
    sampler = started(Recorder())

    def offer():
        for value in range(500):
            sampler.offer(row(value))

    threads = [threading.Thread(target=offer) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sampler.seen == 4000
    eventually(lambda: sampler.waiting == 0)
    assert sampler.measured + sampler.dropped == 4000


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no priority")
def test_the_thread_gives_way(started):
    found = []

    def priority():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def measure(arrays):
        found.append(priority())
        return 1

    before = priority()
    sampler = started(measure)
    sampler.offer(row(0))
    eventually(lambda: found)
    assert found[0] >= 10
    assert priority() == before

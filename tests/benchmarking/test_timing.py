"""Who is called when; never how long something took."""

import time
from types import SimpleNamespace

import pytest

from kerasbnn.benchmarking import timing
from kerasbnn.benchmarking.timing import ROUNDS, time_in_turns


def test_contenders_are_called_in_turns():
    calls, rounds = [], []

    def slow(name):
        def call():
            calls.append(name)
            time.sleep(0.004)

        return call

    timings = time_in_turns(
        {"a": slow("a"), "b": slow("b")}, 1e-4, lambda: rounds.append(len(calls))
    )
    # One call to warm up and one that counts.
    assert "".join(calls) == "aabb" * ROUNDS
    assert rounds == [4 * (number + 1) for number in range(ROUNDS)]
    for found in timings.values():
        assert found.calls == ROUNDS
        assert found.wall >= 0.004
        # Who sleeps needs no processor.
        assert found.cpu < 0.5 * found.wall


def test_what_reading_the_clocks_takes_is_not_counted(monkeypatch):
    now = 0

    def spend(nanoseconds):
        nonlocal now
        now += nanoseconds
        return now

    # As on a machine where each reading takes long, the call 2 us.
    clocks = SimpleNamespace(
        perf_counter_ns=lambda: spend(50), thread_time_ns=lambda: spend(400)
    )
    monkeypatch.setattr(timing, "time", clocks)
    found = time_in_turns({"quick": lambda: spend(2000)}, 0.01)["quick"]
    assert found.wall == pytest.approx(2e-6, rel=0.01)
    assert found.cpu == pytest.approx(2e-6, rel=0.01)
    assert found.cpu <= found.wall
    assert found.low == found.wall == found.high


def test_quick_functions_are_called_more_often():
    count = time_in_turns({"quick": lambda: None}, 0.15)["quick"].calls
    assert count > 10 * ROUNDS

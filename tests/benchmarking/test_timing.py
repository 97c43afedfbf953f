"""Who is called when; never how long something took."""

import time

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
    for timing in timings.values():
        assert timing.calls == ROUNDS
        assert timing.wall >= 0.004
        # Who sleeps needs no processor.
        assert timing.cpu < 0.5 * timing.wall


def test_quick_functions_are_called_more_often():
    count = time_in_turns({"quick": lambda: None}, 0.15)["quick"].calls
    assert count > 10 * ROUNDS

"""`Budget` on a clock that is set by hand."""

import numpy as np
import pytest

from kerasbnn.serve.geometry.budget import SAVED_SECONDS, Budget


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.mark.parametrize("share", [0.005, 0.02, 0.5, 1.0])
def test_over_any_time_no_more_than_the_share_is_used(share):
    clock, rng = Clock(), np.random.default_rng(0)
    budget = Budget(share, clock)
    used, longest = 0.0, 0.0
    for _ in range(500):
        clock.now += rng.exponential(0.2)
        wait = budget.seconds_to_wait()
        if wait:
            clock.now += wait
            assert budget.seconds_to_wait() == pytest.approx(0, abs=1e-6)
        seconds = rng.exponential(0.3)
        budget.spend(seconds)
        used, longest = used + seconds, max(longest, seconds)
        elapsed = clock.now - 1000.0
        assert used <= share * (elapsed + SAVED_SECONDS) + longest + 1e-9
    assert budget.used == pytest.approx(used)


def test_what_is_saved_is_bounded():
    clock = Clock()
    budget = Budget(0.1, clock)
    clock.now += 1e6
    budget.spend(0.1 * SAVED_SECONDS + 0.5)
    assert budget.seconds_to_wait() == pytest.approx(5.0)


def test_nothing_may_be_used():
    clock = Clock()
    budget = Budget(0.0, clock)
    assert budget.seconds_to_wait() == 0
    budget.spend(1e-9)
    clock.now += 1e9
    assert budget.seconds_to_wait() == float("inf")

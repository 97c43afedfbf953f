"""One `Interpreter` in several threads."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from kerasbnn.runtime import Interpreter, pool, self_test
from tests.helpers.foreign_models import sum_model


def test_calls_at_the_same_time_do_not_mix():
    values = self_test.values()
    inputs = {name: values[name] for name in ("x", "residual_2")}

    def use(number):
        # Other batch sizes than the neighbours, which make LiteRT allocate anew.
        copies = number % 3 + 1
        samples = slice(number % 2, None)
        given = {
            name: np.concatenate([array[samples]] * copies)
            for name, array in inputs.items()
        }
        found = model.predict(given)["y_5"]
        expected = np.concatenate([values["y_5"][samples]] * copies)
        return np.array_equal(found, expected)

    with Interpreter(self_test.content(), delegate=False) as model:
        with ThreadPoolExecutor(4) as threads:
            assert all(threads.map(use, range(60)))
        assert 1 <= len(model._pool._idle) <= 4


@pytest.fixture
def held(monkeypatch):
    """Let a run wait until it is told to go on; tell when one has begun."""
    begun, go_on = threading.Semaphore(0), threading.Event()
    run = pool.Runner.run

    def waiting(self, *arguments):
        begun.release()
        assert go_on.wait(30)
        return run(self, *arguments)

    monkeypatch.setattr(pool.Runner, "run", waiting)
    return begun, go_on


def test_calls_run_at_the_same_time(held):
    begun, go_on = held
    model = Interpreter(sum_model())
    x = np.ones((2, 3))
    with ThreadPoolExecutor(3) as threads:
        calls = [threads.submit(model.predict, [x * i, x]) for i in range(3)]
        # None of them has ended when all have begun.
        assert all(begun.acquire(timeout=30) for _ in calls)
        go_on.set()
        for i, call in enumerate(calls):
            np.testing.assert_array_equal(call.result(), x * (i + 1))
    assert len(model._pool._idle) == 3


def test_closing_lets_a_running_call_end(held):
    begun, go_on = held
    model = Interpreter(sum_model())
    runner = weakref.ref(model._pool._idle[0])
    x = np.ones((2, 3))
    with ThreadPoolExecutor(1) as threads:
        call = threads.submit(model.predict, [x, x])
        assert begun.acquire(timeout=30)
        model.close()
        with pytest.raises(RuntimeError, match="closed"):
            model.predict([x, x])
        go_on.set()
        np.testing.assert_array_equal(call.result(), 2 * x)
    gc.collect()
    assert runner() is None


def test_a_call_that_fails_gives_its_interpreter_back(monkeypatch):
    model = Interpreter(sum_model())
    x = np.ones((2, 3))
    with monkeypatch.context() as patch:
        patch.setattr(pool.Runner, "run", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            model.predict([x, x])
    assert len(model._pool._idle) == 1
    np.testing.assert_array_equal(model.predict([x, x]), 2 * x)

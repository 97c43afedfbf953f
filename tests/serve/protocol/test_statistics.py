"""The figures of a model, counted by hand."""

import time

import numpy as np
import pytest

from kerasbnn.serve.protocol.statistics import ModelStatistics


def slow(arrays):
    time.sleep(0.02)
    return {"y": arrays["x"]}


def test_begins_with_nothing():
    found = ModelStatistics().to_dict()
    assert found["last_inference"] == found["inference_count"] == 0
    assert found["execution_count"] == 0
    assert found["batch_stats"] == []
    for name in ("success", "fail", "queue", "compute_input"):
        assert found["inference_stats"][name] == {"count": 0, "ns": 0}


def test_steps_add_up():
    statistics = ModelStatistics()
    run = statistics.timed(slow)
    x = np.zeros((3, 2))
    np.testing.assert_array_equal(run({"x": x})["y"], x)
    batch = statistics.to_dict()["batch_stats"][0]["compute_infer"]["ns"]
    assert batch >= 2e7
    begin = time.perf_counter_ns()
    # Waited 5, then computed what the batch took.
    steps = [begin, begin + 7, begin + 7 + 5 + batch, begin + 7 + 5 + batch + 11]
    for _ in range(2):
        statistics.record(
            rows=3,
            received=steps[0],
            decoded=steps[1],
            inferred=steps[2],
            encoded=steps[3],
        )
    statistics.record_failure(99)
    found = statistics.to_dict()["inference_stats"]
    assert found["compute_input"] == {"count": 2, "ns": 14}
    assert found["queue"] == {"count": 2, "ns": 10}
    assert found["compute_infer"] == {"count": 2, "ns": 2 * batch}
    assert found["compute_output"] == {"count": 2, "ns": 22}
    assert found["success"] == {"count": 2, "ns": 2 * (7 + 5 + batch + 11)}
    assert found["fail"] == {"count": 1, "ns": 99}


def test_batches_are_counted_by_their_rows():
    statistics = ModelStatistics()
    run = statistics.timed(lambda arrays: arrays)
    for rows in (1, 4, 1, 2, 4, 4):
        run({"x": np.zeros((rows, 2)), "scalar": np.zeros(())})
    run({"scalar": np.zeros(())})
    found = statistics.to_dict()
    assert found["execution_count"] == 7
    counts = {
        b["batch_size"]: b["compute_infer"]["count"] for b in found["batch_stats"]
    }
    assert counts == {1: 3, 2: 1, 4: 3}
    assert list(counts) == [1, 2, 4]


def test_a_batch_that_fails_is_not_counted():
    def fail(arrays):
        raise ValueError("no")

    statistics = ModelStatistics()
    with pytest.raises(ValueError, match="no"):
        statistics.timed(fail)({"x": np.zeros(1)})
    assert statistics.to_dict()["execution_count"] == 0


def test_the_last_inference_is_a_time_of_the_clock():
    statistics = ModelStatistics()
    now = time.perf_counter_ns()
    statistics.record(rows=1, received=now, decoded=now, inferred=now, encoded=now)
    time.sleep(0.05)
    last = statistics.to_dict()["last_inference"]
    assert 40 < time.time() * 1000 - last < 10_000

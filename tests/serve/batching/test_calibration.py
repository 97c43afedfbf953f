"""What is measured of a model, and what follows from it."""

import time

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as Litert

import kerasbnn
from kerasbnn.runtime import Interpreter
from kerasbnn.serve.batching import calibrate
from kerasbnn.serve.models.tensor_spec import TensorSpec
from tests.helpers.foreign_models import sum_model
from tests.serve.batching.models import run_of, specs_of

X = {"x": TensorSpec("x", "FP32", np.dtype(np.float32), (-1, 4))}


def busy(seconds):
    """Return a model that takes the processor for a time that depends on the rows."""

    def run(arrays):
        end = time.thread_time() + seconds(len(arrays["x"]))
        while time.thread_time() < end:
            pass
        return {"y": 2 * arrays["x"]}

    return run


def test_rows_that_cost_nothing_more_are_computed_together():
    plan = calibrate(busy(lambda rows: 1e-3), X)
    assert plan.max_batch == 64
    assert plan.threaded
    assert set(plan.seconds) == {1, 2, 4, 8, 16, 32, 64}
    assert all(1e-3 <= seconds < 2e-3 for seconds in plan.seconds.values())


def test_rows_that_cost_as_much_in_a_batch_are_not():
    assert calibrate(busy(lambda rows: 4e-4 * rows), X).max_batch == 1


def test_times_that_fall_and_rise():
    plan = calibrate(busy(lambda rows: 5e-4 if rows in (1, 8) else 5e-3), X)
    assert [plan.batch_of(rows) for rows in (2, 4, 7, 8)] == [1, 1, 1, 8]


def test_a_change_of_size_counts_against_batches_only():
    """A row alone changes no size; a batch does, which here costs what it saves."""
    last = [0]

    def seconds(rows):
        changed = rows != last[0]
        last[0] = rows
        return 0.2e-3 * rows + 5e-3 * changed

    plan = calibrate(busy(seconds), X, 16)
    assert plan.seconds[1] < 1e-3
    assert plan.seconds[16] >= 8.2e-3
    assert plan.max_batch == 1


def test_several_threads_are_timed_by_the_wall():
    """What others compute is no time of the thread that waits for them."""

    def run(arrays):
        time.sleep(2e-3)
        return {"y": arrays["x"]}

    assert calibrate(run, X, num_threads=2).seconds[1] >= 2e-3
    assert calibrate(run, X, num_threads=1).seconds[1] < 1e-3


def test_the_setting_is_the_largest_batch():
    run = busy(lambda rows: 1e-3)
    assert calibrate(run, X, 20).max_batch == 20
    assert calibrate(run, X, 1).max_batch == 1
    plan = calibrate(run, X, "off")
    assert plan.max_batch == 1
    assert plan.rows_at_once == 64


@pytest.mark.parametrize("milliseconds", [2, 20, 80, 400])
def test_the_time_is_bounded(milliseconds):
    counts = []

    def seconds(rows):
        counts.append(rows)
        return 1e-3 * milliseconds * rows

    plan = calibrate(busy(seconds), X)
    assert plan.max_batch == 1
    # Counted in rows, for a busy machine takes longer.
    assert sum(counts) <= max(1, 510 / milliseconds)
    if milliseconds >= 80:
        assert counts == [1]
        assert plan.reason.startswith("Batches take too long to be measured. One row")
    else:
        assert 2 in plan.seconds


def test_what_cannot_be_computed_is_left_to_the_requests():
    def run(arrays):
        raise ValueError("no")

    plan = calibrate(run, X)
    assert (plan.max_batch, plan.threaded, dict(plan.seconds)) == (1, True, {})
    assert "(no)" in plan.reason

    def run_one(arrays):
        if len(arrays["x"]) > 1:
            raise ValueError("one only")
        return {"y": arrays["x"]}

    plan = calibrate(run_one, X)
    assert (plan.max_batch, plan.rows_at_once) == (1, 1)
    assert "(one only)" in plan.reason


@pytest.mark.parametrize(
    "shapes",
    [((-1, 3), (-1, 3)), ((8, 3), (8, 3)), ((-1, 3), (1, 3)), ((3,), (3,)), ((), ())],
)
def test_inputs_without_an_open_batch(shapes):
    with Interpreter(sum_model(shapes)) as model:
        plan = calibrate(run_of(model), specs_of(model))
    assert plan.seconds
    assert not plan.threaded
    if shapes[0] == shapes[1] == (-1, 3):
        assert 1 in plan.seconds
        return
    name = "b" if shapes[1] == (1, 3) else "a"
    assert plan.max_batch == 1
    assert plan.rows_at_once is None
    assert plan.reason.startswith(f"Input '{name}' has no open batch axis.")
    assert list(plan.seconds) == [{(8, 3): 8, (3,): 3}.get(shapes[0], 1)]


def test_other_open_sizes_cannot_be_measured():
    with Interpreter(sum_model(((-1, -1), (-1, -1)))) as model:
        plan = calibrate(run_of(model), specs_of(model))
    assert plan.reason.startswith("Input 'a' has more open sizes than")
    assert plan.threaded


@pytest.fixture(scope="module")
def mixing(tmp_path_factory):
    """Return a file whose answers depend on all rows, and one with a sum of them."""
    folder = tmp_path_factory.mktemp("mixing")
    x = keras.Input((5,))
    centred = x - keras.ops.mean(x, axis=0, keepdims=True)
    kerasbnn.convert(
        keras.Model(x, centred), folder / "centred.tflite", verify_samples=False
    )
    total = keras.ops.sum(x, axis=0)
    kerasbnn.convert(
        keras.Model(x, total), folder / "total.tflite", verify_samples=False
    )
    return folder


def test_rows_that_change_each_other_stay_apart(mixing):
    # LiteRT itself says that they do.
    litert = Litert(str(mixing / "centred.tflite"))
    run = litert.get_signature_runner()
    (name,) = run.get_input_details()
    (found,) = run(**{name: np.float32([[1] * 5, [3] * 5])}).values()
    np.testing.assert_array_equal(found, [[-1] * 5, [1] * 5])

    with Interpreter(mixing / "centred.tflite") as model:
        plan = calibrate(run_of(model), specs_of(model))
    assert (plan.max_batch, plan.rows_at_once) == (1, None)
    assert "change each other's answers" in plan.reason
    with Interpreter(mixing / "total.tflite") as model:
        plan = calibrate(run_of(model), specs_of(model))
    assert (plan.max_batch, plan.rows_at_once) == (1, None)
    assert "no batch axis" in plan.reason

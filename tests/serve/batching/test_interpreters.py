"""Answers of real files, in batches and alone."""

import asyncio

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn.runtime import Interpreter, self_test
from kerasbnn.serve.batching import Batcher, BatchingPlan, calibrate
from tests.helpers.converting import samples_for, trained
from tests.helpers.foreign_models import sum_model
from tests.helpers.random_models import RandomModel
from tests.serve.batching.models import run_of, specs_of

TIMES = {2**i: 1e-3 * (i + 1) for i in range(7)}
PLANS = {
    "in a thread": BatchingPlan(64, "", TIMES, 64),
    "in small batches": BatchingPlan(5, "", TIMES, 5),
    "in the event loop": BatchingPlan(64, "", {1: 1e-6, 64: 2e-6}, 64),
    "alone": BatchingPlan(1, "", TIMES, 7),
}


def answers(model, plan, requests):
    """Send requests in three waves, the last two of which find a queue."""
    run = run_of(model)
    sizes = []

    def counted(arrays):
        sizes.append(len(next(iter(arrays.values()))))
        return run(arrays)

    async def ask(batcher, number, arrays):
        for _ in range(number % 3):
            await asyncio.sleep(0)
        return await batcher.submit(arrays, 60)

    async def main():
        batcher = Batcher(counted, plan, 100_000)
        try:
            return await asyncio.gather(
                *(ask(batcher, *request) for request in enumerate(requests))
            )
        finally:
            await batcher.drain()

    return asyncio.run(main()), sizes


def requests_of(rng, samples, count=40):
    """Draw requests of one to nine rows, most of them of one."""
    total = len(next(iter(samples.values())))
    drawn = []
    for _ in range(count):
        rows = int(rng.choice([1, 1, 1, 2, 3, 9]))
        chosen = rng.integers(0, total, rows)
        drawn.append({name: array[chosen] for name, array in samples.items()})
    return drawn


def assert_same(model, plan, requests):
    run = run_of(model)
    found, sizes = answers(model, plan, requests)
    for arrays, outputs in zip(requests, found, strict=True):
        alone = run(arrays)
        assert set(outputs) == set(alone)
        for name, values in alone.items():
            np.testing.assert_array_equal(outputs[name], values)
    largest = max(len(next(iter(arrays.values()))) for arrays in requests)
    if plan.max_batch > largest:
        assert max(sizes) > largest


def of_keras(keras_model, path, seed=0):
    """Convert a model, and return it with samples."""
    kerasbnn.convert(keras_model, path)
    model = Interpreter(path)
    (name,) = next(iter(model.signatures.values())).inputs
    return model, {name: samples_for(keras_model, 32, seed)}


@pytest.fixture(scope="module", params=range(5))
def random_model(request, tmp_path_factory):
    keras.utils.set_random_seed(request.param)
    keras_model = RandomModel(np.random.default_rng(request.param)).model
    path = tmp_path_factory.mktemp("random") / "model.tflite"
    model, samples = of_keras(keras_model, path, request.param)
    with model:
        yield model, samples


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    keras_model = kerasbnn.applications.binarynet_cifar10(
        input_shape=(28, 28, 1), num_classes=10, filters=(16, 32), units=(64,)
    )
    path = tmp_path_factory.mktemp("digits") / "model.tflite"
    model, samples = of_keras(trained(keras_model), path)
    with model:
        yield model, samples


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_random_networks(random_model, plan):
    model, samples = random_model
    assert_same(model, plan, requests_of(np.random.default_rng(1), samples))


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_a_network_for_digits(digits, plan):
    model, samples = digits
    assert_same(model, plan, requests_of(np.random.default_rng(2), samples))


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
@pytest.mark.parametrize("content", ["composites", "sums"])
def test_several_inputs_and_outputs(content, plan):
    rng = np.random.default_rng(3)
    if content == "composites":
        model = Interpreter(self_test.content())
        values = self_test.values()
        samples = {name: values[name] for name in ("x", "residual_2")}
    else:
        model = Interpreter(sum_model(product=True))
        samples = {name: rng.normal(size=(32, 3)).astype(np.float32) for name in "ab"}
    with model:
        assert_same(model, plan, requests_of(rng, samples))


@pytest.mark.parametrize("setting", ["auto", 16, "off"])
def test_the_plan_that_is_measured(digits, setting):
    model, samples = digits
    plan = calibrate(run_of(model), specs_of(model), setting)
    assert 1 in plan.seconds
    assert plan.max_batch <= {"auto": 64, 16: 16, "off": 1}[setting]
    assert_same(model, plan, requests_of(np.random.default_rng(4), samples))


def test_wide_float_layers_are_batched(tmp_path):
    """Rows share the reading of the weights, and answers stay what they are."""
    keras.utils.set_random_seed(0)
    wide = keras.Sequential([keras.Input((1024,)), keras.layers.Dense(1024)])
    model, samples = of_keras(wide, tmp_path / "model.tflite")
    with model:
        plan = calibrate(run_of(model), specs_of(model))
        assert plan.max_batch >= 16
        assert_same(model, plan, requests_of(np.random.default_rng(5), samples))

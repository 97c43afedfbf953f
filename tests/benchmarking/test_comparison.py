"""What `benchmark` reports of small models; never how long something took."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import QuantDense
from kerasbnn.benchmarking.timing import ROUNDS
from kerasbnn.runtime import delegate
from tests.helpers.converting import (
    BINARY,
    SIGNS,
    conv_net,
    keras_outputs,
    samples_for,
    trained,
)
from tests.helpers.delegates import has_delegate

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)
QUICK = {"seconds": 0.2, "verbose": 0}


@pytest.fixture(scope="module")
def model():
    """A convolutional network with weights as after training."""
    return trained(conv_net())


@pytest.fixture(scope="module")
def report(model):
    """A benchmark of it on random inputs."""
    return kerasbnn.benchmark(model, **QUICK)


def test_all_contenders_have_figures(report):
    names = [contender.name for contender in report.contenders]
    assert names == ["float32", "int8", "packed_stock", "packed_delegate"]
    for contender in report.contenders:
        if contender.problem is None:
            low, high = contender.latency_low_ms, contender.latency_high_ms
            assert 0 < low <= contender.latency_ms <= high
            assert contender.cpu_ms > 0
            assert contender.calls >= ROUNDS
    assert report["packed_stock"].problem is None
    assert (report["packed_delegate"].problem is None) == has_delegate()
    assert report.implementation == delegate.implementation()


def test_sizes_are_those_of_the_files(model, report, tmp_path):
    converted = kerasbnn.convert(model, tmp_path / "model.tflite")
    assert report["packed_stock"].bytes == converted.bytes
    kernels = sum(w.value.shape.num_elements() for w in model.weights if w.ndim > 1)
    assert kernels * 4 < report["float32"].bytes < kernels * 4 + 25_000
    assert kernels < report["int8"].bytes < kernels + 25_000


def test_packed_files_agree_with_keras_and_twins_are_not_compared(report):
    assert report.samples == 100
    assert report.are_random
    for name in ("packed_stock", "packed_delegate")[: 1 + has_delegate()]:
        assert report[name].same_classes == 1.0
        assert report[name].largest_difference < 1e-4
    for name in ("float32", "int8"):
        assert report[name].same_classes is None
        assert report[name].largest_difference is None


def test_the_model_is_left_as_it_was():
    model = trained(conv_net())
    x = samples_for(model)
    before, weights = keras_outputs(model, x), model.get_weights()
    config = model.get_config()
    kerasbnn.benchmark(model, x, max_samples=2, **QUICK)
    np.testing.assert_array_equal(keras_outputs(model, x), before)
    for mine, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert model.get_config() == config


def test_given_inputs_are_used(model):
    x = samples_for(model, count=7)
    report = kerasbnn.benchmark(
        model, x, batch_size=3, num_threads=2, max_samples=5, **QUICK
    )
    assert (report.samples, report.are_random) == (5, False)
    assert (report.batch_size, report.num_threads) == (3, 2)
    assert report["packed_stock"].same_classes == 1.0


def test_several_inputs_and_outputs_of_one_value():
    # Not in the order of the alphabet.
    first, second = keras.Input((6,), name="one"), keras.Input((4,), name="another")
    x = layers.Concatenate()([first, second])
    x = QuantDense(40, **BINARY)(x)
    x = layers.BatchNormalization()(x)
    outputs = {
        "a": QuantDense(1, **SIGNS, name="a")(x),
        "b": QuantDense(1, **SIGNS, name="b")(x),
    }
    model = trained(keras.Model([first, second], outputs))
    report = kerasbnn.benchmark(model, **QUICK)
    assert report["packed_stock"].same_classes is None
    assert report["packed_stock"].largest_difference < 1e-4
    assert report["int8"].problem is None


def test_without_the_delegate_the_rest_is_measured(model, monkeypatch, tmp_path):
    monkeypatch.setattr(delegate, "_folders", lambda: [tmp_path])
    monkeypatch.setattr(delegate, "_loaded", None)
    report = kerasbnn.benchmark(model, **QUICK)
    assert report.implementation is None
    assert "not installed" in report["packed_delegate"].problem
    assert report["packed_delegate"].bytes is None
    assert report.speed("packed_delegate", "int8") is None
    assert report["packed_stock"].same_classes == 1.0
    printed = str(report)
    assert "No packed + delegate" in printed
    assert "C++ compiler" in printed
    assert len(report.plot().axes[0].patches) == 3
    json.loads(report.to_json())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"data": np.zeros((2, 3, 3, 3))}, ValueError, "`data` must hold"),
        ({"data": np.full((2, 11, 9, 3), np.nan)}, ValueError, "must be finite"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1"),
        ({"batch_size": 1.5}, TypeError, "`batch_size` must be an integer"),
        ({"num_threads": "2"}, TypeError, "`num_threads` must be a number"),
        ({"max_samples": 0}, ValueError, "`max_samples`"),
        ({"seconds": 0}, ValueError, "`seconds` must be greater than 0"),
        ({"input_shape": (5, 5, 3)}, ValueError, "`input_shape`"),
    ],
)
def test_bad_arguments(model, arguments, error, message):
    with pytest.raises(error, match=message):
        kerasbnn.benchmark(model, **{**QUICK, **arguments})


def test_only_keras_models_are_taken():
    with pytest.raises(TypeError, match=r"Expected a keras\.Model"):
        kerasbnn.benchmark("model.keras")

"""Calls are recorded as they happen, and nothing stays behind."""

import threading

import keras
import numpy as np
import pytest

from kerasbnn import QuantDense
from kerasbnn.models.call_tracing import (
    intercept_calls,
    shape_of,
    trace_calls,
    trace_shapes,
)
from kerasbnn.models.layer_paths import named_layers
from kerasbnn.quantizers import SteSign

KERAS_CALL = keras.layers.Layer.__call__


@pytest.fixture(autouse=True)
def _keras_is_as_before():
    yield
    assert keras.layers.Layer.__call__ is KERAS_CALL


def nested_model():
    """A model that uses a layer twice and holds a block."""
    inputs = keras.Input((4,), name="in")
    shared = keras.layers.Dense(4, name="shared")
    block = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, name="d"),
            keras.layers.ReLU(name="r"),
        ],
        name="block",
    )
    return keras.Model(inputs, block(shared(shared(inputs))))


class Unbuilt(keras.Model):
    """A model that makes a layer only when it is built."""

    def __init__(self):
        super().__init__()
        self.first = keras.layers.Dense(3, name="first")

    def build(self, input_shape):
        self.late = keras.layers.Dense(2, name="late")
        super().build(input_shape)

    def call(self, inputs):
        return self.late(self.first(inputs))


def test_records_every_call_with_its_values_and_parents(rng):
    model = nested_model()
    x = rng.normal(size=(5, 4)).astype("float32")
    with trace_calls(model) as calls:
        outputs = model(x)
    paths = [call.path for call in calls if call.path != "in"]
    assert paths == ["", "shared", "shared", "block", "block/d", "block/r"]
    by_path = {call.path: call for call in calls}
    assert by_path["block/d"].parent is by_path["block"]
    assert by_path["block"].parent is by_path[""]
    assert by_path[""].parent is None
    first, second = [call for call in calls if call.path == "shared"]
    assert second.inputs[0] is first.output_tensors[0]
    kernel, bias = model.get_layer("shared").get_weights()
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(second.outputs), (x @ kernel + bias) @ kernel, 1e-4
    )
    assert by_path["block/r"].outputs is outputs


def test_nothing_stays_after_an_exception():
    model = keras.Sequential([keras.layers.Dense(2)])
    model.build((None, 3))
    with pytest.raises(ValueError, match="shape"), trace_calls(model) as calls:
        model(np.ones((1, 4)))
    assert calls[0].outputs is None
    seen = len(calls)
    model(np.ones((1, 3)))
    assert len(calls) == seen


def test_scopes_nest_and_see_only_their_model():
    one, other = (
        keras.Sequential([keras.Input((2,)), keras.layers.ReLU(name=name)])
        for name in "ab"
    )
    x = np.ones((1, 2))
    with trace_calls(one) as outer:
        one(x)
        with trace_calls(other) as inner:
            one(x)
            other(x)
        other(x)
    assert [call.path for call in outer] == ["", "a", "", "a"]
    assert [call.path for call in inner] == ["", "b"]


def test_other_threads_are_not_recorded_and_may_end_first():
    model = keras.Sequential([keras.Input((2,)), keras.layers.ReLU(name="a")])
    x = keras.ops.ones((1, 2))
    opened, close = threading.Event(), threading.Event()
    seen_there = []

    def there():
        with trace_calls(model) as calls:
            opened.set()
            close.wait(60)
            model(x)
        seen_there.extend(call.path for call in calls)

    thread = threading.Thread(target=there)
    try:
        with trace_calls(model) as calls:
            thread.start()
            assert opened.wait(60)
            model(x)
        # The scope of the other thread is still open, and must go on working.
        model(x)
    finally:
        close.set()
        thread.join(60)
    assert [call.path for call in calls] == ["", "a"]
    assert seen_there == ["", "a"]
    assert len(calls) == 2


def test_a_handler_may_replace_outputs():
    relu = keras.layers.ReLU()

    def negate(layer, proceed, args, kwargs):
        return -proceed(*args, **kwargs)

    with intercept_calls(negate):
        assert keras.ops.convert_to_numpy(relu(np.ones(2))).tolist() == [-1, -1]
    assert keras.ops.convert_to_numpy(relu(np.ones(2))).tolist() == [1, 1]


def test_shapes_without_arithmetic_also_inside_functional_models():
    model = nested_model()
    before = model.get_weights()
    calls = trace_shapes(model, keras.KerasTensor((7, 4)))
    shapes = {call.path: shape_of(call.outputs) for call in calls}
    assert shapes["shared"] == (7, 4)
    assert shapes["block/d"] == shapes["block/r"] == shapes[""] == (7, 3)
    assert len([c for c in calls if c.path == "shared"]) == 2
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_model_without_weights_is_built_and_then_works():
    model = Unbuilt()
    calls = trace_shapes(model, keras.KerasTensor((1, 5)))
    assert [call.path for call in calls][-2:] == ["first", "late"]
    assert len(calls) == 3
    assert [tuple(w.shape) for w in model.weights] == [(5, 3), (3,), (3, 2), (2,)]
    assert np.std(model.get_weights()[0]) > 0
    assert model(np.ones((2, 5))).shape == (2, 2)


def test_quantizers_are_recorded_inside_of_their_layers():
    layer = QuantDense(2, input_quantizer=SteSign(name="signs"), name="dense")
    model = keras.Sequential([keras.Input((3,)), layer])
    with trace_calls(model) as calls:
        model(np.array([[-1.5, 0.0, 2.0]]))
    (signs,) = [call for call in calls if call.path == "dense/signs"]
    assert signs.parent.layer is layer
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(signs.outputs), [[-1, 1, 1]]
    )


def test_equal_names_get_different_paths():
    class Twins(keras.Model):
        def __init__(self):
            super().__init__()
            self.parts = [keras.layers.ReLU(name="x"), keras.layers.ReLU(name="x")]

    model = Twins()
    assert dict(named_layers(model)) == {"x": model.parts[0], "x_1": model.parts[1]}

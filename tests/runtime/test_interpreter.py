"""What `Interpreter` computes, takes and says of a file."""

import json
import warnings

import numpy as np
import pytest

from kerasbnn.runtime import Interpreter, ModelError, pool, self_test
from kerasbnn.tflite.graph import Graph
from tests.helpers.foreign_models import custom_model, sum_model

OUTPUTS = [f"y_{i}" for i in range(6)]


@pytest.fixture(scope="module")
def values():
    return self_test.values()


@pytest.fixture(params=[False, True], ids=["built-in", "delegate"])
def model(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Interpreter(self_test.content(), delegate=request.param)


def inputs_of(values, *batches):
    """Return the inputs, as often after each other as told."""
    return {
        name: np.concatenate([values[name]] * sum(batches))
        for name in ("x", "residual_2")
    }


def test_it_computes_what_numpy_does(model, values):
    for copies in (1, 3, 1):
        outputs = model.predict(inputs_of(values, copies))
        assert list(outputs) == OUTPUTS
        for name, found in outputs.items():
            np.testing.assert_array_equal(
                found, np.concatenate([values[name]] * copies), err_msg=name
            )


@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 1000, np.int64(4)])
def test_a_large_batch_is_computed_in_parts(model, values, batch_size):
    outputs = model.predict(inputs_of(values, 5), batch_size=batch_size)
    for name, found in outputs.items():
        np.testing.assert_array_equal(found, np.concatenate([values[name]] * 5))


def test_no_samples_give_no_outputs(model, values):
    nothing = {name: array[:0] for name, array in inputs_of(values, 1).items()}
    outputs = model.predict(nothing)
    shapes = {name: array.shape for name, array in outputs.items()}
    assert shapes == {name: (0, *values[name].shape[1:]) for name in OUTPUTS}


def test_outputs_stay_as_they_are(model, values):
    first = model.predict(inputs_of(values, 1))
    kept = {name: array.copy() for name, array in first.items()}
    model.predict({name: -array for name, array in inputs_of(values, 1).items()})
    for name, array in first.items():
        np.testing.assert_array_equal(array, kept[name])


def test_the_same_batch_size_allocates_once(model, values, monkeypatch):
    sizes = []
    litert = type(model._pool.take().litert)
    model = Interpreter(self_test.content(), delegate=False)
    allocate = litert.allocate_tensors

    def counted(self):
        sizes.append(self.get_input_details()[0]["shape"][0])
        return allocate(self)

    monkeypatch.setattr(litert, "allocate_tensors", counted)
    one = {name: array[:1] for name, array in inputs_of(values, 1).items()}
    for _ in range(3):
        model.predict(one)
    for _ in range(3):
        model.predict(inputs_of(values, 1))
    assert len(sizes) == 2


@pytest.mark.parametrize(
    "dtype",
    ["float16", "float32", "float64", "int8", "uint8", "int16", "int64", "bool"],
)
def test_real_dtypes_become_float32(dtype):
    model = Interpreter(sum_model())
    x = np.array([[0, 1, 1], [1, 0, 1]], dtype)
    found = model.predict({"a": x, "b": x.tolist()})
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, 2 * x.astype(np.float32))


def test_nan_and_infinity_pass():
    model = Interpreter(sum_model())
    x = np.array([[np.nan, np.inf, 1e300]])
    np.testing.assert_array_equal(
        model.predict([x, np.zeros((1, 3))]), [[np.nan, np.inf, np.inf]]
    )


def test_memory_order_and_views_do_not_matter(model, values):
    inputs = inputs_of(values, 1)
    inputs["x"] = np.asfortranarray(inputs["x"])
    inputs["residual_2"] = np.repeat(inputs["residual_2"], 2, axis=-1)[..., ::2]
    found = model.predict(inputs)
    np.testing.assert_array_equal(found["y_5"], values["y_5"])


def test_a_list_is_in_the_order_of_the_signature(model, values):
    assert list(model.signatures) == ["serving_default"]
    names = list(model.signatures["serving_default"].inputs)
    found = model.predict([values[name] for name in names])
    np.testing.assert_array_equal(found["y_5"], values["y_5"])


def test_what_a_file_says_of_itself(model):
    assert model.input_shape == {
        "x": (None, 13, 13, 5),
        "residual_2": (None, 6, 6, 40),
    }
    assert model.output_shape["y_0"] == (None, 13, 13, 8)
    assert model.output_shape["y_5"] == (None, 5)
    signature = model.signatures["serving_default"]
    assert signature.inputs["x"].dtype == np.float32
    assert signature.outputs["y_0"].dtype == np.uint8
    assert "x: float32 (batch, 13, 13, 5)" in str(signature)
    assert model.composites == tuple(OUTPUTS)
    assert model.delegated in ((), tuple(OUTPUTS))
    assert model.metadata == {}
    assert "of 6 binary layers" in repr(model)


def test_metadata_comes_from_the_file():
    graph = Graph(self_test.content())
    metadata = {"format": 1, "name": "net", "labels": ["á", "b"]}
    graph.set_metadata("kerasbnn", json.dumps(metadata).encode())
    model = Interpreter(graph.to_bytes(), delegate=False)
    assert model.metadata == metadata
    model.metadata["name"] = "other"
    assert model.metadata == metadata


def test_a_path_is_read_once(tmp_path, values):
    path = tmp_path / "model.tflite"
    path.write_bytes(self_test.content())
    for given in (path, str(path)):
        model = Interpreter(given, delegate=False)
        assert str(path) in repr(model)
    path.write_bytes(b"")
    found = model.predict(inputs_of(values, 1))
    np.testing.assert_array_equal(found["y_5"], values["y_5"])


def test_other_files_just_run():
    a, b = np.arange(6.0).reshape(2, 3), np.ones((2, 3))
    with warnings.catch_warnings():
        # Nothing in them needs the delegate.
        warnings.simplefilter("error")
        model = Interpreter(sum_model(product=True))
    assert list(model.signatures) == ["main"]
    assert (model.composites, model.delegated, model.metadata) == ((), (), {})
    found = model.predict([a, b])
    assert list(found) == ["sum", "product"]
    np.testing.assert_array_equal(found["sum"], a + b)
    np.testing.assert_array_equal(found["product"], a * b)

    single = Interpreter(sum_model(shapes=[(-1, 3)]))
    assert single.input_shape == single.output_shape == (None, 3)
    for given in (a, a.tolist(), {"a": a}):
        np.testing.assert_array_equal(single.predict(given), 2 * a)


def test_files_of_a_fixed_batch_size():
    model = Interpreter(sum_model(shapes=[(2, 3)]))
    assert model.input_shape == (2, 3)
    x = np.arange(18.0).reshape(6, 3)
    np.testing.assert_array_equal(model.predict(x, batch_size=32), 2 * x)
    assert model.predict(x[:0]).shape == (0, 3)
    with pytest.raises(ValueError, match="made for batches of 2, and input 'a' has 3"):
        model.predict(x[:3])
    mixed = Interpreter(sum_model(shapes=[(2, 3), (1, 3)]))
    np.testing.assert_array_equal(mixed.predict([x[:2], x[:1]]), x[:2] + x[:1])
    with pytest.raises(ValueError, match=r"'b' must have the shape \(1, 3\)"):
        mixed.predict([x[:2], x[:2]])
    scalar = Interpreter(sum_model(shapes=[()]))
    assert scalar.predict(2.0) == 4.0


def test_integer_inputs_must_fit():
    model = Interpreter(sum_model(shapes=[(-1, 3)], dtype=np.int32))
    np.testing.assert_array_equal(
        model.predict(np.array([[1, 2, 3]], np.uint8)), [[2, 4, 6]]
    )
    with pytest.raises(TypeError, match="whole numbers from -2147483648 to"):
        model.predict(np.array([[1, 2, 2**40]]))
    with pytest.raises(TypeError, match="whole numbers"):
        model.predict(np.array([[0.5, 2, 3]]))


@pytest.mark.parametrize(
    ("given", "error", "match"),
    [
        (np.zeros((2, 4)), ValueError, r"shape \(batch, 3\). Received: \(2, 4\)"),
        (np.zeros(3), ValueError, r"This is one sample: .*x\[np.newaxis\]"),
        (np.zeros((1, 1, 3)), ValueError, r"Received: \(1, 1, 3\)"),
        (np.zeros((1, 3), complex), TypeError, "real numbers.* complex128"),
        (np.array([["a", "b", "c"]]), TypeError, "real numbers"),
        (np.array([[None, 1, 2]]), TypeError, "real numbers.*object"),
        ({"b": np.zeros((1, 3))}, ValueError, r"inputs named \['a'\].*\['b'\]"),
    ],
)
def test_wrong_inputs_are_named(given, error, match):
    model = Interpreter(sum_model(shapes=[(-1, 3)]))
    with pytest.raises(error, match=match):
        model.predict(given)
    # And change nothing.
    assert model.predict(np.ones((1, 3))).sum() == 6


def test_several_inputs_must_be_complete_and_equal():
    model = Interpreter(sum_model())
    x = np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"has 2 inputs.* keys \['a', 'b'\]"):
        model.predict([x])
    with pytest.raises(ValueError, match="has 2 inputs.*Received: ndarray"):
        model.predict(x)
    with pytest.raises(ValueError, match="2 of 'a', 1 of 'b'"):
        model.predict([x, x[:1]])


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"batch_size": 0}, ValueError, "at least 1, not 0"),
        ({"batch_size": 1.5}, TypeError, "must be an integer"),
        ({"batch_size": True}, TypeError, "must be an integer"),
        ({"signature": "probe"}, ValueError, r"no signature 'probe'.*\['main'\]"),
    ],
)
def test_wrong_arguments_are_named(arguments, error, match):
    model = Interpreter(sum_model(shapes=[(-1, 3)]))
    with pytest.raises(error, match=match):
        model.predict(np.zeros((1, 3)), **arguments)


def test_wrong_arguments_of_the_interpreter_are_named(tmp_path):
    with pytest.raises(ValueError, match="`num_threads` must be at least 1"):
        Interpreter(sum_model(), num_threads=0)
    with pytest.raises(TypeError, match="`num_threads` must be an integer"):
        Interpreter(sum_model(), num_threads=1.0)
    with pytest.raises(TypeError, match="`path` must be the path"):
        Interpreter(3)
    with pytest.raises(FileNotFoundError, match=r"none\.tflite"):
        Interpreter(tmp_path / "none.tflite")


def test_several_threads_in_one_call(values):
    model = Interpreter(self_test.content(), 2, delegate=False)
    found = model.predict(inputs_of(values, 2))
    np.testing.assert_array_equal(found["y_5"][:2], values["y_5"])


def test_a_closed_interpreter_says_so():
    with Interpreter(sum_model(shapes=[(-1, 3)])) as model:
        model.predict(np.zeros((1, 3)))
        assert "closed" not in repr(model)
    assert repr(model).endswith("closed>")
    for use in (
        lambda: model.predict(np.zeros((1, 3))),
        lambda: model.__enter__(),
    ):
        with pytest.raises(RuntimeError, match="This Interpreter is closed"):
            use()
    model.close()
    assert model.input_shape == (None, 3)


def test_closing_frees_the_interpreters(monkeypatch):
    freed = []

    class Counted(pool.Runner):
        def __del__(self):
            freed.append(self)

    monkeypatch.setattr("kerasbnn.runtime.interpreter.Runner", Counted)
    model = Interpreter(sum_model())
    assert not freed
    model.close()
    assert len(freed) == 1


def test_custom_operations_are_named():
    with pytest.raises(ModelError, match="not built into LiteRT.*MyOperation"):
        Interpreter(custom_model())


def test_checked_inputs_are_computed_as_any_others(model, values):
    for copies in (1, 3, 1):
        outputs = model.compute(inputs_of(values, copies))
        assert list(outputs) == OUTPUTS
        for name, found in outputs.items():
            np.testing.assert_array_equal(
                found, np.concatenate([values[name]] * copies), err_msg=name
            )
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.compute(inputs_of(values, 1))

"""What a converted file holds besides the computation, and that it is reproducible."""

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn.runtime import Interpreter
from kerasbnn.runtime.model_file import read_model_file
from tests.helpers.converting import SIGNS, after, conv_net, dense_net, trained
from tests.helpers.processes import run_python

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)

DIGITS = [f"the {i}" for i in range(10)]


def test_same_model_same_bytes(tmp_path):
    model = trained(conv_net())
    kerasbnn.convert(model, tmp_path / "a.tflite", labels=list("0123456789"))
    model.save(tmp_path / "model.keras")
    keras.backend.clear_session()
    again = keras.models.load_model(tmp_path / "model.keras")
    kerasbnn.convert(again, tmp_path / "b.tflite", labels=list("0123456789"))
    a, b = ((tmp_path / f"{name}.tflite").read_bytes() for name in "ab")
    assert a == b


CONVERT = """
import sys
import keras
import kerasbnn
model = keras.models.load_model(sys.argv[1])
kerasbnn.convert(model, sys.argv[2], version="1")
"""


@pytest.mark.parametrize("seed", ["1", "2"])
def test_same_model_same_bytes_in_other_processes(tmp_path, seed):
    model = trained(conv_net())
    kerasbnn.convert(model, tmp_path / "a.tflite", version="1")
    model.save(tmp_path / "model.keras")
    paths = (tmp_path / "model.keras", tmp_path / "b.tflite")
    run_python("-c", CONVERT, *paths, folder=tmp_path, PYTHONHASHSEED=seed)
    a, b = ((tmp_path / f"{name}.tflite").read_bytes() for name in "ab")
    assert a == b


def test_metadata_is_read_back(tmp_path):
    path = tmp_path / "model.tflite"
    kerasbnn.convert(
        trained(dense_net()),
        path,
        name="dígits",
        version="2.0-rc1",
        labels=DIGITS,
        normalization={"mean": np.float32(0.5), "std": np.linspace(1, 2, 50)},
    )
    metadata = Interpreter(path, delegate=False).metadata
    assert metadata["name"] == "dígits"
    assert metadata["version"] == "2.0-rc1"
    assert metadata["labels"] == DIGITS
    assert metadata["normalization"]["mean"] == 0.5
    np.testing.assert_allclose(metadata["normalization"]["std"], np.linspace(1, 2, 50))
    assert metadata["kerasbnn"] == kerasbnn.__version__
    assert metadata["format"] == 1


def test_without_any_there_is_the_name_alone(tmp_path):
    model = dense_net()
    kerasbnn.convert(trained(model), tmp_path / "model.tflite")
    metadata = Interpreter(tmp_path / "model.tflite", delegate=False).metadata
    assert metadata == {
        "format": 1,
        "kerasbnn": kerasbnn.__version__,
        "name": model.name,
    }


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"labels": ["a", "b"]}, ValueError, "10 outputs. Received: 2"),
        ({"labels": "0123456789"}, TypeError, "a list of strings"),
        ({"labels": list(range(10))}, TypeError, "a list of strings"),
        ({"version": 1}, TypeError, "`version` must be a string.*version='1'"),
        ({"name": 3}, TypeError, "`name` must be a string"),
        ({"normalization": {"mean": 1}}, ValueError, "keys 'mean' and 'std'"),
        ({"normalization": 127.5}, ValueError, "keys 'mean' and 'std'"),
        ({"normalization": {"mean": 0, "std": 0}}, ValueError, "finite positive"),
        ({"normalization": {"mean": [], "std": 1}}, ValueError, "finite number"),
        ({"normalization": {"mean": np.nan, "std": 1}}, ValueError, "finite number"),
        ({"normalization": {"mean": "0", "std": [1, "x"]}}, ValueError, "'std'"),
        (
            {"normalization": {"mean": [1, 2, 3], "std": 1}},
            ValueError,
            r"\['mean'\]` must be .* each of the 50 channels.*Received: 3 numbers",
        ),
        ({"normalization": {"mean": 0, "std": [1] * 49}}, ValueError, "'std'.*: 49"),
        ({"decomposition": "int4"}, ValueError, "must be one of"),
        ({"sample_inputs": np.ones((2, 49))}, ValueError, "`sample_inputs` must hold"),
        ({"sample_inputs": np.ones((0, 50))}, ValueError, "at least one sample"),
        (
            {"sample_inputs": np.full((2, 50), np.nan)},
            ValueError,
            "`sample_inputs` must be finite",
        ),
        ({"sample_inputs": np.full((2, 50), np.inf)}, ValueError, "must be finite"),
        # Too large for float32.
        ({"sample_inputs": np.full((2, 50), 1e300)}, ValueError, "must be finite"),
        ({"sample_inputs": "x"}, TypeError, "array of numbers.*Received: str"),
        ({"sample_inputs": [[0.5] * 50]}, TypeError, r"Received: list of float\."),
        ({"sample_inputs": np.full((2, 50), "a")}, TypeError, "ndarray of <U1"),
        ({"input_shape": (49,)}, ValueError, "`input_shape` does not match"),
    ],
)
def test_wrong_arguments_are_named_and_leave_no_file(tmp_path, options, error, match):
    with pytest.raises(error, match=match):
        kerasbnn.convert(trained(dense_net()), tmp_path / "model.tflite", **options)
    assert not list(tmp_path.iterdir())


def test_labels_need_one_output(tmp_path):
    x = keras.Input((6,))
    heads = [keras.layers.Dense(2)(x), keras.layers.Dense(2)(x)]
    with pytest.raises(ValueError, match="name the values of one output.*has 2"):
        kerasbnn.convert(
            keras.Model(x, heads), tmp_path / "model.tflite", labels=["a", "b"]
        )
    assert not list(tmp_path.iterdir())


def test_one_mean_for_all_channels_may_be_a_list(tmp_path):
    path = tmp_path / "model.tflite"
    scaling = {"mean": [0.5], "std": [2.0] * 50}
    kerasbnn.convert(trained(dense_net()), path, normalization=scaling)
    metadata = Interpreter(path, delegate=False).metadata
    assert metadata["normalization"] == scaling


def test_paths_that_cannot_be_written(tmp_path):
    model = trained(dense_net())
    with pytest.raises(FileNotFoundError, match="it is a folder. Name a file"):
        kerasbnn.convert(model, tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        kerasbnn.convert(model, tmp_path / "no" / "model.tflite")
    with pytest.raises(TypeError, match="Expected a keras.Model"):
        kerasbnn.convert(model.layers[0], tmp_path / "model.tflite")
    with pytest.raises(ValueError, match="is not known: it was not called"):
        kerasbnn.convert(keras.Sequential([keras.layers.Dense(3)]), tmp_path / "m")
    assert not list(tmp_path.iterdir())


def test_a_failed_conversion_leaves_the_old_file(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    layer = kerasbnn.QuantDense(4, dtype="mixed_bfloat16", name="layer", **SIGNS)
    model = trained(after(layer, (6,), normalized=False))
    with pytest.raises(kerasbnn.tflite.ConversionError):
        kerasbnn.convert(model, path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.tflite"]
    assert path.read_bytes() == b"old"


def test_the_model_stays_as_it_was(tmp_path):
    model = trained(conv_net())
    weights = [np.array(weight) for weight in model.weights]
    kerasbnn.convert(model, tmp_path / "model.tflite")
    for weight, before in zip(model.weights, weights, strict=True):
        np.testing.assert_array_equal(weight, before)
    x = np.zeros((2, *model.input_shape[1:]))
    # And is compiled and trained as before.
    model.compile("sgd", "mse")
    assert np.isfinite(model.train_on_batch(x, np.zeros((2, 10))))


@pytest.mark.parametrize("normalized", [True, False])
def test_composites_have_the_names_of_their_layers(tmp_path, normalized):
    path = tmp_path / "model.tflite"
    first = kerasbnn.QuantConv2D(40, 2, name="first", **SIGNS)
    # Flattened images of 40 channels are read as a window, which yields an image.
    last = kerasbnn.QuantDense(3, name="last", **SIGNS)
    before = [first, keras.layers.BatchNormalization(), keras.layers.Flatten()]
    model = after(last, (4, 4, 2), before=before, normalized=normalized)
    kerasbnn.convert(trained(model), path)
    composites = read_model_file(path.read_bytes(), "it").composites
    assert [one.label for one in composites] == ["first", "last"]
    assert list(Interpreter(path, delegate=False).signatures) == ["serving_default"]
    signature = Interpreter(path, delegate=False).signatures["serving_default"]
    assert list(signature.outputs) == ["output_0"]

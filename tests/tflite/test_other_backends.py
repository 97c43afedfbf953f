"""Models of JAX and PyTorch, which TensorFlow converts in a process of its own."""

import importlib.util
import os

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense
from kerasbnn.runtime import Interpreter
from kerasbnn.tflite import ConversionError
from tests.helpers.converting import BINARY, SIGNS, conv_net, samples_for
from tests.helpers.eight_bit_networks import network

pytestmark = [
    pytest.mark.skipif(
        keras.backend.backend() == "tensorflow", reason="tests the other backends"
    ),
    pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is None, reason="needs TensorFlow too"
    ),
]


@pytest.fixture(scope="module")
def trained():
    """A network that has seen a few batches of noise, so that nothing is at a tie."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((9, 8, 3)),
            QuantConv2D(40, 3, name="conv", **BINARY),
            layers.MaxPooling2D(),
            layers.BatchNormalization(momentum=0.5, name="conv_bn"),
            layers.Flatten(),
            QuantDense(33, name="dense", **SIGNS),
            layers.BatchNormalization(momentum=0.5, name="dense_bn"),
            QuantDense(4, name="head", **SIGNS),
            layers.BatchNormalization(momentum=0.5, name="head_bn"),
        ],
        name="net",
    )
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 9, 8, 3)).astype(np.float32)
    model.fit(x, rng.normal(size=(64, 4)), epochs=2, batch_size=16, verbose=0)
    return model


def test_the_file_computes_what_the_model_does(trained, tmp_path):
    path = tmp_path / "model.tflite"
    x = samples_for(trained, 50)
    report = kerasbnn.convert(
        trained, path, sample_inputs=x, version="3", labels=list("abcd")
    )
    assert report.path == str(path)
    assert report.bytes == path.stat().st_size
    assert [layer.name for layer in report.layers] == ["conv", "dense", "head"]
    assert [layer.outputs for layer in report.layers] == ["bits", "bits", "floats"]
    assert report.verification.samples == 50
    assert report.verification.near_ties == 0
    with Interpreter(path, delegate=False) as model:
        found = model.predict(x)
        assert model.metadata["name"] == "net"
        assert model.metadata["labels"] == ["a", "b", "c", "d"]
    expected = keras.ops.convert_to_numpy(trained(x, training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_layers_of_eight_bits(tmp_path):
    model = network((16, 16, 1), 5, has_eight_bits=True, filters=(8, 32, 33))
    x = samples_for(model, 20)
    model.compile("adam", "mse")
    model.fit(x, np.zeros((20, 5)), epochs=2, verbose=0)
    report = kerasbnn.convert(model, tmp_path / "model.tflite", sample_inputs=x)
    assert report["stem"].weight_bits == report["head"].weight_bits == 8
    with Interpreter(tmp_path / "model.tflite", delegate=False) as interpreter:
        found = interpreter.predict(x)
    expected = keras.ops.convert_to_numpy(model(x, training=False))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_all_options_reach_the_other_process(tmp_path):
    model = keras.Sequential(
        [keras.Input((None, None, 3)), QuantConv2D(4, 3, name="conv", **SIGNS)]
    )
    options = {"input_shape": (8, 7, 3), "verify_samples": False, "name": "it"}
    normalization = {"mean": [1.0, 2.0, 3.0], "std": 4.0}
    paths = [tmp_path / f"{way}.tflite" for way in ("int8", "float")]
    for path in paths:
        report = kerasbnn.convert(
            model, path, decomposition=path.stem, normalization=normalization, **options
        )
        assert report.verification is None
    with Interpreter(paths[0], delegate=False) as interpreter:
        assert interpreter.input_shape == (None, 8, 7, 3)
        assert interpreter.metadata["name"] == "it"
        assert interpreter.metadata["normalization"] == normalization
    assert paths[0].read_bytes() != paths[1].read_bytes()


def test_the_same_model_gives_the_same_bytes(trained, tmp_path):
    for name in "ab":
        kerasbnn.convert(trained, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_errors_come_back(trained, tmp_path):
    with pytest.raises(ValueError, match="4 outputs. Received: 1"):
        kerasbnn.convert(trained, tmp_path / "model.tflite", labels=["a"])
    model = conv_net()
    layer = next(x for x in model.layers if isinstance(x, layers.BatchNormalization))
    layer.gamma.assign(np.full(layer.gamma.shape, np.nan))
    with pytest.raises(ConversionError, match="NaN or infinite") as raised:
        kerasbnn.convert(model, tmp_path / "model.tflite")
    assert raised.value.layer == layer.name
    assert not list(tmp_path.iterdir())


def test_classes_that_the_other_process_does_not_know(tmp_path):
    class Unknown(layers.Layer):
        def call(self, inputs):
            return inputs + 1

    model = keras.Sequential([keras.Input((5,)), Unknown(), QuantDense(4, **SIGNS)])
    with pytest.raises(ConversionError, match="cannot be loaded.*that registers them"):
        kerasbnn.convert(model, tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def test_without_tensorflow_it_says_what_to_install(trained, tmp_path, monkeypatch):
    broken = tmp_path / "site" / "tensorflow"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ModuleNotFoundError('no tensorflow')")
    paths = [str(broken.parent), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    with pytest.raises(ConversionError, match=r"no tensorflow.*pip install.*tflite"):
        kerasbnn.convert(trained, tmp_path / "model.tflite")
    assert not (tmp_path / "model.tflite").exists()

"""Weights of files that the real Larq has written give the outputs of Larq."""

import importlib
import re

import h5py
import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn.larq import load_weights
from tests.larq.larq_files import names_of_files, unpack
from tests.larq.weight_networks import NETWORKS

BACKEND = keras.backend.backend()
CASES = [
    (name, file, earlier, layers)
    for name in NETWORKS
    for file in names_of_files(name)
    # With no layers before them, the names are those of the file.
    for earlier in ((0, 3) if name in ("branches", "residual", "wrapped") else (3,))
    for layers in ("larq.layers", "layers")
    # Which class it is makes no difference to a backend, and JAX compiles for minutes.
    if layers == "larq.layers" or (name != "local" and BACKEND == "tensorflow")
]


def build(name, earlier=0, layers="larq.layers"):
    """Build a network after others, which moves the numbers in the names of layers."""
    for _ in range(earlier):
        kerasbnn.QuantDense(1)
        kerasbnn.QuantConv2D(1, 1)
        keras.layers.BatchNormalization()
        keras.layers.Dense(1)
    return NETWORKS[name](keras, importlib.import_module(f"kerasbnn.{layers}"))


def outputs_of(model, inputs):
    return np.array(keras.ops.convert_to_numpy(model(inputs)))


@pytest.mark.parametrize(("name", "file", "earlier", "layers"), CASES)
def test_outputs_are_those_of_larq(name, file, earlier, layers, tmp_path):
    folder = unpack(name, tmp_path)
    sample = np.load(folder / "sample.npz")
    model = build(name, earlier, layers)
    before = outputs_of(model, sample["inputs"])
    assert np.abs(before - sample["outputs"]).max() > 1e-2
    loaded = load_weights(model, folder / file)
    after = outputs_of(model, sample["inputs"])
    np.testing.assert_allclose(after, sample["outputs"], rtol=1e-5, atol=1e-5)
    assert loaded.parameters == model.count_params()


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tells of the files, not of us")
@pytest.mark.parametrize("name", NETWORKS)
def test_the_outputs_depend_on_every_weight(name, tmp_path):
    """Otherwise the test above would not see that a weight is wrong."""
    folder = unpack(name, tmp_path)
    inputs = np.load(folder / "sample.npz")["inputs"]
    model = build(name)
    model(inputs)
    load_weights(model, folder / "only.h5")
    right = outputs_of(model, inputs)
    for weight in model.weights:
        value = np.array(keras.ops.convert_to_numpy(weight))
        weight.assign(0.3 * np.roll(value, 1) - 0.9 * np.flip(value) + 0.4)
        assert not np.allclose(outputs_of(model, inputs), right), weight.path
        weight.assign(value)


@pytest.mark.parametrize("file", names_of_files("many"))
def test_layer_10_comes_after_layer_9(file, tmp_path):
    folder = unpack("many", tmp_path)
    model = build("many", earlier=1)
    loaded = load_weights(model, folder / file)
    pairs = [
        (layer.file_layer, layer.model_layer)
        for layer in loaded.layers
        if layer.file_layer.startswith("quant")
    ]
    number = [
        [int((re.findall(r"\d+$", name) or ["0"])[0]) for name in pair]
        for pair in pairs
    ]
    first = 0 if file == "only.weights.h5" else 7
    assert number == [[first + at, 8 + at] for at in range(12)]


def test_latent_weights_of_a_quantized_file_are_signs(tmp_path):
    folder = unpack("dense", tmp_path)
    model = build("dense")
    load_weights(model, folder / "quantized.h5")
    for layer in model.layers:
        if isinstance(layer, kerasbnn.QuantDense):
            kernel = keras.ops.convert_to_numpy(layer.kernel)
            assert set(np.unique(kernel)) == {-1.0, 1.0}


@pytest.mark.parametrize(
    ("file", "ignored"),
    [
        ("model.h5", ("optimizer_weights",)),
        ("only.h5", ()),
        ("model.keras", ("metrics", "optimizer")),
        ("only.weights.h5", ("metrics", "optimizer")),
    ],
)
def test_the_state_of_training_is_left_out(file, ignored, tmp_path):
    folder = unpack("flips", tmp_path)
    loaded = load_weights(build("flips"), folder / file)
    assert loaded.ignored == ignored
    if ignored:
        assert f"ignored: {', '.join(ignored)}" in str(loaded)


@pytest.mark.parametrize("file", names_of_files("flips"))
def test_a_model_that_counts_flips_loads_as_one_that_does_not(file, tmp_path):
    folder = unpack("flips", tmp_path)
    sample = np.load(folder / "sample.npz")
    with kerasbnn.metrics.metrics_scope(["flip_ratio"]):
        model = build("flips")
    load_weights(model, folder / file)
    np.testing.assert_allclose(
        outputs_of(model, sample["inputs"]), sample["outputs"], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("file", names_of_files("residual"))
def test_the_report_tells_each_layer(file, tmp_path):
    folder = unpack("residual", tmp_path)
    model = build("residual", earlier=2)
    loaded = load_weights(model, str(folder / file))
    assert len(loaded.layers) == 1 + 4 * 5 + 1 + 3
    by_name = {layer.model_layer: layer for layer in loaded.layers}
    assert by_name["sequential/inner"].weights == ("kernel",)
    assert by_name["sequential/inner"].parameters == 64
    if file != "only.weights.h5":
        assert by_name["sequential/inner"].file_layer == "sequential/inner"
        assert any(name.startswith("second/") for name in by_name)
    lines = str(loaded).splitlines()
    assert len(lines) == len(loaded.layers) + 1
    assert lines[-1] == f"{model.count_params():,} values in 25 layers"


def test_a_loaded_model_saves_and_loads_as_its_own(tmp_path):
    folder = unpack("convolutional", tmp_path)
    sample = np.load(folder / "sample.npz")
    model = build("convolutional")
    load_weights(model, folder / "model.h5")
    model.save(tmp_path / "twin.keras")
    again = keras.models.load_model(tmp_path / "twin.keras")
    np.testing.assert_allclose(
        outputs_of(again, sample["inputs"]), sample["outputs"], rtol=1e-5, atol=1e-5
    )


def test_half_precision_variables_take_rounded_weights(tmp_path):
    folder = unpack("dense", tmp_path)
    keras.config.set_dtype_policy("float16")
    model = build("dense")
    load_weights(model, folder / "model.h5")
    kernel = model.layers[-1].kernel
    assert kernel.dtype == "float16"
    with h5py.File(folder / "model.h5") as file:
        stored = np.array(file["model_weights/dense/dense/kernel:0"])
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(kernel), stored.astype("float16")
    )


def test_the_name_that_tf_keras_2_12_has_for_the_list_of_layers(tmp_path):
    folder = unpack("residual", tmp_path)
    sample = np.load(folder / "sample.npz")
    with h5py.File(folder / "only.weights.h5", "a") as file:
        lists = []
        file.visit(lambda path: lists.append(path) if path.endswith("layers") else None)
        for path in sorted(lists, key=len, reverse=True):
            file.move(path, f"{path[: -len('layers')]}_layer_checkpoint_dependencies")
    model = build("residual")
    load_weights(model, folder / "only.weights.h5")
    np.testing.assert_allclose(
        outputs_of(model, sample["inputs"]), sample["outputs"], rtol=1e-5, atol=1e-5
    )

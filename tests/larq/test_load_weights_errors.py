"""What is not right is said, and leaves the model as it was."""

import re
import zipfile

import h5py
import keras
import numpy as np
import pytest

import kerasbnn
import kerasbnn.larq as lq
from kerasbnn.larq import load_weights
from tests.larq.larq_files import kernels, unpack, write_legacy
from tests.larq.weight_networks import BINARY, NETWORKS


def values_of(model):
    return [np.array(keras.ops.convert_to_numpy(w)) for w in model.variables]


def assert_refused(model, path, *parts, error=ValueError, **arguments):
    before = values_of(model)
    with pytest.raises(error) as caught:
        load_weights(model, path, **arguments)
    for part in parts:
        assert part in str(caught.value), (part, str(caught.value))
    for old, new in zip(before, values_of(model), strict=True):
        np.testing.assert_array_equal(old, new)


def dense_model(names=("a", "b"), units=4, use_bias=False):
    layers = [
        kerasbnn.QuantDense(units, **{**BINARY, "use_bias": use_bias}, name=name)
        for name in names
    ]
    return keras.Sequential([keras.Input((4,)), *layers])


@pytest.fixture(scope="module")
def dense_files(tmp_path_factory):
    """The files of the network `dense`, as Larq has written them."""
    return unpack("dense", tmp_path_factory.mktemp("dense"))


def dense_network(**changes):
    """Build the network `dense` with some arguments of its layers changed."""
    network = NETWORKS["dense"](keras, kerasbnn.layers)
    config = network.get_config()
    for index, arguments in changes.items():
        config["layers"][int(index[1:])]["config"].update(arguments)
    for entry in config["layers"]:
        entry.pop("build_config", None)
    return keras.Sequential.from_config(config)


FORMATS = ["model.h5", "only.h5", "model.keras", "only.weights.h5"]


@pytest.mark.parametrize("file", FORMATS)
def test_another_shape_in_a_late_layer(file, dense_files):
    model = dense_network(_8={"units": 5})
    name = model.layers[-1].name
    assert_refused(
        model,
        dense_files / file,
        "do not fit model 'sequential",
        "unchanged",
        "'kernel' of layer 'dense",
        "shape (9, 4)",
        f"layer '{name}' in the model has (9, 5)",
        "input shape",
    )


@pytest.mark.parametrize("file", FORMATS)
def test_a_bias_that_the_file_lacks(file, dense_files):
    assert_refused(
        dense_network(_1={"use_bias": True}),
        dense_files / file,
        "quant_dense",
        "'kernel', 'bias'",
        "use_bias",
    )


@pytest.mark.parametrize("file", ["model.h5", "only.h5", "model.keras"])
def test_a_center_where_the_file_has_a_scale(file, dense_files):
    """Both layers have three weights of one shape: only names tell."""
    assert_refused(
        dense_network(_2={"scale": True, "center": False}),
        dense_files / file,
        "'beta', 'moving_mean', 'moving_variance'",
        "'gamma', 'moving_mean', 'moving_variance'",
        "scale and center",
    )


@pytest.mark.parametrize("file", FORMATS)
def test_a_layer_too_many_in_the_model(file, dense_files):
    model = NETWORKS["dense"](keras, kerasbnn.layers)
    model.add(keras.layers.Dense(4, name="extra"))
    assert_refused(model, dense_files / file, "'extra'", "as the one that was saved")


@pytest.mark.parametrize("file", FORMATS)
def test_a_layer_too_many_in_the_file(file, dense_files):
    model = NETWORKS["dense"](keras, kerasbnn.layers)
    model.pop()
    assert_refused(model, dense_files / file, "'dense'", "as the one that was saved")


def test_a_layer_of_a_layer_that_the_file_lacks(tmp_path):
    path = unpack("wrapped", tmp_path) / "only.weights.h5"
    with h5py.File(path, "a") as file:
        del file["layers/block_1/bn"]
    model = NETWORKS["wrapped"](keras, kerasbnn.layers)
    assert_refused(model, path, "no weights for 'bn' of the model")


@pytest.mark.parametrize("file", FORMATS)
def test_a_model_without_weights(file, dense_files):
    model = keras.Sequential([keras.Input((12,)), keras.layers.Flatten()])
    assert_refused(model, dense_files / file, "no counterpart")


def test_a_model_that_is_not_built(dense_files):
    model = keras.Sequential([kerasbnn.QuantDense(3)], name="raw")
    assert_refused(model, dense_files / "model.h5", "'raw'", "Input")


def test_a_layer_that_is_not_built(tmp_path):
    class Network(keras.Model):
        def __init__(self):
            super().__init__()
            self.used = kerasbnn.QuantDense(4, **BINARY, name="a")
            self.unused = kerasbnn.QuantDense(4, **BINARY, name="b")

        def call(self, inputs):
            return self.used(inputs)

    model = Network()
    with pytest.warns(UserWarning, match="unbuilt state"):
        model(np.zeros((1, 4), "float32"))
    path = write_legacy(tmp_path / "x.h5", kernels(["a", "b"]))
    assert_refused(model, path, "'b' of the file", "Not built yet", ": 'b'")


def test_no_model(dense_files):
    with pytest.raises(TypeError, match=r"keras\.Model"):
        load_weights(kerasbnn.QuantDense(3), dense_files / "model.h5")


def test_a_missing_file(tmp_path):
    assert_refused(
        dense_model(), tmp_path / "no.h5", "no file", "no.h5", error=FileNotFoundError
    )


def test_a_checkpoint_of_tensorflow(dense_files):
    for name in ("checkpoint_of_tf", "checkpoint_of_tf.index"):
        assert_refused(
            dense_model(),
            dense_files / name,
            "TensorFlow's own format",
            "model.save_weights('weights.h5')",
        )
    data = next(dense_files.glob("checkpoint_of_tf.data*"))
    assert_refused(dense_model(), data, "TensorFlow's own format")
    assert_refused(dense_model(), dense_files, "folder of TensorFlow checkpoints")


def test_a_saved_model_and_a_folder(tmp_path):
    assert_refused(dense_model(), tmp_path, "a folder, not a file")
    (tmp_path / "saved_model.pb").write_bytes(b"")
    assert_refused(dense_model(), tmp_path, "SavedModel", "model.save_weights")


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 cut off"])
def test_a_file_of_something_else(content, tmp_path):
    (tmp_path / "x.h5").write_bytes(content)
    assert_refused(dense_model(), tmp_path / "x.h5", "not usable", "model.h5")


@pytest.mark.parametrize("file", FORMATS)
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_file_that_ends_early(file, part, dense_files, tmp_path):
    content = (dense_files / file).read_bytes()
    (tmp_path / file).write_bytes(content[: int(len(content) * part)])
    model = NETWORKS["dense"](keras, kerasbnn.layers)
    assert_refused(model, tmp_path / file, file)


def test_a_damaged_archive(dense_files, tmp_path):
    content = bytearray((dense_files / "model.keras").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "x.keras").write_bytes(content)
    model = NETWORKS["dense"](keras, kerasbnn.layers)
    assert_refused(model, tmp_path / "x.keras", "x.keras", "damaged")


def test_hdf5_of_something_else(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["data"] = np.zeros(3)
    assert_refused(dense_model(), tmp_path / "x.h5", "no weights of a model")


def test_names_of_what_is_not_in_the_file(tmp_path):
    path = write_legacy(tmp_path / "x.h5", kernels(["a", "b"]))
    with h5py.File(path, "a") as file:
        file["b"].attrs["weight_names"] = [b"b/gone:0"]
    assert_refused(dense_model(), path, "not usable", "'b/gone:0' of layer 'b'")
    with h5py.File(path, "a") as file:
        del file["a"]
    assert_refused(dense_model(), path, "not usable", "a layer 'a'")


def test_a_weight_of_text(tmp_path):
    path = write_legacy(tmp_path / "x.h5", kernels(["a", "b"]))
    with h5py.File(path, "a") as file:
        del file["b/b/kernel:0"]
        file["b/b/kernel:0"] = [b"text"]
    assert_refused(dense_model(), path, "not usable", "weights are numbers")


def test_an_archive_of_keras_3(tmp_path):
    model = dense_model()
    model.save(tmp_path / "x.keras")
    assert_refused(model, tmp_path / "x.keras", "Keras 3", "keras.models.load_model")


@pytest.mark.parametrize("missing", ["config.json", "model.weights.h5"])
def test_an_archive_without_a_part(missing, dense_files, tmp_path):
    with (
        zipfile.ZipFile(dense_files / "model.keras") as old,
        zipfile.ZipFile(tmp_path / "x.keras", "w") as new,
    ):
        for name in old.namelist():
            if name != missing:
                new.writestr(name, old.read(name))
    assert_refused(dense_model(), tmp_path / "x.keras", f"has no '{missing}'")


def test_different_weights_for_a_shared_layer(tmp_path):
    shared = kerasbnn.QuantDense(4, **BINARY, name="shared")
    inner_inputs = keras.Input((4,))
    inner = keras.Model(inner_inputs, shared(inner_inputs), name="inner")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, shared(inner(inputs)))
    one, other = np.ones((4, 4), "float32"), np.zeros((4, 4), "float32")
    layers = [
        ("inner", {"shared/kernel": one}),
        ("shared", {"shared/kernel": other}),
    ]
    path = write_legacy(tmp_path / "x.h5", layers)
    assert_refused(model, path, "'shared'", "different weights")


class Refusing:
    """Makes the third assignment fail, as when the memory of a device is full."""

    def __init__(self, assign):
        self.assign, self.calls = assign, 0

    def __call__(self, variable, value):
        self.calls += 1
        if self.calls == 3:
            raise MemoryError("full")
        return self.assign(variable, value)


@pytest.mark.parametrize("quantized", [False, True])
def test_all_or_nothing_while_weights_are_set(dense_files, monkeypatch, quantized):
    model = NETWORKS["dense"](keras, lq.layers)
    before = values_of(model)
    refusing = Refusing(keras.Variable.assign)
    monkeypatch.setattr(
        keras.Variable, "assign", lambda variable, value: refusing(variable, value)
    )
    # There a kernel that is read is not the one that training goes on from.
    scope = lq.context.quantized_scope(quantized)
    with scope, pytest.raises(MemoryError, match="full"):
        load_weights(model, dense_files / "model.h5")
    assert refusing.calls > 3
    for old, new in zip(before, values_of(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_layer_names_that_do_not_exist(tmp_path):
    path = write_legacy(tmp_path / "x.h5", kernels(["a", "b"]))
    model = dense_model()
    assert_refused(model, path, "'c'", "'a', 'b'", layer_names={"c": "a"})
    assert_refused(model, path, "'a' of the file with 'c'", layer_names={"a": "c"})


def test_errors_name_the_file_once(tmp_path):
    path = write_legacy(tmp_path / "x.h5", kernels(["a", "b"], shape=(4, 5)))
    with pytest.raises(ValueError, match="x.h5") as caught:
        load_weights(dense_model(), path)
    assert len(re.findall(r"x\.h5", str(caught.value))) == 1

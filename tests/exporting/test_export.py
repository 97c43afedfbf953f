"""`export`: its files are those of the single steps, whatever the form of the data."""

import dataclasses
import importlib.util
import json

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense
from kerasbnn.exporting import ExportReport
from kerasbnn.exporting.samples import collect_samples
from kerasbnn.geometry import GeometryReport
from kerasbnn.probing import Probe, Reference
from kerasbnn.runtime import Interpreter
from kerasbnn.serve.models.repository import find_models
from tests.helpers.converting import BINARY, SIGNS, samples_for, trained

IS_TENSORFLOW = keras.backend.backend() == "tensorflow"
pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="TensorFlow converts"
)
needs_tensorflow = pytest.mark.skipif(
    not IS_TENSORFLOW, reason="takes a process for each conversion elsewhere"
)
LABELS = ["ape", "bee", "cat"]
SCALING = {"mean": 127.5, "std": [127.5]}


def network():
    return keras.Sequential(
        [
            keras.Input((8, 7, 1)),
            QuantConv2D(20, 3, name="conv", **BINARY),
            layers.BatchNormalization(name="conv_bn"),
            layers.Flatten(),
            QuantDense(3, name="dense", **SIGNS),
            layers.BatchNormalization(name="dense_bn"),
        ],
        name="net",
    )


@pytest.fixture(scope="module")
def model():
    return trained(network())


@pytest.fixture(scope="module")
def x(model):
    return samples_for(model, 150)


@pytest.fixture(scope="module")
def exported(model, x, tmp_path_factory):
    """A folder, and the report of its export."""
    folder = tmp_path_factory.mktemp("models") / "zoo" / "7"
    report = kerasbnn.export(
        model, folder, x, labels=LABELS, normalization=SCALING, verbose=0
    )
    return folder, report


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_files_are_those_of_the_single_steps(model, x, exported, tmp_path):
    folder, _ = exported
    steps = tmp_path / "steps"
    steps.mkdir()
    kerasbnn.convert(
        model,
        steps / "model.tflite",
        name="zoo",
        version="7",
        labels=LABELS,
        normalization=SCALING,
    )
    kerasbnn.tflite.probe(model, steps / "model.probe.tflite", name="zoo")
    (steps / "labels.txt").write_text("ape\nbee\ncat\n", "utf-8")
    found = contents(folder)
    text = found.pop("geometry.json").decode("utf-8")
    assert found == contents(steps)

    values = json.loads(text)
    with Probe(steps / "model.probe.tflite") as probe:
        assert values.pop("reference") == Reference.measure(probe, x).to_dict()
    audited = kerasbnn.audit(model, x, max_samples=1024, verbose=0)
    audited = dataclasses.replace(audited, model="zoo")
    assert values == json.loads(audited.to_json(histograms=False))


def test_the_report_of_the_geometry_can_be_read_by_itself(exported):
    folder, report = exported
    found = GeometryReport.from_json(folder / "geometry.json")
    assert found.to_dict() == report.geometry.to_dict(histograms=False)
    assert found.samples == 150
    assert [layer.name for layer in found] == ["conv", "dense"]


def test_the_reference_is_that_of_the_probe(exported):
    folder, _ = exported
    values = json.loads((folder / "geometry.json").read_text("utf-8"))
    reference = Reference.from_dict(values["reference"])
    with Probe(folder / "model.probe.tflite") as probe:
        reference.check(probe.description)
    assert list(reference.layers) == ["conv", "dense"]


def test_the_service_finds_the_files(exported):
    folder, _ = exported
    (found,) = find_models(folder.parent.parent)
    assert (found.name, found.version) == ("zoo", "7")
    assert found.model == folder / "model.tflite"
    assert found.probe == folder / "model.probe.tflite"
    assert found.geometry == folder / "geometry.json"
    assert found.labels == folder / "labels.txt"


def test_the_report_says_what_was_written(exported):
    folder, report = exported
    assert isinstance(report, ExportReport)
    names = ["model.tflite", "model.probe.tflite", "geometry.json", "labels.txt"]
    assert list(report.files) == names
    assert report.files == {
        name: (folder / name).stat().st_size for name in report.files
    }
    assert report.folder == str(folder)
    assert report.conversion.path == str(folder / "model.tflite")
    assert report.probe.path == str(folder / "model.probe.tflite")
    assert report.conversion.verification.samples == 16
    values = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert values["name"] == "zoo"
    assert values["conversion"]["bytes"] == report.files["model.tflite"]
    assert values["geometry"]["layers"][0]["histograms"] == {}
    printed = str(report)
    assert "Exported: zoo, version 7, to" in printed
    for name in names:
        assert name in printed
    assert "2 kernels on 150 samples" in printed
    assert "Not measured live" not in printed


def test_the_folder_can_be_read_by_others(exported):
    folder, _ = exported
    # A container reads it as another user.
    for path in (folder, *folder.iterdir()):
        assert path.stat().st_mode & 0o044 == 0o044, path
    assert [path.name for path in folder.parent.iterdir()] == ["7"]


@needs_tensorflow
def test_name_and_version_can_be_others_than_those_of_the_folder(model, x, tmp_path):
    folder = tmp_path / "a" / "b"
    report = kerasbnn.export(
        model, folder, x, name="Zoo of mine", version="1.2-rc1", verbose=0
    )
    assert list(report.files) == ["model.tflite", "model.probe.tflite", "geometry.json"]
    with Interpreter(folder / "model.tflite", delegate=False) as file:
        assert file.metadata["name"] == "Zoo of mine"
        assert file.metadata["version"] == "1.2-rc1"
        assert "labels" not in file.metadata
    with Probe(folder / "model.probe.tflite") as probe:
        assert probe.description.model == "Zoo of mine"


@needs_tensorflow
def test_the_same_model_and_data_give_the_same_bytes(model, x, exported, tmp_path):
    folder, _ = exported
    again = tmp_path / "zoo" / "7"
    options = {"labels": LABELS, "normalization": SCALING, "verbose": 0}
    # Comparing with Keras leaves no trace, nor does what is beyond `max_samples`.
    data = np.concatenate([x, 5 * x])
    kerasbnn.export(
        model, again, data, max_samples=150, verify_samples=False, **options
    )
    found, expected = contents(again), contents(folder)
    for files in (found, expected):
        values = json.loads(files.pop("geometry.json"))
        assert values["settings"].pop("max_samples")
        files["geometry"] = values
    assert found == expected


def images_and_sizes():
    image = keras.Input((6, 6, 2), name="image")
    size = keras.Input((3,), name="a_size")
    h = layers.Flatten()(QuantConv2D(5, 3, name="conv", **BINARY)(image))
    h = layers.BatchNormalization()(layers.Concatenate()([h, size]))
    outputs = QuantDense(4, name="dense", **SIGNS)(h)
    return trained(keras.Model([image, size], outputs, name="two"))


def in_batches(*arrays):
    """Yield batches of 40 as a `tf.data.Dataset` does, with targets."""
    for start in range(0, len(arrays[0]), 40):
        inputs = tuple(array[start : start + 40] for array in arrays)
        yield inputs, np.zeros(len(inputs[0]))


@needs_tensorflow
@pytest.mark.parametrize("form", ["list", "dict", "generator", "dataset"])
def test_several_inputs_in_any_form(tmp_path, rng, form):
    import tensorflow as tf

    model = images_and_sizes()
    image = rng.normal(size=(100, 6, 6, 2)).astype("float32")
    size = rng.normal(size=(100, 3)).astype("float32")
    data = {
        "list": [image, size],
        "dict": {"a_size": size, "image": image},
        "generator": in_batches(image, size),
        "dataset": tf.data.Dataset.from_tensor_slices(((image, size), image)).batch(9),
    }[form]
    folder = tmp_path / "two" / "1"
    report = kerasbnn.export(model, folder, data, verbose=0)
    assert report.geometry.samples == 100
    values = json.loads((folder / "geometry.json").read_text("utf-8"))
    with Probe(folder / "model.probe.tflite") as probe:
        named = {"image": image, "a_size": size}
        assert set(probe.inputs) == set(named)
        assert values["reference"] == Reference.measure(probe, named).to_dict()
    expected = kerasbnn.audit(model, [image, size], verbose=0)
    for layer in ("conv", "dense"):
        found = report.geometry[layer].products.pooled
        assert found == pytest.approx(expected[layer].products.pooled, abs=1e-6)


def test_no_more_is_read_than_is_used(model, rng):
    read = []

    def without_end():
        while True:
            read.append(rng.normal(size=(30, 8, 7, 1)))
            yield read[-1]

    samples = collect_samples(model, without_end(), max_samples=100)
    assert len(read) == 4
    expected = np.concatenate(read)[:100].astype("float32")
    np.testing.assert_array_equal(samples.arrays[0], expected)
    assert len(samples.to_verify[0]) == 16
    np.testing.assert_array_equal(samples.to_verify[0][[0, -1]], expected[[0, -1]])


@needs_tensorflow
def test_values_of_other_types_are_what_the_model_takes(model, tmp_path, rng):
    pixels = rng.integers(0, 256, (80, 8, 7, 1), dtype=np.uint8)
    for name, data in (("bytes", pixels), ("doubles", pixels.astype("float64"))):
        kerasbnn.export(model, tmp_path / name / "1", data, name="it", verbose=0)
    assert contents(tmp_path / "bytes" / "1") == contents(tmp_path / "doubles" / "1")


@needs_tensorflow
def test_a_model_that_was_not_built_and_an_open_size(tmp_path, rng):
    layer = QuantConv2D(8, 3, name="conv", **BINARY)
    model = keras.Sequential([keras.Input((None, None, 2)), layer])
    x = rng.normal(size=(70, 9, 8, 2))
    options = {"input_shape": (9, 8, 2), "verbose": 0}
    report = kerasbnn.export(model, tmp_path / "open" / "1", x, **options)
    assert report.geometry.samples == 70
    with Interpreter(tmp_path / "open/1/model.tflite", delegate=False) as file:
        assert file.input_shape == (None, 9, 8, 2)
    fresh = keras.Sequential([QuantDense(5, **BINARY)])
    x = rng.normal(size=(70, 11))
    report = kerasbnn.export(fresh, tmp_path / "fresh" / "1", x, input_shape=(11,))
    assert report.probe.layers[0].fan_in == 11


@needs_tensorflow
def test_layers_that_the_probe_leaves_out_are_in_the_report(tmp_path, rng):
    model = keras.Sequential(
        [
            keras.Input((12, 5)),
            layers.LSTM(6, name="memory"),
            QuantDense(4, name="dense", **SIGNS),
        ]
    )
    x = rng.normal(size=(70, 12, 5))
    report = kerasbnn.export(model, tmp_path / "net" / "1", x, verbose=0)
    assert set(report.probe.skipped) == {"memory"}
    assert "memory" in str(report).split("Not measured live")[1]
    assert "memory" in report.to_dict()["probe"]["skipped"]


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(4, (3, 2), padding="same", dilation_rate=2),
        layers.Conv2D(4, (2, 3), groups=2),
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        layers.SeparableConv2D(4, 3),
        layers.Conv2DTranspose(4, 3, strides=2),
        layers.Conv2D(2, 1),
        layers.Dense(3),
    ],
    ids=lambda layer: layer.name,
)
@pytest.mark.parametrize("channels", [4, 1500])
def test_the_reference_fits_the_probe(layer, channels, tmp_path, rng):
    network = keras.Sequential(
        [keras.Input((5, 6, channels)), layer.__class__.from_config(layer.get_config())]
    )
    kerasbnn.tflite.probe(network, tmp_path / "x.tflite", verify_samples=False)
    with Probe(tmp_path / "x.tflite") as probe:
        reference = Reference.measure(probe, rng.normal(size=(64, 5, 6, channels)))
        again = Reference.from_dict(json.loads(json.dumps(reference.to_dict())))
        again.check(probe.description, probe.inputs)


def test_progress_is_silent_when_asked(model, x, tmp_path, capfd):
    if IS_TENSORFLOW:
        kerasbnn.export(model, tmp_path / "net" / "1", x, verbose=0)
        assert capfd.readouterr().out == ""

"""The command `kerasbnn convert` as its user sees it."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense
from kerasbnn.cli import main
from kerasbnn.runtime import Interpreter, delegate
from tests.helpers.converting import BINARY, SIGNS, keras_outputs, samples_for, trained
from tests.helpers.processes import run_python

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="starts TensorFlow here"
)


def network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            QuantConv2D(40, 3, name="conv", **BINARY),
            layers.BatchNormalization(name="conv_bn"),
            layers.Flatten(),
            QuantDense(33, name="dense", **SIGNS),
            layers.BatchNormalization(name="dense_bn"),
            layers.Dense(3, name="head"),
        ],
        name="net",
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with saved models, sound and not."""
    folder = tmp_path_factory.mktemp("saved")
    model = trained(network())
    model.save(folder / "model.keras")
    model.get_layer("dense_bn").gamma.assign(np.full(33, np.nan))
    model.save(folder / "nan.keras")
    unknown = keras.Sequential(
        [keras.Input((None, None, 3)), QuantConv2D(4, 3, name="conv", **BINARY)],
        name="open",
    )
    unknown.save(folder / "open.keras")
    layer = QuantDense(4, dtype="mixed_bfloat16", name="half", **SIGNS)
    keras.Sequential([keras.Input((6,)), layer]).save(folder / "half.keras")
    (folder / "labels.txt").write_text("ape\nbee\ncat\n", "utf-8")
    (folder / "two.txt").write_text("ape\nbee\n", "utf-8")
    (folder / "text.keras").write_text("no model", "utf-8")
    return folder


@pytest.fixture
def folder(saved, tmp_path, monkeypatch):
    """Work in an empty folder beside links to the saved models."""
    for path in saved.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_writes_the_file_and_says_what_became_of_each_layer(folder, capsys):
    options = ["--labels", "labels.txt", "--model-version", "1.2", "--name", "zoo"]
    options += ["--normalization", "127.5,127.5", "--json", "report.json"]
    assert main(["convert", "model.keras", "model.tflite", *options]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    lines = captured.out.splitlines()
    assert lines[0].rstrip() == "Converted: net to model.tflite"
    assert lines[-1] == "Written: model.tflite"
    (conv,) = (line for line in lines if line.startswith("conv (QuantConv2D)"))
    assert conv.split()[2:] == "1 bit floats bits bn, sign 1.41 KiB 1.72 KiB".split()
    (dense,) = (line for line in lines if line.startswith("dense (QuantDense)"))
    assert dense.split()[2:8] == "1 bit bits floats bn 186".split()
    assert "Not packed           head: a layer of Keras" in captured.out
    assert "4 samples, without" in captured.out
    assert max(map(len, lines)) <= 100

    model = keras.models.load_model("model.keras")
    x = samples_for(model)
    with Interpreter("model.tflite", delegate=False) as interpreter:
        found = interpreter.predict(x)
        metadata = interpreter.metadata
    np.testing.assert_allclose(found, keras_outputs(model, x), rtol=1e-5, atol=1e-5)
    assert metadata == {
        "format": 1,
        "kerasbnn": kerasbnn.__version__,
        "name": "zoo",
        "version": "1.2",
        "labels": ["ape", "bee", "cat"],
        "normalization": {"mean": 127.5, "std": 127.5},
    }
    report = json.loads((folder / "report.json").read_text("utf-8"))
    assert report["bytes"] == (folder / "model.tflite").stat().st_size
    assert [layer["name"] for layer in report["layers"]] == ["conv", "dense", "head"]


def test_a_mean_may_be_negative(folder, capsys):
    command = ["convert", "model.keras", "m.tflite", "--no-verify"]
    assert main([*command, "--normalization", "-.5,2"]) == 0
    capsys.readouterr()
    with Interpreter("m.tflite", delegate=False) as interpreter:
        assert interpreter.metadata["normalization"] == {"mean": -0.5, "std": 2.0}


def test_open_sizes_decomposition_and_no_comparison(folder, capsys):
    command = ["convert", "open.keras", "open.tflite"]
    assert main([*command, "--input-shape", "9,8,3", "--no-verify"]) == 0
    assert "turned off" in capsys.readouterr().out
    small = (folder / "open.tflite").read_bytes()
    options = ["--input-shape", "9,8,3", "--decomposition", "float"]
    assert main([*command, *options]) == 0
    capsys.readouterr()
    with Interpreter("open.tflite", delegate=False) as model:
        assert model.input_shape == (None, 9, 8, 3)
    # A first layer of floats is computed in floats either way.
    assert (folder / "open.tflite").read_bytes() == small


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.keras", "m.tflite"], "no file 'no.keras'"),
        (["labels.txt", "m.tflite"], "not a model that Keras has saved"),
        (["text.keras", "m.tflite"], "not a model that Keras has saved"),
        (["model.keras", "."], "'.' is a folder. Name a file in it."),
        (["model.keras", "no/m.tflite"], "no folder 'no'"),
        (["model.keras", "model.keras"], "is the model. Name another file."),
        (["model.keras", "m.tflite", "--json", "no/r.json"], "no folder 'no'"),
        (["model.keras", "m.tflite", "--labels", "no.txt"], "no file 'no.txt'"),
        (["model.keras", "m.tflite", "--labels", "."], "'.' cannot be read"),
        (["model.keras", "m.keras"], "must end in .tflite, as what is written does"),
        (["model.keras", "m"], "Name the file 'm.tflite'"),
        (["model.keras", "m.tflite", "--name", ""], "--name must not be empty"),
        (["model.keras", "m.tflite", "--labels", "two.txt"], "3 outputs. Received: 2"),
        (["model.keras", "m.tflite", "--labels", "model.keras"], "as a text file"),
        (["open.keras", "m.tflite"], "--input-shape 32,32,3"),
        (["open.keras", "m.tflite", "--input-shape", "8,8"], "--input-shape does not"),
        (["nan.keras", "m.tflite"], "Layer 'dense_bn' computes with numbers that are"),
        (["half.keras", "m.tflite"], "Models must compute in float32"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(folder, capsys, arguments, message):
    before = sorted(path.name for path in folder.iterdir())
    model = (folder / "model.keras").read_bytes()
    assert main(["convert", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("kerasbnn convert: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == before
    assert (folder / "model.keras").read_bytes() == model


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--normalization", "127.5", "two numbers such as 127.5,127.5"),
        ("--normalization", "0,0", "the second above 0"),
        ("--normalization", "-1,-2", "but got '-1,-2'"),
        ("--normalization", "nan,1", "two numbers"),
        ("--normalization", "1,inf", "two numbers"),
        ("--input-shape", "8,x", "positive whole numbers"),
        ("--decomposition", "int4", "choose from"),
    ],
)
def test_malformed_options_are_explained(folder, capsys, option, value, message):
    with pytest.raises(SystemExit):
        main(["convert", "model.keras", "m.tflite", option, value])
    assert message in capsys.readouterr().err
    assert not (folder / "m.tflite").exists()


def test_a_file_that_was_there_stays_when_the_conversion_fails(folder, capsys):
    (folder / "m.tflite").write_bytes(b"old")
    assert main(["convert", "nan.keras", "m.tflite"]) == 2
    capsys.readouterr()
    assert (folder / "m.tflite").read_bytes() == b"old"


@pytest.mark.parametrize(
    "command", [["convert", "model.keras", "m.tflite"], ["demo", "--epochs", "1"]]
)
def test_an_unknown_implementation_is_refused(folder, command):
    # The library chooses once in a process.
    code = "import sys; from kerasbnn.cli import main; sys.stderr = sys.stdout"
    code += f"; print(main({command}))"
    printed = run_python("-c", code, folder=folder, **{delegate.FORCE: "abacus"})
    error, status = printed.splitlines()
    assert error.startswith(f"kerasbnn {command[0]}: ")
    assert f"{delegate.FORCE}=abacus" in error
    assert status == "2"
    assert not list(folder.rglob("*.tflite"))


def test_in_a_process_of_its_own_it_prints_nothing_else(folder):
    code = "import sys; from kerasbnn.cli import main; sys.exit(main(sys.argv[1:]))"
    command = ("convert", folder / "model.keras", folder / "m.tflite")
    printed = run_python("-c", code, *command, folder=folder, TF_CPP_MIN_LOG_LEVEL="0")
    assert printed.startswith("Converted: net to")
    assert printed.rstrip().endswith("m.tflite")
    assert "TensorFlow" not in printed.replace("converted by TensorFlow", "")


def test_it_writes_a_folder_for_larq_compute_engine(folder, capsys):
    options = ["--format", "larq", "--json", "report.json"]
    assert main(["convert", "model.keras", "exported", *options]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert captured.out.splitlines()[-1] == "Written: exported"
    assert (folder / "exported" / "saved_model.pb").is_file()
    report = json.loads((folder / "report.json").read_text("utf-8"))
    packed = [layer["name"] for layer in report["layers"] if layer["packed"]]
    assert (report["format"], packed) == ("larq", ["dense"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model.tflite"], "ends in .tflite, but what is written is a folder"),
        (["exported", "--name", "it"], "--name is for .tflite files"),
        (["exported", "--model-version", "1"], "--model-version is for .tflite"),
        (["exported", "--labels", "labels.txt"], "--labels is for .tflite files"),
        (["exported", "--normalization", "0,1"], "--normalization is for .tflite"),
        (["exported", "--decomposition", "float"], "--decomposition is for .tflite"),
        (["labels.txt"], "is a file or a link, but a SavedModel is a folder"),
        (["no/exported"], "there is no folder 'no'"),
    ],
)
def test_what_does_not_fit_a_folder_is_refused(folder, capsys, arguments, message):
    before = sorted(path.name for path in folder.iterdir())
    command = ["convert", "model.keras", *arguments, "--format", "larq"]
    assert main(command) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert sorted(path.name for path in folder.iterdir()) == before

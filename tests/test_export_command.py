"""The command `kerasbnn export` as its user sees it."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense
from kerasbnn.cli import main
from kerasbnn.runtime import Interpreter
from tests.helpers.converting import BINARY, SIGNS, trained
from tests.helpers.processes import run_python

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="starts TensorFlow here"
)


def network():
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            QuantConv2D(12, 3, name="conv", **BINARY),
            layers.BatchNormalization(name="bn"),
            layers.Flatten(),
            QuantDense(3, name="dense", **SIGNS),
        ],
        name="net",
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with saved models and data, sound and not."""
    folder = tmp_path_factory.mktemp("saved")
    model = trained(network())
    model.save(folder / "model.keras")
    model.get_layer("bn").gamma.assign(np.full(12, np.nan))
    model.save(folder / "nan.keras")
    open_sizes = [keras.Input((None, None, 1)), QuantConv2D(4, 3, **BINARY)]
    keras.Sequential(open_sizes).save(folder / "open.keras")
    pixels = np.random.default_rng(0).integers(0, 256, (90, 8, 8), dtype=np.uint8)
    np.savez(folder / "x.npz", x=pixels)
    np.savez(folder / "few.npz", x=pixels[:9])
    np.savez(folder / "wide.npz", x=pixels[:, :, :5])
    (folder / "labels.txt").write_text("ape\nbee\ncat\n", "utf-8")
    (folder / "two.txt").write_text("ape\nbee\n", "utf-8")
    return folder


@pytest.fixture
def folder(saved, tmp_path, monkeypatch):
    """Work in an empty folder beside links to the saved files."""
    for path in saved.iterdir():
        (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_writes_the_folder_and_says_how_to_serve_it(folder, capsys):
    command = ["export", "model.keras", "my models/zoo/3", "--data", "x.npz"]
    command += ["--range", "0,255", "--labels", "labels.txt", "--json", "report.json"]
    command += ["--normalization", "127.5,127.5", "--max-samples", "80"]
    assert main(command) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    *lines, empty, last = captured.out.splitlines()
    assert lines[0].rstrip() == "Converted: net to my models/zoo/3/model.tflite"
    assert "Exported: zoo, version 3, to my models/zoo/3" in lines
    assert "Audited        2 kernels on 80 samples" in lines
    assert (empty, last) == ("", "Serve it: kerasbnn serve 'my models'")
    assert max(map(len, lines)) <= 100

    model = keras.models.load_model("model.keras")
    pixels = np.load("x.npz")["x"][:80, ..., np.newaxis].astype("float32")
    scaling = {"mean": 127.5, "std": 127.5}
    expected = kerasbnn.export(
        model,
        "expected/zoo/3",
        pixels * (2 / 255) - 1,
        labels=["ape", "bee", "cat"],
        normalization=scaling,
        max_samples=80,
        verbose=0,
    )
    for name in expected.files:
        found = (folder / "my models/zoo/3" / name).read_bytes()
        assert found == (folder / "expected/zoo/3" / name).read_bytes(), name
    values = json.loads((folder / "report.json").read_text("utf-8"))
    assert values["files"] == expected.files
    assert values["folder"] == "my models/zoo/3"


def test_a_model_is_replaced_only_when_asked(folder, capsys):
    command = ["export", "model.keras", "m/net/1", "--data", "x.npz", "--no-verify"]
    assert main(command) == 0
    assert "turned off" in capsys.readouterr().out
    before = (folder / "m/net/1/geometry.json").read_bytes()
    command += ["--range", "0,255"]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert error == (
        "kerasbnn export: 'm/net/1' holds a model already. Name the next version, or "
        "use --overwrite to replace it.\n"
    )
    assert (folder / "m/net/1/geometry.json").read_bytes() == before
    assert main([*command, "--overwrite"]) == 0
    assert (folder / "m/net/1/geometry.json").read_bytes() != before


def test_open_sizes(folder, capsys):
    command = ["export", "open.keras", "m/net/1", "--data", "x.npz"]
    assert main([*command, "--input-shape", "8,8,1"]) == 0
    capsys.readouterr()
    with Interpreter("m/net/1/model.tflite", delegate=False) as file:
        assert file.input_shape == (None, 8, 8, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.keras", "m/net/1", "--data", "x.npz"], "no file 'no.keras'"),
        (["x.npz", "m/net/1", "--data", "x.npz"], "not a model that Keras has saved"),
        (["model.keras", "m/net/1"], "needs --data, a file of inputs"),
        (["model.keras", "m/net/1", "--range", "0,1"], "--range needs --data"),
        (["model.keras", "m/net/1", "--data", "no.npz"], "no file 'no.npz'"),
        (["model.keras", "m/net/1", "--data", "few.npz"], "--data must have at least"),
        (["model.keras", "m/net/1", "--data", "wide.npz"], "--data must hold"),
        (["nan.keras", "m/net/1", "--data", "x.npz"], "Layer 'bn' computes with"),
        (["open.keras", "m/net/1", "--data", "x.npz"], "--input-shape 32,32,3"),
        (["model.keras", "my net/1", "--data", "x.npz"], "Received the name 'my net'"),
        (["model.keras", "x.npz/n/1", "--data", "x.npz"], "Cannot write 'x.npz/n/1'"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(folder, capsys, arguments, message):
    before = sorted(path.name for path in folder.iterdir())
    assert main(["export", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("kerasbnn export: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--labels", "no.txt"], "no file 'no.txt'"),
        (["--labels", "two.txt"], "3 outputs. Received: 2"),
        (["--labels", "model.keras"], "cannot be read as a text file"),
        (["--json", "no/r.json"], "no folder 'no'"),
        (["--json", "."], "is a folder. Name a file"),
        (["--max-samples", "9"], "--max-samples lets 9 be used"),
        (["--max-samples", "0"], "--max-samples must be at least 1"),
    ],
)
def test_options_that_cannot_be_used(folder, capsys, options, message):
    command = ["export", "model.keras", "m/net/1", "--data", "x.npz", *options]
    assert main(command) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (folder / "m").exists()


def test_in_a_process_of_its_own_it_prints_nothing_else(folder):
    code = "import sys; from kerasbnn.cli import main; sys.exit(main(sys.argv[1:]))"
    command = ("export", "model.keras", "m/net/1", "--data", "x.npz")
    printed = run_python("-c", code, *command, folder=folder)
    assert printed.startswith("Converted: net to")
    assert printed.endswith("Serve it: kerasbnn serve m\n")
    assert "\b" not in printed

"""The command `kerasbnn benchmark` as its user sees it."""

import json

import keras
import numpy as np
import pytest

from kerasbnn import QuantConv2D, QuantDense
from kerasbnn.cli import main
from kerasbnn.runtime import delegate
from tests.helpers.converting import BINARY, SIGNS, conv_net, samples_for, trained
from tests.helpers.delegates import has_delegate
from tests.helpers.processes import run_python

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)
QUICK = ["--seconds", "0.1"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a saved model and inputs for it."""
    monkeypatch.chdir(tmp_path)
    model = trained(conv_net())
    model.save("model.keras")
    np.savez("inputs.npz", x_test=samples_for(model, count=9))
    return tmp_path


def test_it_prints_the_table_and_writes_the_picture_and_the_figures(folder, capsys):
    files = ["--plot", "bars.png", "--json", "figures.json"]
    arguments = ["--data", "inputs.npz", "--batch-size", "2", "--max-samples", "8"]
    assert main(["benchmark", "model.keras", *arguments, *files, *QUICK]) == 0
    printed = capsys.readouterr().out
    for text in ("float32 twin", "int8 twin", "packed + delegate", "batch 2, 1 thread"):
        assert text in printed
    assert "Written: bars.png, figures.json" in printed
    figures = json.loads((folder / "figures.json").read_text())
    assert (figures["samples"], figures["are_random"]) == (8, False)
    names = ("packed_stock", "packed_delegate")[: 1 + has_delegate()]
    agreeing = {
        contender["name"]: contender["same_classes"]
        for contender in figures["contenders"]
        if contender["name"] in names
    }
    assert agreeing == dict.fromkeys(names, 1.0)
    assert (folder / "bars.png").read_bytes().startswith(b"\x89PNG")


def test_the_picture_has_a_name_by_default_and_is_drawn_when_asked_for(folder, capsys):
    assert main(["benchmark", "model.keras", *QUICK]) == 0
    assert not list(folder.glob("*.png"))
    assert main(["benchmark", "model.keras", "--threads", "2", *QUICK, "--plot"]) == 0
    assert "Written: benchmark.png" in capsys.readouterr().out
    assert (folder / "benchmark.png").is_file()


def test_images_may_lack_the_axis_of_their_channel(folder, capsys):
    model = keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Flatten(),
            QuantDense(8, **BINARY),
            QuantDense(3, **SIGNS),
        ]
    )
    model.save("gray.keras")
    np.save("gray.npy", np.random.default_rng(0).integers(0, 256, (5, 4, 4)))
    arguments = ["--data", "gray.npy", "--range", "0,255", *QUICK]
    assert main(["benchmark", "gray.keras", *arguments]) == 0
    assert "on 5 samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.keras"], "no file 'no.keras'"),
        (["inputs.npz"], "not a model that Keras has saved"),
        (["model.keras", "--data", "no.npz"], "no file 'no.npz'"),
        (["model.keras", "--data", "wide.npy"], "--data must hold"),
        (["open.keras"], "--input-shape 32,32,3."),
        (["model.keras", "--range", "0,16"], "--range needs --data"),
        (["model.keras", "--key", "x"], "--key needs --data"),
        (["model.keras", "--batch-size", "0"], "--batch-size must be at least 1"),
        (["model.keras", "--threads", "0"], "--threads must be at least 1"),
        (["model.keras", "--seconds", "0"], "--seconds must be greater than 0"),
        (["model.keras", "--input-shape", "5,5,3"], "--input-shape"),
        (["model.keras", "--plot", "no/bars.png"], "no folder 'no'"),
        (["model.keras", "--plot", "bars.xyz"], "gives its format"),
        (["model.keras", "--json", "."], "is a folder"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(folder, capfd, arguments, message):
    np.save("wide.npy", np.ones((4, 9)))
    layer = QuantConv2D(4, 3, **BINARY)
    keras.Sequential([keras.Input((None, None, 3)), layer]).save("open.keras")
    before = sorted(folder.iterdir())
    capfd.readouterr()
    given = [] if "--json" in arguments else ["--json", "figures.json"]
    assert main(["benchmark", *arguments, *given]) == 2
    printed, error = capfd.readouterr()
    # It comes before anything is measured.
    assert not printed
    assert error.startswith("kerasbnn benchmark: ")
    assert message in error
    assert error.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def test_an_unknown_implementation_is_refused(folder):
    # The library chooses once in a process.
    code = "import sys; from kerasbnn.cli import main; sys.stderr = sys.stdout"
    code += f"; print(main(['benchmark', 'model.keras', *{QUICK}]))"
    printed = run_python("-c", code, folder=folder, **{delegate.FORCE: "abacus"})
    *_, error, status = printed.splitlines()
    assert error.startswith("kerasbnn benchmark: ")
    assert f"{delegate.FORCE}=abacus" in error
    assert status == "2"

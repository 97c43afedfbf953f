"""The command `kerasbnn audit` as its user sees it."""

import json

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn.cli import main


@pytest.fixture
def folder(tmp_path, rng, monkeypatch):
    """A folder with a saved model and inputs for it."""
    monkeypatch.chdir(tmp_path)
    binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            kerasbnn.QuantConv2D(4, 3, **binary, name="conv"),
            keras.layers.Flatten(),
            keras.layers.Dense(3, name="head"),
        ]
    )
    model.save("model.keras")
    np.savez("images.npz", x_test=rng.integers(0, 256, (40, 6, 6), dtype="uint8"))
    np.save("x.npy", rng.normal(size=(20, 6, 6, 1)))
    return tmp_path


def test_it_prints_the_table_and_writes_the_reports(folder, capsys):
    arguments = ["--data", "images.npz", "--range", "0,255", "--max-samples", "30"]
    files = ["--html", "g.html", "--json", "g.json", "--markdown", "g.md"]
    assert main(["audit", "model.keras", *arguments, *files]) == 0
    printed = capsys.readouterr().out
    for text in ("conv", "head", "Written: g.html, g.json, g.md"):
        assert text in printed
    report = json.loads((folder / "g.json").read_text())
    assert report["samples"] == 30
    assert [layer["name"] for layer in report["layers"]] == ["conv", "head"]
    x = np.load("images.npz")["x_test"][:30, ..., None] / 127.5 - 1
    model = keras.models.load_model("model.keras")
    expected = kerasbnn.audit(model, x, verbose=0)["conv"].products.pooled
    assert report["layers"][0]["products"]["pooled"] == pytest.approx(
        expected, abs=1e-5
    )
    assert "<html" in (folder / "g.html").read_text()
    assert "conv" in (folder / "g.md").read_text()


def test_without_data_it_looks_at_the_weights(folder, capsys):
    assert main(["audit", "model.keras", "--layers", "conv", "--json", "g.json"]) == 0
    capsys.readouterr()
    (layer,) = json.loads((folder / "g.json").read_text())["layers"]
    assert layer["angles"]["mean"] > 0
    assert layer["products"]["pooled"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["no.keras"], "no file 'no.keras'"),
        (["x.npy"], "not a model that Keras has saved"),
        (["model.keras", "--data", "no.npz"], "no file 'no.npz'"),
        (["model.keras", "--data", "bad.npz"], "not usable"),
        (["model.keras", "--data", "images.npz", "--key", "y"], "has no 'y'"),
        (["model.keras", "--data", "two.npz"], "Name one with --key"),
        (["model.keras", "--data", "text.npy"], "must hold numbers"),
        (["model.keras", "--data", "nan.npy"], "NaN or infinite"),
        (["model.keras", "--data", "wide.npy"], "inputs of shape (9,)"),
        (["model.keras", "--data", "x.npy", "--max-samples", "0"], "--max-samples"),
        (["model.keras", "--data", "x.npy", "--layers", "cnv"], "Did you mean 'conv'"),
        (["model.keras", "--quantizer", "ste_sgn"], "Unknown quantizer"),
        (["model.keras", "--range", "-1,1"], "--range needs --data"),
        (["model.keras", "--key", "x"], "--key needs --data"),
        (["model.keras", "--html", "no/where.html"], "no folder 'no'"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(folder, capsys, arguments, message):
    np.savez("two.npz", a=np.ones((2, 3)), b=np.ones((2, 3)))
    (folder / "bad.npz").write_bytes(b"nonsense")
    np.save("text.npy", np.array([["a"]]))
    np.save("nan.npy", np.full((2, 6, 6, 1), np.nan))
    np.save("wide.npy", np.ones((4, 9)))
    assert main(["audit", *arguments, "--json", "g.json"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("kerasbnn audit: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (folder / "g.json").exists()


def test_a_range_must_ascend(folder, capsys):
    with pytest.raises(SystemExit):
        main(["audit", "model.keras", "--range", "255,0"])
    assert "the lower one first" in capsys.readouterr().err


def test_a_range_may_begin_below_zero(folder, capsys):
    arguments = ["--data", "x.npy", "--json", "g.json"]
    found = []
    for limits in (["--range", "-4,4"], ["--range=-4,4"]):
        assert main(["audit", "model.keras", *arguments, *limits]) == 0
        capsys.readouterr()
        found.append(json.loads((folder / "g.json").read_text())["layers"][0])
    assert found[0] == found[1]
    scaled = float(np.load("x.npy").std() / 4)
    assert found[0]["inputs"]["sd"] == pytest.approx(scaled, rel=0.1)

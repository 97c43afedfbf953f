"""TFMOT's models through the rest: audit, convert, export and the commands."""

import json

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn.cli import main
from kerasbnn.tfmot import from_tfmot
from kerasbnn.tfmot.saved_models import is_from_tfmot
from tests.helpers.processes import run_python
from tests.tfmot.networks import (
    BinaryQuantizeConfig,
    TernaryQuantizer,
    annotate,
    chain,
    inputs_of,
    layers,
    outputs_of,
    quantization,
    scheme_named,
    tf_keras,
    trained,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:Layer .* has a binary kernel without"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
]


def network(scheme):
    binary = BinaryQuantizeConfig("binary", "binary")
    return quantization.quantize_apply(
        chain(
            (8, 8, 1),
            annotate(layers.Conv2D(8, 3, use_bias=False, name="stem")),
            layers.BatchNormalization(name="norm"),
            annotate(layers.Conv2D(12, 3, use_bias=False, name="conv"), binary),
            layers.BatchNormalization(name="norm_2"),
            layers.Flatten(name="flatten"),
            annotate(
                layers.Dense(16, name="dense"),
                BinaryQuantizeConfig(TernaryQuantizer(0.1, scale=True), "binary"),
            ),
            layers.BatchNormalization(name="norm_3"),
            annotate(layers.Dense(4, name="head")),
            name="network",
        ),
        scheme=scheme_named(scheme),
    )


@pytest.fixture(scope="module")
def theirs():
    """A trained network with 8 bits at its ends; tests do not change it."""
    return trained(network("only annotated"), np.random.default_rng(5))


def test_audit_reads_a_model_of_tf_keras(theirs, rng):
    x = inputs_of(theirs, rng, 100)
    report = kerasbnn.audit(theirs, x, verbose=0)
    assert [layer.name for layer in report.layers] == ["stem", "conv", "dense", "head"]
    twin = kerasbnn.audit(from_tfmot(theirs), x, verbose=0)
    for one, other in zip(report.layers, twin.layers, strict=True):
        assert one.angles.mean == other.angles.mean
        assert one.products.pooled == other.products.pooled
    # The angle written out, between the signs and the weights that TFMOT has trained.
    (wrapper,) = (w for w in theirs.layers if w.name == "quant_conv")
    kernel = next(w.numpy() for w in wrapper.weights if "kernel" in w.name)
    w = kernel.reshape(-1, 12).astype("float64")
    cosines = np.abs(w).sum(0) / np.linalg.norm(w, axis=0) / np.sqrt(len(w))
    expected = np.degrees(np.arccos(cosines)).mean()
    assert report["conv"].angles.mean == pytest.approx(expected, abs=1e-3)


def test_audit_reads_a_float_model_of_tf_keras(rng):
    float_model = chain((6,), layers.Dense(5, name="dense"))
    report = kerasbnn.audit(float_model, inputs_of(float_model, rng), verbose=0)
    assert [layer.name for layer in report.layers] == ["dense"]


def test_other_functions_say_how_to_have_a_model_of_keras_3(theirs, tmp_path):
    with pytest.raises(TypeError, match="kerasbnn.tfmot.from_tfmot"):
        kerasbnn.models.summary(theirs)


@pytest.mark.parametrize("scheme", ["only annotated", "default"])
def test_converted_files_predict_the_same(scheme, rng, tmp_path):
    model = trained(network(scheme), rng)
    report = kerasbnn.convert(from_tfmot(model), tmp_path / "network.tflite")
    x = inputs_of(model, rng, 60)
    expected = outputs_of(model, x)
    found = kerasbnn.Interpreter(tmp_path / "network.tflite").predict(x)
    # Half a level of the 8 bits of the head, where a sum is at the edge of one.
    level = np.ptp(expected) / 255
    assert np.mean(np.abs(found - expected) < 1e-5) > 0.98
    np.testing.assert_allclose(found, expected, atol=1.01 * level)
    rows = {row.name: row for row in report.layers}
    assert rows["conv"].weight_bits == 1
    assert rows["stem"].weight_bits == 8


def test_exported_folders_are_served(theirs, rng, tmp_path):
    x = inputs_of(theirs, rng, 100)
    kerasbnn.export(from_tfmot(theirs), tmp_path / "network", data=x)
    (file,) = [
        p for p in (tmp_path / "network").rglob("*.tflite") if "probe" not in p.name
    ]
    found = kerasbnn.Interpreter(file).predict(x)
    np.testing.assert_allclose(found, outputs_of(theirs, x), atol=1e-5)


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_the_commands_read_files_of_tfmot(suffix, theirs, rng, tmp_path, capsys):
    path, data = tmp_path / f"model{suffix}", tmp_path / "x.npy"
    theirs.save(path)
    x = inputs_of(theirs, rng, 30)
    np.save(data, x[..., 0])
    assert is_from_tfmot(path)
    assert (
        main(["audit", str(path), "--data", str(data), "--json", f"{path}.json"]) == 0
    )
    report = json.loads((tmp_path / f"model{suffix}.json").read_text())
    names = [layer["name"] for layer in report["layers"]]
    assert names == ["stem", "conv", "dense", "head"]
    assert report["samples"] == 30
    output = tmp_path / "model.tflite"
    assert main(["convert", str(path), str(output)]) == 0
    found = kerasbnn.Interpreter(output).predict(x)
    np.testing.assert_allclose(found, outputs_of(theirs, x), atol=1e-5)
    assert main(["summary", str(path)]) == 0
    assert "conv" in capsys.readouterr().out


def test_files_of_others_are_told_apart(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save(tmp_path / "three.keras")
    chain((4,), layers.Dense(2)).save(tmp_path / "two.keras")
    chain((4,), layers.Dense(2)).save(tmp_path / "two.h5")
    (tmp_path / "broken.h5").write_bytes(b"\x89HDF\r\n\x1a\nand nothing more")
    (tmp_path / "broken.keras").write_bytes(b"PK")
    for path in tmp_path.iterdir():
        assert not is_from_tfmot(path), path
    assert not is_from_tfmot(tmp_path)
    assert not is_from_tfmot(tmp_path / "missing.h5")


WITHOUT_TFMOT = """
import sys
sys.modules["tensorflow_model_optimization"] = None  # As if it were not installed.
from kerasbnn.cli import main
sys.stderr = sys.stdout
print(main(["audit", sys.argv[1]]))
"""


def test_without_tfmot_the_commands_say_how_to_install_it(theirs, tmp_path):
    theirs.save(tmp_path / "model.keras")
    printed = run_python("-c", WITHOUT_TFMOT, "model.keras", folder=tmp_path)
    message, status = printed.splitlines()[-2:]
    assert status == "2"
    assert "'model.keras' was quantized with TFMOT: kerasbnn.tfmot needs" in message
    assert 'pip install "kerasbnn[tfmot]"' in message


class Unknown(tf_keras.layers.Layer):
    """A layer that no command can know."""

    def call(self, x):
        return x


@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_what_the_commands_cannot_load_is_one_line(suffix, tmp_path, capsys):
    model = quantization.quantize_apply(
        chain(
            (4,),
            annotate(layers.Dense(3, name="dense"), BinaryQuantizeConfig()),
            layers.Activation("hard_sigmoid", name="gate"),
        )
    )
    path = tmp_path / f"model{suffix}"
    model.save(path)
    assert main(["audit", str(path)]) == 2
    error = capsys.readouterr().err.strip()
    assert "'gate' has the activation 'hard_sigmoid'" in error
    assert len(error.splitlines()) == 1
    own = tf_keras.Sequential([*model.layers, Unknown()])
    own.build((None, 4))
    own.save(path)
    assert main(["audit", str(path)]) == 2
    error = capsys.readouterr().err.strip()
    assert "quantize_scope" in error
    assert "kerasbnn.audit(kerasbnn.tfmot.from_tfmot(model))" in error
    assert len(error.splitlines()) == 1

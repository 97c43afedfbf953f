"""The report of a conversion, as text, dict and JSON."""

import io
import json

import keras
import pytest
from keras import layers
from rich.console import Console

import kerasbnn
from kerasbnn import QuantConv2D, QuantConv3D, QuantDense
from kerasbnn.runtime.model_file import read_model_file
from kerasbnn.tflite import ConversionReport
from tests.helpers.converting import BINARY, SIGNS, conv_net, trained

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)

MAGNITUDES = {**SIGNS, "kernel_quantizer": "magnitude_aware_sign"}


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    """A report of layers of several kinds, with its file."""
    path = tmp_path_factory.mktemp("report") / "model.tflite"
    model = keras.Sequential(
        [
            keras.Input((4, 5, 6, 2)),
            QuantConv3D(4, 2, name="volume", **SIGNS),
            layers.Flatten(),
            QuantDense(40, name="first", **{**BINARY, "use_bias": True}),
            layers.BatchNormalization(name="first_bn"),
            QuantDense(33, name="second", **MAGNITUDES),
            layers.BatchNormalization(name="second_bn"),
            QuantDense(9, name="third", **{**SIGNS, "kernel_quantizer": "ste_tern"}),
            layers.Dense(3, name="head"),
        ],
        name="net",
    )
    return kerasbnn.convert(trained(model), path), path


def test_what_it_says_of_each_layer(converted):
    report, path = converted
    rows = {
        layer.name: (layer.packed, layer.weight_bits, layer.inputs, layer.outputs)
        for layer in report.layers
    }
    assert rows == {
        "volume": (False, 32, "floats", "floats"),
        "first": (True, 1, "floats", "floats"),
        # A bias and batch normalization of floats are rounded one by one.
        "first_bn": (False, 32, "floats", "floats"),
        "second": (True, 1, "signs", "bits"),
        "third": (True, 2, "bits", "floats"),
        "head": (False, 32, "floats", "floats"),
    }
    reasons = {layer.name: layer.reason for layer in report.layers}
    assert reasons == {
        "volume": "no packed form of QuantConv3D is known",
        "first": "its kernel has the values -1 and 1",
        "first_bn": "no sign follows that would take it in with the bias of 'first'",
        "second": "its kernel has the values -1 and 1 times a magnitude per channel",
        "third": "its kernel has the values -1, 0 and 1",
        "head": "a layer of Keras, converted by TensorFlow",
    }
    assert report["second"].fused == ("second_bn", "sign")
    with pytest.raises(KeyError, match="No layer 'secnd' in this report. It has: vol"):
        report["secnd"]


def test_bytes_are_those_of_the_file(converted):
    report, path = converted
    assert report.bytes == path.stat().st_size
    stored = {
        placed.label: sum(constant.nbytes for constant in placed.constants)
        for placed in read_model_file(path.read_bytes(), "it").composites
    }
    assert stored == {
        layer.name: layer.bytes for layer in report.layers if layer.packed
    }
    fan_ins = {"first": (240, 40), "second": (40, 33), "third": (33, 9)}
    for name, (inputs, outputs) in fan_ins.items():
        bias = outputs if name == "first" else 0
        assert report[name].float32_bytes == 4 * (inputs * outputs + bias)
    assert report["head"].float32_bytes == 4 * (9 * 3 + 3)
    assert report["head"].bytes is None
    assert report.compression_ratio == report.float32_bytes / report.bytes


def test_the_table(converted):
    report, path = converted
    text = str(report)
    assert text.splitlines()[0].strip().startswith("Converted: net to")
    for name in ("volume (QuantConv3D)", "third (QuantDense)", "head (Dense)"):
        assert name in text
    assert "2 bits" in text
    assert "Not packed" in text
    assert "volume: no packed form of QuantConv3D is known" in " ".join(text.split())
    assert "4 samples, without" in text
    assert "signs" in text
    lines = []
    report.show(print_fn=lines.append)
    assert "\n".join(lines) == text
    console = Console(record=True, width=60, file=io.StringIO())
    report.show(console=console)
    assert "third" in console.export_text()


def test_dict_and_json(converted, tmp_path):
    report, _ = converted
    values = report.to_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["layers"][3]["fused"] == ["second_bn", "sign"]
    assert values["verification"]["samples"] == 4
    path = tmp_path / "report.json"
    assert json.loads(report.to_json(path)) == values
    assert json.loads(path.read_text("utf-8")) == values
    assert ConversionReport.from_dict(json.loads(path.read_text("utf-8"))) == report


def test_without_verification(tmp_path):
    report = kerasbnn.convert(
        trained(conv_net()), tmp_path / "model.tflite", verify_samples=False
    )
    assert report.verification is None
    assert "turned off" in str(report)
    assert ConversionReport.from_dict(report.to_dict()) == report


def test_a_file_without_binary_layers_says_so(tmp_path):
    model = keras.Sequential([keras.Input((8,)), layers.Dense(2, name="head")])
    report = kerasbnn.convert(trained(model), tmp_path / "model.tflite")
    assert not report.has_packed
    assert report.verification.delegate is None
    text = " ".join(str(report).split())
    assert "no binary layer: nothing is packed" in text
    assert "4 samples: outputs differ by at most" in text
    assert "delegate" not in text
    ratio = report.bytes / report.float32_bytes
    assert ratio > 10
    assert f"{ratio:.1f} times larger than the float32 weights" in text


def test_a_file_with_binary_layers_does_not(converted):
    report, path = converted
    assert report.has_packed
    text = " ".join(str(report).split())
    assert "nothing is packed" not in text
    ratio = report.compression_ratio
    assert f"{ratio:.1f} times smaller than the float32 weights" in text


def left_apart(kind):
    """Return a network whose batch normalization stays in floats."""
    x = keras.Input((6, 6, 4))
    normalization = layers.BatchNormalization(name="bn")
    first, second = (
        QuantConv2D(8, 3, padding="same", name=name, **SIGNS)
        for name in ("first", "second")
    )
    y = first(x)
    if kind == "sum":
        y = normalization(layers.Add()([y, second(x)]))
    elif kind == "relu":
        y = normalization(layers.ReLU()(y))
    elif kind == "shared":
        y = layers.Add()([normalization(y), y])
    elif kind == "axis":
        y = layers.BatchNormalization(axis=1, name="bn")(y)
    elif kind == "pooled":
        y = layers.ReLU()(normalization(layers.MaxPooling2D()(y)))
    return keras.Model(x, QuantConv2D(3, 3, name="last", **SIGNS)(y))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("sum", "it follows the sum of two branches, so it stays in floats"),
        ("relu", "it does not directly follow a binary layer, so it stays in floats"),
        ("shared", "the outputs of 'first' before it are needed elsewhere too"),
        ("axis", "it normalizes axis 1, not the last"),
        ("pooled", "it does not directly follow a binary layer, so it stays in floats"),
    ],
)
def test_why_batch_normalization_stays_in_floats(tmp_path, kind, reason):
    report = kerasbnn.convert(trained(left_apart(kind)), tmp_path / "model.tflite")
    assert report["bn"].reason == reason
    assert f"bn: {reason}" in " ".join(str(report).split())

"""A SavedModel is there as a whole or leaves everything as it was."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense
from kerasbnn.tflite import ConversionError, ConversionReport
from kerasbnn.tflite.compute_engine import comparison
from tests.helpers.converting import BINARY, SIGNS, dense_net, samples_for, trained

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow writes SavedModels"
)


@pytest.fixture(scope="module")
def model():
    return trained(dense_net())


def export(model, folder, **options):
    return kerasbnn.convert(model, folder, format="larq", **options)


def content(folder):
    return sorted(path.name for path in folder.iterdir())


def test_nothing_but_the_saved_model_is_left(model, tmp_path):
    report = export(model, tmp_path / "model")
    assert content(tmp_path) == ["model"]
    files = [path for path in (tmp_path / "model").rglob("*") if path.is_file()]
    assert report.bytes == sum(path.stat().st_size for path in files)
    assert report.path == str(tmp_path / "model")
    assert report.format == "larq"


def test_the_report_tells_what_packing_saves(model, tmp_path):
    report = export(model, tmp_path / "model")
    packed = [layer for layer in report.layers if layer.packed]
    assert 0 < len(packed) < len(report.layers)
    large, small = (
        sum(getattr(layer, name) for layer in packed)
        for name in ("float32_bytes", "bytes")
    )
    text = " ".join(str(report).split())
    assert f"in its file, {large / small:.1f} times smaller than in floats" in text
    assert "before Larq Compute Engine packs anything" in text
    assert "than the float32 weights" not in text


def test_another_saved_model_is_replaced(model, tmp_path):
    for net in (model, trained(dense_net(), seed=3)):
        export(net, tmp_path / "model")
    import tensorflow as tf

    x = samples_for(net)
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    (found,) = serve(input_0=tf.constant(x)).values()
    np.testing.assert_allclose(found, net(x), rtol=1e-5, atol=1e-5)
    assert content(tmp_path) == ["model"]


@pytest.mark.parametrize("kind", ["file", "link", "other"])
def test_nothing_else_is_replaced(model, tmp_path, kind):
    folder = tmp_path / "model"
    if kind == "file":
        folder.write_text("mine")
    elif kind == "link":
        folder.symlink_to(tmp_path)
    else:
        folder.mkdir()
        (folder / "notes.txt").write_text("mine")
    before = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    message = "notes.txt" if kind == "other" else "a file or a link"
    with pytest.raises(FileExistsError, match=message):
        export(model, folder)
    after = [path.read_text() for path in tmp_path.rglob("*") if path.is_file()]
    assert after == before


def test_a_folder_above_must_be_there(model, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder '.*no'"):
        export(model, tmp_path / "no" / "model")
    assert not content(tmp_path)


def test_what_differs_is_found_and_leaves_what_was_there(model, tmp_path, monkeypatch):
    export(model, tmp_path / "model")
    before = (tmp_path / "model" / "saved_model.pb").read_bytes()
    is_negative = comparison._is_negative
    monkeypatch.setattr(comparison, "_is_negative", lambda *given: ~is_negative(*given))
    with pytest.raises(ConversionError, match="other signs than in Keras"):
        export(model, tmp_path / "model")
    assert content(tmp_path) == ["model"]
    assert (tmp_path / "model" / "saved_model.pb").read_bytes() == before


def test_wrong_outputs_are_found(model, tmp_path, monkeypatch):
    from kerasbnn.tflite.compute_engine import exporter

    write = exporter.write

    def write_another(exported, folder):
        other = exporter.export(trained(dense_net(), seed=5))
        write(other, folder)

    monkeypatch.setattr(exporter, "write", write_another)
    with pytest.raises(ConversionError, match="Output 'output_0' would differ"):
        export(model, tmp_path / "model")
    assert not content(tmp_path)
    export(model, tmp_path / "model", verify_samples=False)
    assert content(tmp_path) == ["model"]


@pytest.mark.parametrize(
    "option",
    [
        {"name": "it"},
        {"version": "1"},
        {"labels": list("abcdefghij")},
        {"normalization": {"mean": 0, "std": 1}},
        {"decomposition": "float"},
    ],
)
def test_options_of_files_are_refused(model, tmp_path, option):
    (name,) = option
    with pytest.raises(ValueError, match=f"`{name}` is for .tflite files"):
        export(model, tmp_path / "model", **option)
    assert not content(tmp_path)


def test_unknown_formats_are_refused(model, tmp_path):
    with pytest.raises(ValueError, match="`format` must be one of.*'onnx'"):
        kerasbnn.convert(model, tmp_path / "model", format="onnx")


def test_half_precision_is_refused(tmp_path):
    layer = QuantDense(4, dtype="mixed_bfloat16", name="half", **SIGNS)
    model = keras.Sequential([keras.Input((6,)), layer])
    with pytest.raises(ConversionError, match="'half' computes in bfloat16") as caught:
        export(model, tmp_path / "model")
    assert caught.value.layer == "half"
    assert not content(tmp_path)


def test_the_model_is_as_before(model, tmp_path):
    x = samples_for(model)
    before = np.array(model(x))
    attributes = [sorted(vars(layer)) for layer in model.layers]
    export(model, tmp_path / "model")
    assert [sorted(vars(layer)) for layer in model.layers] == attributes
    np.testing.assert_array_equal(model(x), before)
    # The latent weights train on.
    model.compile("sgd", "mse")
    model.fit(x, np.zeros((len(x), 10)), verbose=0)


def test_the_report_survives_json(model, tmp_path):
    report = export(model, tmp_path / "model")
    assert ConversionReport.from_dict(report.to_dict()) == report


def test_the_report_says_what_is_packed_and_why_not(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            QuantConv2D(33, 3, name="first", **BINARY),
            layers.BatchNormalization(name="first_bn"),
            QuantConv2D(40, 3, name="conv", **SIGNS),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(name="conv_bn"),
            layers.Flatten(),
            QuantDense(5, name="last", **{**SIGNS, "kernel_quantizer": "ste_tern"}),
        ],
        name="net",
    )
    report = export(trained(model), tmp_path / "model")
    conv = report["conv"]
    # 33 channels take two words.
    assert conv.bytes == 40 * 9 * 2 * 4 + 40 * 8
    assert (conv.packed, conv.inputs, conv.outputs) == (True, "signs", "floats")
    assert [layer.name for layer in report.layers] == [
        "first",
        "first_bn",
        "conv",
        "last",
    ]
    text = " ".join(str(report).split())
    assert "first: its inputs are not signs" in text
    assert "last: Larq Compute Engine has no form for kernels with zeros" in text
    assert "4 samples, in TensorFlow" in text
    assert "delegate" not in text

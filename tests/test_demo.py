import json
import shlex
import statistics
import subprocess

import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn import datasets, demo
from kerasbnn.cli import main
from kerasbnn.runtime import Interpreter, delegate
from tests.helpers.delegates import has_delegate
from tests.helpers.processes import run_python
from tests.helpers.services import served

IS_CONVERTING = keras.backend.backend() == "tensorflow"
FILE = "models/digits/1/model.tflite"
needs_tensorflow = pytest.mark.skipif(not IS_CONVERTING, reason="TensorFlow converts")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run of the command, and what it printed."""
    import contextlib
    import io

    folder = tmp_path_factory.mktemp("demo")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        status = main(["demo", "--epochs", "3", "--out", str(folder)])
    assert status == 0
    return folder, printed.getvalue()


def test_the_demo_learns_real_images(trained):
    folder, _ = trained
    history = json.loads((folder / "history.json").read_text())
    assert len(history["loss"]) == 3
    assert history["val_accuracy"][-1] > 0.6


def test_the_demo_prints_progress_the_summary_and_the_accuracy(trained):
    _, printed = trained
    assert "1198 training and 599 test images of (8, 8, 1), 10 classes" in printed
    assert "Epoch 3/3" in printed
    assert "19/19" in printed
    assert "1-bit" in printed
    assert "Test accuracy: " in printed


@pytest.mark.parametrize(
    "name",
    ["learning_curve.png", pytest.param("benchmark.png", marks=needs_tensorflow)],
)
def test_the_pictures_are_png_with_something_on_them(trained, name):
    from matplotlib import image

    pixels = image.imread(trained[0] / name)
    assert pixels.shape[1] > 900
    assert pixels[..., :3].std() > 0.05


def test_the_saved_model_is_the_one_that_was_measured(trained):
    folder, printed = trained
    model = keras.models.load_model(folder / "model.keras")
    digits = datasets.load_digits(seed=0)
    scores = model.predict(digits.x_test, batch_size=512, verbose=0)
    accuracy = np.mean(scores.argmax(axis=1) == digits.y_test)
    assert f"Test accuracy: {accuracy:.2%} of 599 images." in printed


def test_every_hidden_layer_has_binary_weights_and_activations(trained):
    model = keras.models.load_model(trained[0] / "model.keras")
    quantized = [layer for layer in model.layers if hasattr(layer, "kernel_roles")]
    assert len(quantized) == 4
    x = datasets.load_digits().x_test[:32]
    for i, layer in enumerate(quantized):
        kernel = ops.convert_to_numpy(layer.quantize_kernel())
        assert set(np.unique(kernel)) == {-1.0, 1.0}
        if i:
            before = keras.Model(model.input, layer.input).predict(x, verbose=0)
            inputs = ops.convert_to_numpy(layer.quantize_inputs(before))
            assert set(np.unique(inputs)) == {-1.0, 1.0}


def test_the_demo_takes_a_file_of_images(tmp_path, capsys):
    digits = datasets.load_digits()
    pixels = {name: getattr(digits, name)[:64] for name in ("x_train", "x_test")}
    labels = {name: getattr(digits, name)[:64] for name in ("y_train", "y_test")}
    np.savez(tmp_path / "my digits.npz", **pixels, **labels)
    out = tmp_path / "my out"
    arguments = ["--data", str(tmp_path / "my digits.npz"), "--out", str(out)]
    assert main(["demo", *arguments, "--epochs", "1"]) == 0
    printed = capsys.readouterr().out
    assert "my digits.npz" in printed
    assert (out / "model.keras").is_file()
    if IS_CONVERTING:
        assert (out / "models" / "my-digits" / "1" / "geometry.json").is_file()
        assert f"kerasbnn serve '{out}/models'" in printed
        assert f"curl --form 'image=@{out}/image.png' http://127.0.0.1" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "no_such.npz"], "no such file"),
        (["--epochs", "0"], "--epochs must be at least 1"),
        (["--seed", "-1"], "--seed must be at least 0"),
    ],
)
def test_bad_arguments_end_before_training(tmp_path, capsys, arguments, message):
    out = tmp_path / "out"
    assert main(["demo", *arguments, "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_bad_file_ends_before_training(tmp_path, capsys):
    (tmp_path / "bad.npz").write_bytes(b"nonsense")
    status = main(["demo", "--data", str(tmp_path / "bad.npz"), "--out", str(tmp_path)])
    assert status == 2
    assert "not usable" in capsys.readouterr().err


def test_more_images_need_fewer_epochs():
    assert demo.default_epochs(1) == 45
    assert demo.default_epochs(10**9) == 3


@needs_tensorflow
def test_the_file_predicts_what_keras_predicts(trained):
    folder, printed = trained
    digits = datasets.load_digits(seed=0)
    model = keras.models.load_model(folder / "model.keras")
    expected = model.predict(digits.x_test, verbose=0).argmax(axis=1)
    accuracy = f"{np.mean(expected == digits.y_test):.2%} right"
    agreement = f"{accuracy}, the class of Keras for 599 of 599"
    for name, uses_delegate in (("in LiteRT", False), ("and our delegate", True)):
        if uses_delegate and not has_delegate():
            continue
        with Interpreter(folder / FILE, delegate=uses_delegate) as file:
            classes = file.predict(digits.x_test).argmax(axis=1)
        np.testing.assert_array_equal(classes, expected)
        (line,) = [line for line in printed.splitlines() if f"{name}  " in line]
        assert line.endswith(agreement)
    assert f"Keras{' ' * 15}{accuracy}" in printed


@needs_tensorflow
def test_the_demo_shows_the_benchmark_and_names_what_it_has_written(trained):
    folder, printed = trained
    _, table = printed.split("What that brings:")
    for text in ("float32 twin", "int8 twin", "packed + delegate", "on 256 samples"):
        assert text in table
    names = ["model.keras", "history.json", "learning_curve.png", "geometry.html"]
    names += ["models/digits/1", "benchmark.png", "image.png"]
    written = "Written: " + ", ".join(str(folder / name) for name in names)
    assert written in table.splitlines()
    tops = {name.partition("/")[0] for name in names}
    assert {path.name for path in folder.iterdir()} == tops


@needs_tensorflow
def test_the_demo_ends_with_the_commands_that_serve(trained):
    folder, printed = trained
    url = "http://127.0.0.1:8000/v2/models/digits"
    assert printed.endswith(
        "Serve it:\n"
        f"  kerasbnn serve {folder}/models\n"
        "and ask it, in another terminal, for a prediction and the geometry:\n"
        f"  curl --form image=@{folder}/image.png {url}/predict\n"
        f"  curl {url}/geometry\n"
        f"  curl {url}/geometry/live\n"
        "or look at it in a browser: http://127.0.0.1:8000/\n"
    )


@needs_tensorflow
def test_the_commands_that_the_demo_prints_work(trained):
    folder, printed = trained
    lines = printed.splitlines()
    (serve,) = (line for line in lines if line.startswith("  kerasbnn serve"))
    asking = [line for line in lines if line.startswith("  curl")]
    with served(*shlex.split(serve)[1:], folder=folder) as url:
        answers = [
            json.loads(
                subprocess.run(
                    shlex.split(line.replace("http://127.0.0.1:8000", url)),
                    stdout=subprocess.PIPE,
                    check=True,
                ).stdout
            )
            for line in asking
        ]
    prediction, geometry, live = answers
    digits = datasets.load_digits(seed=0)
    with Interpreter(folder / FILE, delegate=False) as file:
        scores = file.predict(digits.x_test[:1])
    assert prediction["model_name"] == "digits"
    assert prediction["predictions"][0]["label"] == str(scores.argmax())
    names = ["conv_1", "conv_2", "conv_3", "logits"]
    assert [layer["name"] for layer in geometry["layers"]] == names
    assert [layer["name"] for layer in live["layers"]] == names
    assert live["status"] == "collecting"


@needs_tensorflow
def test_the_image_is_the_held_out_one_as_the_service_will_read_it(trained):
    from PIL import Image

    folder, printed = trained
    digits = datasets.load_digits(seed=0)
    pixels = np.asarray(Image.open(folder / "image.png"))
    assert pixels.shape == (8, 8)
    assert pixels.dtype == np.uint8
    with Interpreter(folder / FILE, delegate=False) as file:
        scaling = file.metadata["normalization"]
    values = (pixels.astype("float32") - scaling["mean"]) / scaling["std"]
    # Half a shade of the 256.
    np.testing.assert_allclose(values, digits.x_test[0, ..., 0], atol=0.5 / 127.4)
    line = f"{folder / 'image.png'} is a held-out image of class {digits.y_test[0]}."
    assert line in printed


@needs_tensorflow
def test_the_exported_files_name_the_model_and_its_classes(trained):
    folder, _ = trained
    with Interpreter(folder / FILE, delegate=False) as file:
        metadata = file.metadata
    assert (metadata["name"], metadata["version"]) == ("digits", "1")
    assert metadata["labels"] == list("0123456789")
    names = {path.name for path in (folder / FILE).parent.iterdir()}
    files = {"model.tflite", "model.probe.tflite", "geometry.json", "labels.txt"}
    assert names == files


@needs_tensorflow
def test_without_the_delegate_the_demo_says_what_is_missing(
    tmp_path, capsys, monkeypatch
):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setattr(delegate, "_folders", lambda: [empty])
    monkeypatch.setattr(delegate, "_loaded", None)
    out = tmp_path / "out"
    assert main(["demo", "--epochs", "1", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "the class of Keras for 599 of 599" in printed
    assert (
        "and our delegate    not there: the native delegate is not installed" in printed
    )
    assert "C++ compiler" in printed
    assert (out / FILE).is_file()
    assert (out / "benchmark.png").is_file()


def test_without_litert_the_demo_trains_and_says_what_is_missing(tmp_path):
    code = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "ai_edge_litert":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
from kerasbnn.cli import main

sys.exit(main(["demo", "--epochs", "1"]))
"""
    printed = run_python("-c", code, folder=tmp_path)
    assert "Not exported. " in printed
    assert "kerasbnn serve" not in printed
    assert "'ai_edge_litert' is not installed. Run: pip install" in printed
    assert (tmp_path / "kerasbnn-demo" / "model.keras").is_file()
    assert not (tmp_path / "kerasbnn-demo" / "models").exists()


@pytest.mark.slow
def test_the_demo_reaches_98_percent():
    # Processors round differently, and each seed holds out other images.
    accuracies = []
    for seed in (0, 1, 2):
        digits = datasets.load_digits(seed=seed)
        _, history = demo.train(digits, seed=seed, verbose=0)
        accuracies.append(history["val_accuracy"][-1])
    assert statistics.median(accuracies) >= 0.98, accuracies

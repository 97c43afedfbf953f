"""The command line: what it prints, how it fails, and what it does not load."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import pytest
from keras import layers

import kerasbnn
from kerasbnn import QuantDense, cli, models

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A saved model with a binary layer."""
    path = tmp_path_factory.mktemp("models") / "model.keras"
    small_model().save(path)
    return path


def small_model():
    return keras.Sequential(
        [
            keras.Input((6,)),
            QuantDense(
                8,
                input_quantizer="ste_sign",
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
                use_bias=False,
                name="binary",
            ),
            layers.BatchNormalization(name="bn"),
        ],
        name="small",
    )


def run_in_a_process(*command, **environment):
    """Run Python in the source tree and return what it wrote and its status."""
    environment = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        env={k: v for k, v in environment.items() if v is not None},
        timeout=200,
        check=False,
    )


def failure(capsys, *arguments):
    """Run a command that must fail, and return its one line."""
    assert cli.main([*map(str, arguments)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    return line


def test_help_and_version_load_no_keras():
    code = """
import sys
from kerasbnn.cli import main
for arguments in (["--version"], ["--help"], ["summary", "--help"], ["demo", "--help"]):
    try:
        main(arguments)
    except SystemExit as exit:
        assert exit.code == 0
heavy = {"keras", "tensorflow", "jax", "torch", "numpy", "rich"} & set(sys.modules)
assert not heavy, heavy
"""
    result = run_in_a_process("-c", code)
    assert result.stderr == ""
    assert result.returncode == 0
    assert result.stdout.startswith(f"kerasbnn {kerasbnn.__version__}\nusage: kerasbnn")
    assert "--input-shape" in result.stdout
    assert "--out" in result.stdout


def test_summary_in_a_process_of_its_own(model_file):
    # As a user has it: no log level set, and a pipe that knows only ASCII.
    result = run_in_a_process(
        *("-m", "kerasbnn", "summary", model_file),
        PYTHONIOENCODING="ascii",
        TF_CPP_MIN_LOG_LEVEL=None,
    )
    assert result.stderr == ""
    assert result.returncode == 0
    assert result.stdout.startswith("Model: small")
    assert "100.00 % of them 1-bit" in result.stdout


def test_summary_prints_what_the_function_prints(model_file, capsys):
    assert cli.main(["summary", str(model_file)]) == 0
    printed = capsys.readouterr().out
    models.summary(keras.models.load_model(model_file))
    assert printed == capsys.readouterr().out


def test_summary_as_json(model_file, capsys):
    assert cli.main(["summary", str(model_file), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == models.summary(small_model(), print_fn=lambda line: None)
    assert printed["totals"]["macs"] == {"1x1": 48}


def test_summary_of_other_formats(model_file, tmp_path, capsys):
    model = keras.models.load_model(model_file)
    model.save(tmp_path / "folder", zipped=False)
    assert cli.main(["summary", str(tmp_path / "folder"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]["weights"] == {
        "1": 48,
        "32": 16,
    }


def test_an_open_size_asks_for_the_option(tmp_path, capsys):
    path = tmp_path / "open.keras"
    keras.Sequential([keras.Input((None, None, 2)), layers.Conv2D(3, 3)]).save(path)
    assert "--input-shape 32,32,3" in failure(capsys, "summary", path)
    line = failure(capsys, "summary", path, "--input-shape", "5,5")
    assert "--input-shape does not match" in line
    for shape in ("5,6,2", "(5, 6, 2)"):
        assert cli.main(["summary", str(path), "--json", "--input-shape", shape]) == 0
        totals = json.loads(capsys.readouterr().out)["totals"]
        assert totals["macs"] == {"32x32": 3 * 4 * 9 * 2 * 3}
    for shape in ("5,6,x", "0,6,2", "", ","):
        with pytest.raises(SystemExit) as exit_status:
            cli.main(["summary", str(path), "--input-shape", shape])
        assert exit_status.value.code == 2
        assert "such as 32,32,3" in capsys.readouterr().err


def test_what_is_no_model_is_said_in_one_line(tmp_path, capsys):
    assert "no file" in failure(capsys, "summary", tmp_path / "missing.keras")
    assert "not a model" in failure(capsys, "summary", tmp_path)
    for name in ("text.keras", "text.h5", "text.txt", "text"):
        (tmp_path / name).write_text("no model")
        assert "not a model" in failure(capsys, "summary", tmp_path / name)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("notes.txt", "no model")
    assert "cannot load" in failure(capsys, "summary", tmp_path / "other.keras")
    model = tmp_path / "cut.keras"
    small_model().save(model)
    model.write_bytes(model.read_bytes()[: model.stat().st_size // 2])
    assert "not a model" in failure(capsys, "summary", model)


class Unknown(layers.Layer):
    """A layer that is not registered, so another process does not know it."""

    def call(self, inputs):
        return inputs


def test_unknown_classes_and_code_in_the_file_are_named(tmp_path, capsys):
    path = tmp_path / "unknown.keras"
    model = keras.Sequential([keras.Input((3,)), Unknown()])
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    # As in a process that has no such module.
    parts["config.json"] = parts["config.json"].replace(__name__.encode(), b"elsewhere")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    line = failure(capsys, "summary", path)
    assert "'Unknown'" in line
    assert "custom_objects" in line
    path = tmp_path / "code.keras"
    keras.Sequential([keras.Input((3,)), layers.Lambda(lambda x: x)]).save(path)
    assert "Lambda" in failure(capsys, "summary", path)


@pytest.mark.parametrize(
    ("command", "advice"),
    [
        (["summary"], 'pip install "kerasbnn[tensorflow]" (or [jax]'),
        (["audit"], 'pip install "kerasbnn[tensorflow]" (or [jax]'),
        # They need TensorFlow whatever the backend.
        (["convert", "m.tflite"], 'pip install "kerasbnn[tflite]".'),
        (["benchmark"], 'pip install "kerasbnn[tflite]".'),
    ],
)
def test_a_missing_backend_is_said_in_one_line(model_file, command, advice):
    name, *further = command
    code = f"""
import sys
class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name == "keras":
            raise ModuleNotFoundError("No module named 'keras'", name="keras")
from kerasbnn.cli import main
sys.meta_path.insert(0, NotInstalled())
sys.exit(main({[name, str(model_file), *further]}))
"""
    result = run_in_a_process("-c", code)
    assert result.returncode == 2
    (line,) = result.stderr.splitlines()
    assert advice in line


def test_errors_of_the_start_are_shown(capfd, monkeypatch):
    def broken(name):
        os.write(2, b"the reason\n")
        raise RuntimeError("no start")

    monkeypatch.setattr(cli.importlib, "import_module", broken)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    with pytest.raises(RuntimeError, match="no start"):
        cli.start_keras()
    assert "the reason" in capfd.readouterr().err
    assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == "3"


def test_a_command_is_needed_and_must_be_known(capsys):
    for arguments in ([], ["nonsense"]):
        with pytest.raises(SystemExit) as exit_status:
            cli.main(arguments)
        assert exit_status.value.code == 2
    assert "demo" in capsys.readouterr().err


def test_a_reader_that_stops_early_is_no_error(model_file):
    code = f"""
import os, sys
reader, writer = os.pipe()
os.close(reader)
os.dup2(writer, 1)
from kerasbnn.cli import main
sys.exit(main(["summary", {str(model_file)!r}, "--json"]))
"""
    result = run_in_a_process("-c", code, TF_CPP_MIN_LOG_LEVEL=None)
    assert result.stderr == ""
    assert result.returncode == 0

"""An export is there as a whole or leaves everything as it was."""

import json
import os
import threading
import time

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import QuantDense, _written_folders
from kerasbnn.exporting import folders
from kerasbnn.tflite import ConversionError
from tests.helpers.converting import BINARY, SIGNS, trained
from tests.helpers.processes import run_python

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="converts several times"
)


def network():
    return trained(
        keras.Sequential(
            [
                keras.Input((6,)),
                QuantDense(9, name="first", **BINARY),
                layers.BatchNormalization(name="bn"),
                QuantDense(3, name="last", **SIGNS),
            ],
            name="net",
        )
    )


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture
def x(rng):
    return rng.normal(size=(80, 6)).astype("float32")


def tree(folder):
    """Return the content of each file below a folder, and None for each folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in sorted(folder.rglob("*"))
    }


def bad_data(x):
    with_nan, with_infinity = x.copy(), x.copy()
    with_nan[70, 3] = np.nan
    with_infinity[0, 0] = -np.inf
    return {
        "NaN": (with_nan, ValueError, "NaN or infinite"),
        "infinity": (with_infinity, ValueError, "NaN or infinite"),
        "wrong width": (x[:, :5], ValueError, r"`data` must hold .*6\)"),
        "too few": (x[:63], ValueError, "at least 64 samples.*Received: 63"),
        "no samples": (x[:0], ValueError, "at least 64 samples.*Received: 0"),
        "text": (x.astype(str), TypeError, "`data` must be an array of numbers"),
        "nothing": (None, TypeError, "Expected arrays"),
        "uneven": (iter([x, x[:, :5]]), ValueError, r"\(5,\).*\(6,\)"),
        "two inputs": ([x, x], ValueError, "`data` must hold"),
    }


@pytest.mark.parametrize("case", list(bad_data(np.zeros((80, 6)))))
@pytest.mark.filterwarnings("ignore:.*invalid value:RuntimeWarning")
def test_data_that_cannot_be_used(model, x, tmp_path, case):
    data, kind, message = bad_data(x)[case]
    with pytest.raises(kind, match=message):
        kerasbnn.export(model, tmp_path / "models" / "net" / "1", data, verbose=0)
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"labels": ["a", "b"]}, ValueError, "3 outputs. Received: 2"),
        ({"labels": ["a", "b\nc", "d"]}, ValueError, "one line of text each"),
        ({"labels": ["a", "", "d"]}, ValueError, "one line of text each"),
        ({"labels": ["a", "\ud800", "d"]}, ValueError, "one line of text each"),
        ({"labels": [1, 2, 3]}, TypeError, "list of strings"),
        ({"labels": "abc"}, TypeError, "list of strings"),
        ({"normalization": {"mean": 0}}, ValueError, "'mean' and 'std'"),
        ({"normalization": {"mean": 0, "std": 0}}, ValueError, "positive"),
        ({"name": 5}, TypeError, "`name` must be a string"),
        ({"version": 1}, TypeError, "`version` must be a string"),
        ({"input_shape": (7,)}, ValueError, "`input_shape`"),
        ({"max_samples": 0}, ValueError, "`max_samples` must be at least 1"),
        ({"max_samples": 63}, ValueError, "lets 63 be used"),
        ({"max_samples": 70.0}, TypeError, "`max_samples` must be an integer"),
    ],
)
def test_options_that_cannot_be_used(model, x, tmp_path, options, kind, message):
    with pytest.raises(kind, match=message):
        kerasbnn.export(model, tmp_path / "net" / "1", x, verbose=0, **options)
    assert tree(tmp_path) == {}


def test_a_model_that_cannot_be_converted(x, tmp_path):
    model = network()
    model.get_layer("bn").gamma.assign(np.full(9, np.nan))
    with pytest.raises(ConversionError, match="'bn'"):
        kerasbnn.export(model, tmp_path / "net" / "1", x, verbose=0)
    assert tree(tmp_path) == {}
    with pytest.raises(TypeError, match="Expected a keras.Model"):
        kerasbnn.export("model.keras", tmp_path / "net" / "1", x)
    assert tree(tmp_path) == {}


def test_a_model_that_is_converted_but_cannot_be_measured(x, tmp_path):
    model = keras.Sequential([keras.Input((6,)), layers.BatchNormalization()])
    kerasbnn.convert(model, tmp_path / "fine.tflite")
    (tmp_path / "fine.tflite").unlink()
    with pytest.raises(ValueError, match="no dense layer or convolution"):
        kerasbnn.export(model, tmp_path / "net" / "1", x, verbose=0)
    assert tree(tmp_path) == {}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_inputs_that_a_model_cannot_compute_with(model, tmp_path):
    # Both files are written by then; it is the geometry that has no numbers.
    x = np.full((80, 6), 3e38, np.float32)
    with pytest.raises(ValueError, match="NaN|infinit|finite"):
        kerasbnn.export(
            model, tmp_path / "net" / "1", x, verify_samples=False, verbose=0
        )
    assert tree(tmp_path) == {}


def test_a_folder_that_is_there_stays(model, x, tmp_path):
    folder = tmp_path / "net" / "1"
    kerasbnn.export(model, folder, x, labels=["a", "b", "c"], verbose=0)
    before = tree(tmp_path)
    # Nothing is read before that is known.
    with pytest.raises(FileExistsError, match="holds a model already.*`overwrite`"):
        kerasbnn.export(model, folder, object(), verbose=0)
    assert tree(tmp_path) == before
    broken = network()
    broken.get_layer("bn").gamma.assign(np.full(9, np.nan))
    with pytest.raises(ConversionError):
        kerasbnn.export(broken, folder, x, overwrite=True, verbose=0)
    assert tree(tmp_path) == before


def test_another_is_put_in_its_place_as_a_whole(model, x, tmp_path):
    folder = tmp_path / "net" / "1"
    kerasbnn.export(model, folder, x, labels=["a", "b", "c"], verbose=0)
    before = tree(tmp_path)
    other = network()
    other.get_layer("last").kernel.assign(-other.get_layer("last").kernel)
    report = kerasbnn.export(other, folder, 2 * x, overwrite=True, verbose=0)
    after = tree(tmp_path)
    # The labels of the old one are not left behind.
    assert set(before) - set(after) == {"net/1/labels.txt"}
    assert set(after) == {"net", "net/1", *(f"net/1/{name}" for name in report.files)}
    for name in report.files:
        assert after[f"net/1/{name}"] != before[f"net/1/{name}"]


def test_an_empty_folder_is_filled(model, x, tmp_path):
    folder = tmp_path / "net" / "1"
    folder.mkdir(parents=True)
    report = kerasbnn.export(model, folder, x, verbose=0)
    assert {path.name for path in folder.iterdir()} == set(report.files)


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_no_export_has_written_is_never_replaced(model, x, tmp_path, overwrite):
    folder = tmp_path / "net" / "1"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").write_text("years of work")
    (folder / "model.tflite").write_text("old")
    before = tree(tmp_path)
    with pytest.raises(FileExistsError, match="no export has written: thesis.tex"):
        kerasbnn.export(model, folder, x, overwrite=overwrite, verbose=0)
    assert tree(tmp_path) == before


def test_files_and_links_are_never_replaced(model, x, tmp_path):
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "1").write_text("a file")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "net" / "2").symlink_to(tmp_path / "elsewhere")
    for version in ("1", "2"):
        with pytest.raises(FileExistsError, match="a file or a link"):
            kerasbnn.export(model, tmp_path / "net" / version, x, overwrite=True)
    assert (tmp_path / "net" / "1").read_text() == "a file"
    assert (tmp_path / "net" / "2").is_symlink()


def test_a_folder_that_comes_while_the_export_runs_stays(model, x, tmp_path):
    folder = tmp_path / "net" / "1"

    def put_another():
        while not list(tmp_path.glob("net/.1.*/1")):
            time.sleep(0.01)
        folder.mkdir()
        (folder / "model.tflite").write_text("of another process")

    thread = threading.Thread(target=put_another, daemon=True)
    thread.start()
    with pytest.raises(FileExistsError, match="holds a model already"):
        kerasbnn.export(model, folder, x, verbose=0)
    thread.join()
    assert tree(tmp_path) == {
        "net": None,
        "net/1": None,
        "net/1/model.tflite": b"of another process",
    }


def test_what_could_not_be_replaced_comes_back(tmp_path):
    old = tmp_path / "old"
    old.mkdir()
    (old / "model.tflite").write_text("old")
    with pytest.raises(FileNotFoundError):
        _written_folders._move(tmp_path / "not there", old, tmp_path / "aside")
    assert tree(tmp_path) == {"old": None, "old/model.tflite": b"old"}


@pytest.mark.parametrize("renames", [1, 2])
def test_an_interrupt_after_each_rename_loses_nothing(tmp_path, monkeypatch, renames):
    folder = tmp_path / "net" / "1"
    folder.mkdir(parents=True)
    (folder / "model.tflite").write_text("old")
    rename, done = os.rename, []

    def interrupted(*paths):
        rename(*paths)
        done.append(paths)
        if len(done) == renames:
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "rename", interrupted)
    with (
        pytest.raises(KeyboardInterrupt),
        folders.written_whole(folder, overwrite=True) as new,
    ):
        (new / "model.tflite").write_text("new")
    content = {1: b"old", 2: b"new"}[renames]
    assert tree(tmp_path) == {
        "net": None,
        "net/1": None,
        "net/1/model.tflite": content,
    }


@pytest.mark.parametrize("place", ["/proc/net/1", "/proc/no/such/net/1"])
def test_places_where_nothing_can_be_written(model, x, place):
    with pytest.raises(OSError, match="Cannot write '/proc/.*you may write"):
        kerasbnn.export(model, place, x, verbose=0)


def test_a_file_where_a_folder_should_be(model, x, tmp_path):
    (tmp_path / "file").write_text("old")
    for folder in ("file/1", "file/net/1", "file/more/net/1"):
        with pytest.raises(OSError, match="Cannot write"):
            kerasbnn.export(model, tmp_path / folder, x, verbose=0)
    assert tree(tmp_path) == {"file": b"old"}


@pytest.mark.parametrize(
    "folder",
    ["my net/1", "net/v 1", "net/ü", ".net/1", "net/.1", f"{'n' * 129}/1", "net/1?"],
)
def test_names_that_a_url_cannot_have(model, x, tmp_path, folder):
    with pytest.raises(ValueError, match="must end in NAME/VERSION"):
        kerasbnn.export(model, tmp_path / folder, x, verbose=0)
    assert tree(tmp_path) == {}


def test_the_name_of_a_url_of_the_service(model, x, tmp_path):
    with pytest.raises(ValueError, match="cannot have the name 'stats'"):
        kerasbnn.export(model, tmp_path / "stats" / "1", x, verbose=0)
    assert tree(tmp_path) == {}
    assert folders.name_and_version(tmp_path / "net" / "stats") == ("net", "stats")


def test_names_of_relative_folders(tmp_path, monkeypatch):
    folder = tmp_path / "models" / "net"
    folder.mkdir(parents=True)
    monkeypatch.chdir(folder)
    assert folders.name_and_version(folders.Path("1.2_rc-3")) == ("net", "1.2_rc-3")
    assert folders.name_and_version(folders.Path("../other/0")) == ("other", "0")
    monkeypatch.chdir("/")
    with pytest.raises(ValueError, match="Received the name ''"):
        folders.name_and_version(folders.Path("1"))


# No file can be larger than the limit, as where a disk is full.
FULL_DISK = """
import json, resource
from pathlib import Path

import keras, numpy as np
import kerasbnn
from tests.exporting.test_folders import tree

binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
model = keras.Sequential([keras.Input((2,)), kerasbnn.QuantDense(900, **binary)])
x = np.random.default_rng(0).normal(size=(70, 2))
sizes = kerasbnn.export(model, "net/1", x, verbose=0).files
before = tree(Path())
most = resource.getrlimit(resource.RLIMIT_FSIZE)
for size in sizes.values():
    for folder in ("net/1", "other/1"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, most[1]))
        try:
            kerasbnn.export(model, folder, x, overwrite=True, verbose=0)
        except Exception as error:
            print(type(error).__name__)
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
        assert tree(Path()) == before
print(json.dumps(list(sizes.values())))
"""


def test_a_full_disk_at_each_step(tmp_path):
    *errors, last = run_python("-c", FULL_DISK, folder=tmp_path).splitlines()
    sizes = json.loads(last)
    # Each limit lets those before it pass.
    assert sizes == sorted(sizes)
    assert len(sizes) == 3
    # TensorFlow has files of its own.
    assert len(errors) == 6
    assert errors[4:] == ["OSError", "OSError"]

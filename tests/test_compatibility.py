"""The check of other releases of LiteRT runs on the installed one, and finds faults."""

import keras
import numpy as np
import pytest
from ai_edge_litert import interpreter as litert

from kerasbnn.runtime import delegate_path
from tests import compatibility
from tests.helpers.delegates import needs_delegate

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A few of the files."""
    folder = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        for name, count in (("SINGLE_COMPOSITES", 12), ("CHAINS", 6), ("NETWORKS", 2)):
            patch.setattr(compatibility, name, count)
        compatibility.write(folder)
    return folder


def test_the_installed_release_is_right(files, capsys):
    assert compatibility.check(files, litert, None) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" files")[0] for line in lines] == ["int8: 20", "float: 20"]
    assert all(", 0 of " in line for line in lines)


@needs_delegate
def test_the_delegate_is_right(files):
    assert compatibility.check(files, litert, delegate_path()) == 0


@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter is deprecated")
def test_the_interpreter_of_tensorflow_is_right(files):
    from tensorflow.lite.python import interpreter

    assert compatibility.check(files, interpreter, None) == 0


def test_a_wrong_value_is_found(files, tmp_path, capsys):
    for kind in ("chain", "network"):
        (path, *_) = sorted(files.glob(f"{kind}_*.npz"))
        arrays = dict(np.load(path))
        name = next(key for key in arrays if key.startswith("out:"))
        arrays[name] = arrays[name].copy()
        largest = arrays[name].max() if kind == "network" else 0
        arrays[name].flat[0] += abs(largest) + 1
        np.savez(tmp_path / path.name, **arrays)
        model = f"{path.stem}.int8.tflite"
        (tmp_path / model).write_bytes((files / model).read_bytes())
    (tmp_path / "broken.int8.tflite").write_bytes(b"TFL3")
    np.savez(tmp_path / "broken.npz")
    assert compatibility.check(tmp_path, litert, None) == 3
    printed = capsys.readouterr().out
    # With XNNPACK and without, at four batch sizes.
    assert printed.count(": 8 of ") == 2
    assert "broken.int8.tflite: " in printed

"""`Probe`: what it takes and refuses, and that it never loads Keras."""

import json
import threading

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense
from kerasbnn.probing import Probe
from kerasbnn.runtime import ModelError
from kerasbnn.tflite.graph import Graph
from tests.helpers.converting import BINARY, SIGNS
from tests.helpers.probing import samples, sequential
from tests.helpers.processes import run_python

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)


@pytest.fixture(scope="module")
def model():
    hidden = QuantConv2D(6, 3, **BINARY)
    flat = keras.layers.Flatten()
    return sequential((8, 8, 2), hidden, flat, QuantDense(5, **SIGNS))


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("probe") / "p.tflite"
    kerasbnn.tflite.probe(model, path)
    return path


def figures(statistics):
    return [
        (layer.products.pooled, layer.products.raw_flips, layer.inputs.sd)
        for layer in statistics.report()
    ]


@pytest.mark.parametrize("batch_size", [1, 7, np.int64(16), 1000])
def test_batches_of_any_size(model, path, batch_size):
    x = samples(model, 33)
    with Probe(path) as probe:
        found = probe.measure(x, batch_size=batch_size)
        assert found.samples == 33
        np.testing.assert_allclose(figures(found), figures(probe.measure(x)), rtol=1e-6)
        halves = probe.measure(x[:20])
        halves.merge(probe.measure(x[20:]))
        np.testing.assert_allclose(figures(found), figures(halves), rtol=1e-6)


def test_bytes_lists_and_no_samples(model, path):
    x = samples(model, 5)
    probe = Probe(path.read_bytes(), num_threads=2)
    expected = figures(Probe(path).measure(x))
    np.testing.assert_allclose(figures(probe.measure(x.tolist())), expected, rtol=1e-6)
    nothing = probe.measure(x[:0])
    assert nothing.samples == 0
    assert nothing.report().layers[0].products.pooled is None


def test_several_threads(model, path):
    x = samples(model, 40)
    probe = Probe(path)
    expected = figures(probe.measure(x))
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(figures(probe.measure(x))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 4


def test_bad_inputs_are_refused(model, path):
    x = samples(model, 4)
    probe = Probe(path)
    with pytest.raises(ValueError, match="shape"):
        probe.measure(x[:, 1:])
    with pytest.raises(ValueError, match="shape"):
        probe.measure(1.0)
    with pytest.raises(ValueError, match="at least 1"):
        probe.measure(x, batch_size=0)
    x[2, 1] = np.inf
    with pytest.raises(ValueError, match="NaN or infinite"):
        probe.measure(x)


def test_other_files_are_refused(model, path, tmp_path):
    kerasbnn.convert(model, tmp_path / "m.tflite")
    with pytest.raises(ModelError, match=r"m\.tflite' is not a probe.*tflite\.probe"):
        Probe(tmp_path / "m.tflite")
    with pytest.raises(ModelError, match=r"not a \.tflite file"):
        Probe(b"something")
    with pytest.raises(FileNotFoundError):
        Probe(tmp_path / "none.tflite")
    graph = Graph(path.read_bytes())
    graph.model.signatureDefs[0].outputs.pop(0)
    with pytest.raises(ModelError, match=r"is damaged: of its outputs .* are missing"):
        Probe(graph.to_bytes())


LOADED = """
import json, sys
import numpy as np
from kerasbnn.probing import Probe
statistics = Probe(sys.argv[1]).measure(np.load(sys.argv[2]))
loaded = {name.partition(".")[0] for name, m in sys.modules.items() if m}
report = statistics.report().to_dict()
print(json.dumps([sorted(loaded), report, len(statistics.activations())]))
"""

ABSENT = """
import sys
class Absent:
    def find_spec(self, name, *_):
        if name.partition(".")[0] in ("keras", "tensorflow"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.mark.parametrize("installed", [True, False])
def test_reading_never_loads_keras(model, path, tmp_path, installed):
    x = samples(model, 20)
    np.save(tmp_path / "x.npy", x)
    code = LOADED if installed else ABSENT + LOADED
    printed = run_python("-c", code, path, tmp_path / "x.npy", folder=tmp_path)
    loaded, report, activations = json.loads(printed.splitlines()[-1])
    unwanted = {"keras", "tensorflow", "rich", "scipy", "matplotlib", "jax", "torch"}
    assert not unwanted & set(loaded)
    assert report == Probe(path).measure(x).report().to_dict()
    assert activations == 1

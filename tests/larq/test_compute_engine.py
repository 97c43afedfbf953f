"""What the real Larq Compute Engine makes of exported models, and what that computes.

It needs an older TensorFlow than kerasbnn, so it runs in an environment of its own: the
variable KERASBNN_TEST_LARQ_PYTHON names the interpreter.
"""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn.tflite import ConversionReport
from tests.helpers.compute_engine_cases import CASES, built
from tests.helpers.compute_engine_models import inputs_of, outputs_of_keras
from tests.helpers.processes import ROOT
from tests.helpers.random_models import RandomModel

PYTHON = "KERASBNN_TEST_LARQ_PYTHON"
RUNNER = ROOT / "tests" / "helpers" / "compute_engine_runner.py"

pytestmark = [
    pytest.mark.skipif(
        PYTHON not in os.environ,
        reason=f"{PYTHON} does not name a Python with larq-compute-engine",
    ),
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="one backend is enough"
    ),
]

RANDOM = range(24)


@dataclass
class Ran:
    """An exported model, and what Larq Compute Engine has made of it."""

    report: ConversionReport
    expected: dict
    is_exact: bool
    folder: Path

    @property
    def made(self) -> dict:
        made = json.loads((self.folder / "report.json").read_text("utf-8"))
        assert "error" not in made, made["error"]
        return made


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """All models by name, converted and run in one process."""
    root = tmp_path_factory.mktemp("larq")
    models = {}
    for number, (name, case) in enumerate(CASES.items()):
        models[name] = export(built(name), root / f"case_{number}", case.is_exact)
    for seed in RANDOM:
        drawn = RandomModel(np.random.default_rng(seed))
        folder = root / f"random_{seed}"
        models[seed] = export(drawn.model, folder, drawn.is_exact)
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in ("PYTHONPATH", "KERAS_BACKEND")
    }
    done = subprocess.run(
        [os.environ[PYTHON], str(RUNNER), str(root)],
        env={**environment, "TF_USE_LEGACY_KERAS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        encoding="utf-8",
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return models


def export(model, folder, is_exact):
    folder.mkdir()
    inputs = inputs_of(model)
    report = kerasbnn.convert(
        model, folder / "model", format="larq", sample_inputs=inputs
    )
    np.savez(folder / "inputs.npz", **inputs)
    return Ran(report, outputs_of_keras(model, inputs), is_exact, folder)


@pytest.mark.parametrize("name", [*CASES, *RANDOM])
def test_it_computes_what_keras_does(ran, name):
    one = ran[name]
    refused = one.made["refused"]
    # The reference refuses zeros around an odd number of channels.
    assert refused in ([], ["reference"])
    with np.load(one.folder / "outputs.npz") as found:
        assert len(found) == (3 - len(refused)) * len(one.expected)
        for key in found:
            compare(found[key], one.expected[key.partition("/")[2]], one)


def compare(found, expected, one):
    assert found.shape == expected.shape
    if one.report.verification.near_ties:
        # Even TensorFlow differs from Keras: sums in another order, next to a sign.
        assert not one.is_exact
    elif one.is_exact:
        np.testing.assert_array_equal(found, expected)
    else:
        scale = max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(found / scale, expected / scale, atol=2e-4)


@pytest.mark.parametrize("name", list(CASES))
def test_it_packs_what_the_report_says(ran, name):
    one = ran[name]
    packed = [layer for layer in one.report.layers if layer.packed]
    operations = one.made["operations"]
    assert operations.get("LceBconv2d", 0) == CASES[name].convolutions
    # Neither bits that nothing reads nor floats made of bits.
    assert "LceDequantize" not in operations
    if name == "called twice":
        # One call writes floats and the other bits, of the same weights.
        assert one.made["constants"] == [64 * 8 + 64 * 4, 64 * 8 + 64 * 8]
    else:
        stored = sum(one.made["constants"])
        assert sum(layer.bytes for layer in packed) == stored


@pytest.mark.parametrize("seed", RANDOM)
def test_it_packs_what_the_report_says_of_random_models(ran, seed):
    one = ran[seed]
    packed = [layer for layer in one.report.layers if layer.packed]
    assert sum(layer.bytes for layer in packed) == sum(one.made["constants"])


@pytest.mark.parametrize("name", ["ones around", "pool last, ones", "reshaping"])
def test_bits_go_from_layer_to_layer(ran, name):
    one = ran[name]
    bits = [layer for layer in one.report.layers if layer.outputs == "bits"]
    operations = one.made["operations"]
    convolutions = operations["LceBconv2d"]
    assert bits
    # Where bits are written, nothing has to take the signs of floats.
    assert operations["LceQuantize"] == convolutions - len(bits)

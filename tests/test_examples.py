"""Every example runs as it is, cut short by Keras' own environment variables."""

import numpy as np
import pytest

from tests.helpers.processes import ROOT, run_python

EXAMPLES = ROOT / "examples"
# What an example must be given, as a file of the folder it runs in.
ARGUMENTS = {
    "binarize_float_model.py": ["--data", "mnist.npz"],
    "mnist_mlp.py": ["--data", "mnist.npz"],
}
# What an example must print, if not this.
PRINTED = {"paper_figures.py": "ternary_angles"}


def write_tiny_mnist(path):
    random = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 200), ("test", 100)):
        arrays[f"x_{split}"] = random.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"y_{split}"] = random.integers(0, 10, count, dtype=np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize("example", sorted(path.name for path in EXAMPLES.glob("*.py")))
def test_example_runs(example, tmp_path):
    write_tiny_mnist(tmp_path / "mnist.npz")
    printed = run_python(
        EXAMPLES / example,
        *ARGUMENTS.get(example, []),
        folder=tmp_path,
        KERAS_MAX_EPOCHS="1",
        KERAS_MAX_STEPS_PER_EPOCH="2",
    )
    assert PRINTED.get(example, "accuracy") in printed


def test_no_example_is_left_out():
    expected = {
        "binarize_float_model.py",
        "custom_quantizer.py",
        "first_layer_whitening.py",
        "mnist_mlp.py",
        "paper_figures.py",
    }
    assert expected <= {path.name for path in EXAMPLES.iterdir()}

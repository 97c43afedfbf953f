"""Every example runs as it is, cut short by Keras' own environment variables."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
# What an example must be given, as a file of the folder it runs in.
ARGUMENTS = {"mnist_mlp.py": ["--data", "mnist.npz"]}


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
    result = subprocess.run(
        [sys.executable, EXAMPLES / example, *ARGUMENTS.get(example, [])],
        cwd=tmp_path,
        env={**os.environ, "KERAS_MAX_EPOCHS": "1", "KERAS_MAX_STEPS_PER_EPOCH": "2"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "accuracy" in result.stdout


def test_no_example_is_left_out():
    assert {"custom_quantizer.py", "mnist_mlp.py"} <= {
        p.name for p in EXAMPLES.iterdir()
    }

"""What does Larq Compute Engine make of a model, exported by Keras and by kerasbnn?

    KERASBNN_TEST_LARQ_PYTHON=larq/bin/python python -m tests.benchmarks.compute_engine

The interpreter named by the variable has larq-compute-engine. Prints a table of bytes,
binary convolutions, and the largest difference from Keras on random inputs whose sums
are exact. Weights are drawn as after training.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras
import numpy as np

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense
from tests.helpers.compute_engine_models import inputs_of, outputs_of_keras
from tests.helpers.converting import BINARY, SIGNS, trained

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "KERASBNN_TEST_LARQ_PYTHON"
COLUMNS = ("network", "exported by", "bytes", "LceBconv2d", "largest difference")


def residual_network():
    """Return a network of residual blocks."""
    layers = keras.layers
    inputs = keras.Input((32, 32, 3))
    x = layers.BatchNormalization()(
        QuantConv2D(64, 3, padding="same", **BINARY)(inputs)
    )
    for _ in range(8):
        conv = QuantConv2D(64, 3, padding="same", pad_values=1, **SIGNS)
        x = layers.Add()([x, layers.BatchNormalization()(conv(x))])
    x = layers.GlobalMaxPooling2D()(x)
    return keras.Model(inputs, QuantDense(10, **SIGNS)(x))


NETWORKS = {
    "BinaryNet, CIFAR-10": kerasbnn.applications.binarynet_cifar10,
    "the same, ones around": lambda: kerasbnn.applications.binarynet_cifar10(
        pad_values=1
    ),
    "8 residual blocks": residual_network,
}


def main():
    if PYTHON not in os.environ:
        sys.exit(f"{PYTHON} must name a Python that has larq-compute-engine.")
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        expected = {}
        for number, (name, build) in enumerate(NETWORKS.items()):
            model = trained(build())
            inputs = inputs_of(model, 8)
            (values,) = outputs_of_keras(model, inputs).values()
            for exporter in ("Keras", "kerasbnn"):
                folder = root / f"{number}_{exporter}"
                folder.mkdir()
                export(model, folder / "model", exporter)
                np.savez(folder / "inputs.npz", **named(folder / "model", inputs))
                expected[folder] = (name, exporter, values)
        runner = ROOT / "tests" / "helpers" / "compute_engine_runner.py"
        environment = {**os.environ, "TF_USE_LEGACY_KERAS": "1"}
        subprocess.run(
            [os.environ[PYTHON], runner, root],
            env=environment,
            check=True,
            stderr=subprocess.DEVNULL,
        )
        print("|", " | ".join(COLUMNS), "|")
        print("|", " | ".join("---" for _ in COLUMNS), "|")
        for folder, (name, exporter, values) in expected.items():
            print("|", " | ".join([name, exporter, *results(folder, values)]), "|")


def export(model, folder, exporter):
    if exporter == "Keras":
        model.export(folder, verbose=False)
    else:
        kerasbnn.convert(model, folder, format="larq")


def named(folder, inputs):
    """Name the only input as the SavedModel does."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(folder)).signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    return {name: next(iter(inputs.values()))}


def results(folder, expected):
    report = json.loads((folder / "report.json").read_text("utf-8"))
    if "error" in report:
        return ["-", "-", f"fails: {report['error']}"]
    with np.load(folder / "outputs.npz") as found:
        differences = [np.abs(found[key] - expected).max() for key in found]
    count = report["operations"].get("LceBconv2d", 0)
    return [f"{report['bytes']:,}", str(count), f"{max(differences):.2g}"]


if __name__ == "__main__":
    main()

"""Print what probes take: bytes of the file, and time per batch on one thread.

    python tests/benchmarks/probe_cost.py

CPU time, so that other work on the machine disturbs it little: of LiteRT, and of adding
up what it yields.
"""

import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from machine import cpu_name

ROUNDS, BATCHES = 7, (1, 64)


def networks():
    """Return networks by name."""
    from kerasbnn.applications import binarynet_cifar10, binarynet_mnist_mlp

    images = {"input_shape": (28, 28, 1), "num_classes": 10}
    return {
        "MLP 784-256-256-10": binarynet_mnist_mlp((784,), 10, units=(256, 256)),
        "conv 32-64-64, dense 10, 28x28": binarynet_cifar10(
            **images, filters=(32, 64, 64), units=(), pad_values=1
        ),
        "BinaryNet CIFAR-10": binarynet_cifar10(),
    }


def cpu_milliseconds(function):
    """Return the median CPU time of some calls."""
    function()
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return 1e3 * np.median(times)


def row(name, model, path):
    """Measure one network and print its row."""
    import kerasbnn
    from kerasbnn.probing import Probe, ProbeStatistics

    report = kerasbnn.tflite.probe(model, path, verify_samples=False)
    runner = Interpreter(model_path=str(path), num_threads=1).get_signature_runner()
    (key,) = runner.get_input_details()
    statistics = ProbeStatistics(Probe(path).description)
    cells = [name, f"{model.count_params():,}", f"{report.size_ratio:.3f}"]
    for size in BATCHES:
        rng = np.random.default_rng(0)
        x = rng.normal(size=(size, *model.input_shape[1:])).astype("float32")
        outputs = runner(**{key: x})
        run = cpu_milliseconds(lambda x=x: runner(**{key: x}))
        add = cpu_milliseconds(lambda o=outputs, n=size: statistics.update(o, n))
        cells.append(f"{run:.1f} + {add:.1f} ms")
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    """Print a Markdown table."""
    print(f"One thread of {cpu_name()}; running + adding up.\n")
    heads = [f"{size} sample{'s' * (size > 1)}" for size in BATCHES]
    print("| | parameters | file / float32 weights | " + " | ".join(heads) + " |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, model in networks().items():
            row(name, model, Path(folder) / "probe.tflite")


if __name__ == "__main__":
    main()

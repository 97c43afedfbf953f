"""Time the audit of BinaryNet for CIFAR-10 against `model.predict` on the same images.

    python tests/benchmarks/audit_speed.py

Both sides run in turn in one process; figures are CPU time, so that other work on the
machine disturbs them little. The audit measures everything, on all images. The peak
memory of audits of more and more images comes from a process for each.
"""

import argparse
import os
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from machine import cpu_name, use_threads

GOAL = 6.0
BATCH_SIZE = 50


def network_and_images(count):
    """Build BinaryNet with fitted batch normalizations, and make images for it."""
    import kerasbnn

    model = kerasbnn.applications.binarynet_cifar10()
    rng = np.random.default_rng(0)
    images = rng.uniform(-1, 1, (count, 32, 32, 3)).astype("float32")
    kerasbnn.models.refit_batchnorm(model, images[:50], batch_size=50, verbose=0)
    return model, images


def audit(model, images):
    """Audit all layers on all images."""
    import kerasbnn

    return kerasbnn.audit(
        model,
        images,
        max_samples=None,
        batch_size=BATCH_SIZE,
        verbose=0,
    )


def cpu_seconds(function, *arguments):
    """Return the CPU seconds that a call takes."""
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start


def compare(count, rounds):
    """Time both sides in turn and print the ratio."""
    model, images = network_and_images(count)

    def predict():
        model.predict(images, batch_size=BATCH_SIZE, verbose=0)

    sides = {
        "model.predict": predict,
        "audit": lambda: audit(model, images),
    }
    model.predict(images[:BATCH_SIZE], batch_size=BATCH_SIZE, verbose=0)
    seconds = {name: [] for name in sides}
    for done in range(rounds):
        for name, side in sides.items():
            print(f"\rround {done + 1} of {rounds}: {name:24}", end="", file=sys.stderr)
            seconds[name].append(cpu_seconds(side))
    print(file=sys.stderr)
    base = np.array(seconds["model.predict"])
    for name, values in seconds.items():
        ratio = np.median(np.array(values) / base)
        print(f"  {name:24} {np.median(values):7.2f} s CPU, {ratio:5.2f} of predict")
    print(f"  (goal: at most {GOAL:.2f})")


def peak_memory(count):
    """Return the peak memory in MiB of a process that audits so many images."""
    code = (
        "import resource, audit_speed as b\n"
        f"b.audit(*b.network_and_images({count}))\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    folder = os.path.dirname(os.path.abspath(__file__))
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, check=True
    ).stdout
    images = count * 32 * 32 * 3 * 4 / 2**20
    return float(printed.split()[-1]) - images


def main():
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--memory", type=int, nargs="*", default=[100, 200, 400])
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    print(f"CPU: {cpu_name()}; threads: {arguments.threads}")
    print(f"BinaryNet for CIFAR-10, {arguments.images} images:")
    compare(arguments.images, arguments.rounds)
    for count in arguments.memory:
        print(
            f"  peak memory, {count} images: {peak_memory(count):6.0f} MiB beside them"
        )


if __name__ == "__main__":
    main()

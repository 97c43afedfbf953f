"""First convolution and last layer of a binary network: float against 8 bits.

    python -m tests.benchmarks.eight_bit_stem_and_head --mnist mnist.npz

Trains the same network with both, on MNIST in the layout of `keras.datasets.mnist`,
saves and loads it, converts it, and predicts all test images from the file. Fails where
the mean accuracy with 8 bits lies further than 0.2 points from that with floats, or
where a file is not smaller.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from kerasbnn import datasets
from tests.helpers.eight_bit_networks import accuracy, shipped, train

GOAL_POINTS = 0.2
KINDS = {"float": False, "8 bits": True}


def measure(images, kind, seed, epochs):
    """Train one network and return its accuracies and the size of its file."""
    start = time.monotonic()
    model = train(images, has_eight_bits=KINDS[kind], epochs=epochs, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        logits, found, report = shipped(model, images, Path(folder))
    print(f"{kind}, seed {seed}: {time.monotonic() - start:.0f} s", file=sys.stderr)
    return {
        "keras": 100 * accuracy(logits, images),
        "file": 100 * accuracy(found, images),
        "differing": int(np.sum(logits.argmax(axis=1) != found.argmax(axis=1))),
        "bytes": report.bytes,
    }


def main():
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mnist", type=Path, required=True, help="the .npz file")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--epochs", type=int, default=4)
    arguments = parser.parse_args()
    images = datasets.load_npz(arguments.mnist)
    table = Table(box=SIMPLE, show_edge=False, pad_edge=False)
    for name in ("Stem and head", "Seed"):
        table.add_column(name)
    for name in ("Keras, %", "File, %", "Other class", "File, bytes"):
        table.add_column(name, justify="right")
    found = {}
    for kind in KINDS:
        found[kind] = [
            measure(images, kind, seed, arguments.epochs) for seed in arguments.seeds
        ]
        for seed, row in zip(arguments.seeds, found[kind], strict=True):
            table.add_row(
                kind,
                str(seed),
                f"{row['keras']:.2f}",
                f"{row['file']:.2f}",
                str(row["differing"]),
                f"{row['bytes']:,}",
            )
    Console().print(table)
    means = {kind: mean(row["file"] for row in rows) for kind, rows in found.items()}
    sizes = {kind: max(row["bytes"] for row in rows) for kind, rows in found.items()}
    difference = means["8 bits"] - means["float"]
    # Of the difference of two means of as many seeds.
    error = sum(
        stdev(row["file"] for row in rows) ** 2 / len(rows) if len(rows) > 1 else 0
        for rows in found.values()
    )
    print(
        f"{len(images.x_test):,} test images, {arguments.epochs} epochs. Mean accuracy "
        f"of the files: {means['float']:.2f} % with floats, {means['8 bits']:.2f} % "
        f"with 8 bits, {difference:+.2f} +- {error**0.5:.2f} points (goal: within "
        f"{GOAL_POINTS}). "
        f"File: {sizes['float'] / sizes['8 bits']:.2f} times smaller."
    )
    if abs(difference) > GOAL_POINTS or sizes["8 bits"] >= sizes["float"]:
        sys.exit("The goal is missed.")


if __name__ == "__main__":
    main()

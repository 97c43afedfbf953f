"""Train the demo's network once for each of five seeds and print all test accuracies.

    python tests/benchmarks/demo_accuracy.py

Each seed holds out another third of the images.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from kerasbnn import datasets, demo


def main():
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    arguments = parser.parse_args()
    accuracies = []
    for seed in arguments.seeds:
        start, cpu_start = time.monotonic(), time.process_time()
        _, history = demo.train(datasets.load_digits(seed), seed=seed, verbose=0)
        accuracies.append(history["val_accuracy"][-1])
        print(
            f"seed {seed}: {accuracies[-1]:.2%} of 599 images, "
            f"{time.monotonic() - start:.0f} s "
            f"({time.process_time() - cpu_start:.0f} s of CPU time)",
            flush=True,
        )
    print(f"median: {statistics.median(accuracies):.2%}  (goal: at least 98 %)")


if __name__ == "__main__":
    main()

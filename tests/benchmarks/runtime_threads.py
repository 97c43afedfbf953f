"""What loading takes, and what threads bring, with `kerasbnn.runtime`.

    python -m tests.benchmarks.runtime_threads [file.tflite]

One thread, and several that share one `Interpreter`, take turns in one process.
"""

import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np

from kerasbnn.runtime import Interpreter, self_test, status
from tests.benchmarks.machine import cpu_name

SECONDS = 0.5
ROUNDS = 9
LOADING = """
import sys, time
begin = time.perf_counter()
import kerasbnn.runtime
kerasbnn.runtime.Interpreter(sys.argv[1])
print(time.perf_counter() - begin)
"""


def calls_per_second(model, inputs, threads):
    """Return how many calls so many threads make together in a second."""
    end = time.perf_counter() + SECONDS
    counts = []

    def work():
        count = 0
        while time.perf_counter() < end:
            model.predict(inputs)
            count += 1
        counts.append(count)

    workers = [threading.Thread(target=work) for _ in range(threads)]
    begin = time.perf_counter()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / (time.perf_counter() - begin)


def loading_seconds(path):
    """Return what import and `Interpreter(path)` take in a new process."""
    times = [
        float(
            subprocess.run(
                [sys.executable, "-W", "ignore", "-c", LOADING, str(path)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout
        )
        for _ in range(5)
    ]
    return statistics.median(times)


def main():
    here = Path(self_test.__file__).parent / self_test.MODEL
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else here
    print(f"{cpu_name()}, {os.cpu_count()} threads")
    print(f"{status()}\n")
    print(f"import and Interpreter({path.name!r}): {loading_seconds(path):.3f} s")
    model = Interpreter(path)
    rng = np.random.default_rng(0)
    signature = next(iter(model.signatures.values()))
    for batch in (1, 8):
        inputs = {
            name: rng.normal(size=(batch, *spec.shape[1:])).astype(np.float32)
            for name, spec in signature.inputs.items()
        }
        counts = (1, 2, os.cpu_count() or 1)
        rates = {threads: [] for threads in counts}
        for _ in range(ROUNDS):
            for threads, found in rates.items():
                found.append(calls_per_second(model, inputs, threads))
        for threads, found in rates.items():
            ratios = [a / b for a, b in zip(found, rates[1], strict=True)]
            print(
                f"batch {batch}, {threads} threads: {statistics.median(found):,.0f} "
                f"calls/s, {statistics.median(ratios):.2f} times one thread"
            )


if __name__ == "__main__":
    main()

"""How often clean digits warn of drift, and digits that are not.

    python -m tests.benchmarks.drift_alarms [--windows 1000] [--samples 64]

Windows of held-out images are drawn at random and compared with the reference of the
packaged model, as the service compares live ones.
"""

import argparse

import numpy as np

from kerasbnn.probing import Drift, Observation
from tests.probing.digits import DRIFTS, held_out, packaged


def main():
    """Print the share of windows that warn, for clean images and for each change."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=1000, help="of clean images")
    parser.add_argument("--samples", type=int, default=64, help="of a window")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)

    def warning(x, windows):
        return sum(
            bool(Drift.of(Observation.measure(*packaged(), x[chosen])).warnings)
            for chosen in (
                rng.choice(len(x), arguments.samples, replace=False)
                for _ in range(windows)
            )
        )

    x = held_out()
    print("| images | windows | that warn |\n|---|---|---|")
    count = warning(x, arguments.windows)
    print(f"| clean | {arguments.windows} | {count} |")
    few = max(arguments.windows // 20, 1)
    for name, (change, _) in DRIFTS.items():
        print(f"| {name} | {few} | {warning(change(x), few)} |", flush=True)


if __name__ == "__main__":
    main()

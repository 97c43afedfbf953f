"""The rows that a benchmark prints: a name, a goal, a figure, and whether it is met."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version

LIBRARIES = ("kerasbnn", "fastapi", "uvicorn", "ai-edge-litert", "numpy")
# In a process of its own, for it loads Keras.
CPU_NAME = "from kerasbnn.benchmarking.machine import cpu_name; print(cpu_name())"


def print_machine(libraries=LIBRARIES):
    """Print what the figures come from."""
    cpu = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CPU_NAME],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        check=True,
    ).stdout.strip()
    found = [f"Python {platform.python_version()}"]
    for name in libraries:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    print(f"{cpu}, {os.cpu_count()} processors")
    print(", ".join(found) + "\n", flush=True)


class Rows:
    """A table in Markdown; prints a row as soon as it is known."""

    def __init__(self):
        self.missed = 0
        print("| | goal | measured | |\n|---|---|---|---|")

    def add(self, name, goal, measured, is_met=None):
        """Print a row; `is_met` is None where there is no goal."""
        word = {None: "", True: "ok", False: "MISSED"}[is_met]
        self.missed += is_met is False
        print(f"| {name} | {goal} | {measured} | {word} |", flush=True)

    @property
    def status(self) -> int:
        """Exit status: 1 where a goal is missed."""
        return int(self.missed > 0)

"""The native kernels against the most that the processor can do.

    python -m tests.benchmarks.native_kernels

The peak is exclusive or, count of ones and addition, all in registers. It is measured
in turns with the kernels by `popcount_peak.cc`, which needs g++ and AVX-512 VPOPCNTDQ.
All run on one thread.
"""

import ctypes
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from kerasbnn.runtime.composites import BITS, CONV_2D, DENSE, FLOAT, Composite
from tests.benchmarks.machine import cpu_name
from tests.helpers.composite_cases import random_case
from tests.helpers.native_operations import NativeOperation, implementations

ROUNDS = 100
SAME = {"kernel_h": 3, "kernel_w": 3, "same": 1}

# Name, composite, size of the image.
LAYERS = [
    (f"3x3 {size}x{size} {channels} -> {channels}, {padding}, bits to bits", c, size)
    for size, channels in ((56, 64), (28, 128), (14, 256), (7, 512))
    for padding, value in (("padded with 1", 1), ("with 0", 0))
    for c in [
        Composite(CONV_2D, channels, channels, **SAME, pad_value=value, output=BITS)
    ]
] + [
    ("3x3 28x28 128 -> 128, bits to floats", Composite(CONV_2D, 128, 128, **SAME), 28),
    (
        "3x3 28x28 128 -> 128, ternary, bits to bits",
        Composite(CONV_2D, 128, 128, **SAME, weight_bits=2, output=BITS),
        28,
    ),
    (
        "3x3 32x32 3 -> 128, floats to bits",
        Composite(CONV_2D, 3, 128, **SAME, input=FLOAT, output=BITS),
        32,
    ),
    ("dense 1024 -> 1024, batch 1", Composite(DENSE, 1024, 1024, output=BITS), None),
    ("dense 4096 -> 4096, batch 1", Composite(DENSE, 4096, 4096, output=BITS), None),
]


def load_peak(folder):
    """Compile the loop of the peak."""
    source = Path(__file__).with_name("popcount_peak.cc")
    path = Path(folder) / "popcount_peak.so"
    flags = ["-O2", "-mavx512f", "-shared", "-fPIC"]
    subprocess.run(["g++", *flags, "-o", str(path), str(source)], check=True)
    peak = ctypes.CDLL(str(path)).run_peak
    peak.restype, peak.argtypes = ctypes.c_double, [ctypes.c_long]
    return peak


def products_of(case, output):
    """Return how many products of two values a layer adds up."""
    composite = case.composite
    positions = output.size // output.shape[-1]
    return positions * composite.out_channels * composite.fan_in


def main():
    names = implementations()
    print(f"{cpu_name()}; {', '.join(names)}")
    if names[0] == "generic":
        sys.exit("This processor has no AVX-512 VPOPCNTDQ.")
    layers = []
    rng = np.random.default_rng(0)
    for label, composite, size in LAYERS:
        case = random_case(rng, composite, 1, size and (size, size))
        for name in names:
            operation = NativeOperation(composite, name)
            output = operation(case.x, case.filters, case.scale, case.bias)
            layers.append((label, name, operation, products_of(case, output)))
    with tempfile.TemporaryDirectory() as folder:
        peak = load_peak(folder)
        best = [float("inf")] * len(layers)
        best_peak = 0.0
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            products = peak(10_000)
            best_peak = max(best_peak, products / (time.perf_counter() - begin))
            for number, (*_, operation, _) in enumerate(layers):
                begin = time.perf_counter()
                operation.run()
                best[number] = min(best[number], time.perf_counter() - begin)
    print(f"peak: {best_peak / 1e9:,.0f} G products/s (best of {ROUNDS}, as below)\n")
    for (label, name, _, products), seconds in zip(layers, best, strict=True):
        rate = products / seconds
        print(
            f"{label:<48} {name:<17} {seconds * 1e6:8.1f} us {rate / 1e9:7,.0f} G/s "
            f"{rate / best_peak:6.1%}"
        )


if __name__ == "__main__":
    main()

"""Writes valid inputs for `fuzz_delegate`, to start from.

    python -m tests.runtime.native.make_corpus FOLDER

Each is a composite: three bytes that choose its name and tensors, one byte for each
tensor, and its attributes as a file holds them. All but the last are random.
"""

import sys
from pathlib import Path

import numpy as np
from flatbuffers import flexbuffers

from kerasbnn.runtime.composites import BITS, CONV_2D, NAMES, Composite
from tests.helpers.composite_cases import random_composite

COUNT = 200


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        name = NAMES[number % len(NAMES)]
        composite = random_composite(rng, name)
        choices = rng.integers(16, 240, 6, np.uint8)
        _write(folder / f"composite_{number:03}", composite, choices)
    # The target gives a tensor 1 MiB at most, and this residual says that it is larger.
    large = Composite(CONV_2D, 1, 1024, output=BITS, residual=1)
    _write(folder / "large_residual", large, [238] * 6)


def _write(path, composite, choices):
    header = bytes([NAMES.index(composite.name), 1 + len(choices), 0, *choices])
    attributes = bytes(flexbuffers.Dumps(composite.attributes()))
    path.write_bytes(header + attributes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

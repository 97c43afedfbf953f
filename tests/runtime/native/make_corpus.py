"""Writes valid inputs for `fuzz_delegate`, to start from.

    python -m tests.runtime.native.make_corpus FOLDER

Each is a random composite: three bytes that choose its name and tensors, one byte for
each tensor, and its attributes as a file holds them.
"""

import sys
from pathlib import Path

import numpy as np
from flatbuffers import flexbuffers

from kerasbnn.runtime.composites import NAMES
from tests.helpers.composite_cases import random_composite

COUNT = 200


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        name = NAMES[number % len(NAMES)]
        composite = random_composite(rng, name)
        choices = rng.integers(16, 240, 6, np.uint8)
        header = bytes([NAMES.index(name), 1 + len(choices), 0, *choices])
        attributes = bytes(flexbuffers.Dumps(composite.attributes()))
        (folder / f"composite_{number:03}").write_bytes(header + attributes)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

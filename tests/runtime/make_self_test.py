"""Writes the file that `kerasbnn.runtime.self_test` runs: run this after a change.

python -m tests.runtime.make_self_test
"""

import io
from pathlib import Path

import numpy as np

import kerasbnn.runtime
from kerasbnn.runtime.composites import (
    BITS,
    CONV_2D,
    DENSE,
    DEPTHWISE_CONV_2D,
    FLOAT,
    SIGN_OF_FLOAT,
    Composite,
)
from kerasbnn.runtime.self_test import MODEL, VALUES
from tests.helpers.composite_cases import random_case
from tests.helpers.composite_reference import reference
from tests.helpers.tflite_models import model_of

KERNEL = {"kernel_h": 3, "kernel_w": 3, "same": 1}
POOL = {"pool_h": 2, "pool_w": 2, "pool_stride_h": 2, "pool_stride_w": 2}
# The inputs of each are the outputs of the one before.
LAYERS = [
    Composite(CONV_2D, 5, 33, **KERNEL, input=FLOAT, output=BITS),
    Composite(
        CONV_2D, 33, 40, **KERNEL, **POOL, pad_value=1, weight_bits=2, output=BITS
    ),
    Composite(DEPTHWISE_CONV_2D, 40, 40, **KERNEL, pad_value=-1, residual=1),
    Composite(
        CONV_2D,
        *(40, 64),
        **KERNEL,
        **POOL,
        groups=2,
        pool_first=1,
        input=SIGN_OF_FLOAT,
        output=BITS,
    ),
    Composite(DENSE, 64 * 9, 33, weight_bits=2, output=BITS),
    Composite(DENSE, 33, 5),
]
SIZES = {0: (13, 13), 1: (13, 13), 2: (6, 6), 3: (6, 6)}


def make():
    """Return the file and the values of its inputs and outputs by name."""
    rng = np.random.default_rng(0)
    cases = [
        random_case(rng, layer, batch=2, size=SIZES.get(number))
        for number, layer in enumerate(LAYERS)
    ]
    # Numbers that are the same in all channels are stored once.
    cases[1].bias[:] = -0.5
    cases[4].scale[:] = 1
    values = {"x": cases[0].x}
    y = cases[0].x
    for number, case in enumerate(cases):
        if case.composite.name == DENSE:
            y = y.reshape(2, -1)
        if case.residual is not None:
            values[f"residual_{number}"] = case.residual
        y = reference(
            case.composite, y, case.weights, case.scale, case.bias, case.residual
        )
        values[f"y_{number}"] = y
    return model_of(cases), values


def main():
    content, values = make()
    folder = Path(kerasbnn.runtime.__file__).parent
    (folder / MODEL).write_bytes(content)
    stored = io.BytesIO()
    np.savez_compressed(stored, **values)
    (folder / VALUES).write_bytes(stored.getvalue())


if __name__ == "__main__":
    main()

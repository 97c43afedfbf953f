"""What the range quantizers are compared with TFMOT on: inputs of some steps."""

import itertools

import numpy as np

CLASSES = ("LastValueQuantizer", "MovingAverageQuantizer", "AllValuesQuantizer")
BITS = (2, 3, 8, 13, 16)
KINDS = ("any", "positive", "negative", "zero", "constant", "tiny", "empty channel")
# Whether each step is one of training.
STEPS = (False, True, True, False)


def cases():
    """Yield the name, the class, the arguments, the kind and the shape of each case.

    TFMOT's moving average refuses `per_axis`.
    """
    arguments = itertools.product(BITS, (False, True), (False, True), (False, True))
    combined = itertools.product(CLASSES, arguments, KINDS)
    for number, (cls, (bits, per_axis, symmetric, narrow), kind) in enumerate(combined):
        if per_axis and cls == "MovingAverageQuantizer":
            continue
        shape = ((6, 5), (2, 2, 2, 3))[number % 2]
        yield f"{number}", cls, (bits, per_axis, symmetric, narrow), kind, shape


def steps_of(name, kind, shape):
    """Yield the inputs, the upstream gradient and `training` of each step of a case."""
    rng = np.random.default_rng(int(name))
    for number, training in enumerate(STEPS):
        # Whole numbers, which every version of numpy draws alike.
        x = rng.integers(-1000, 1001, shape) / rng.integers(50, 1000)
        if kind == "positive":
            x = abs(x)
        elif kind == "negative":
            x = -abs(x)
        elif kind == "zero":
            x = 0 * x
        elif kind == "constant":
            x = np.full(shape, 0.37 * (-1) ** number)
        elif kind == "tiny":
            x = 1e-20 * x
        elif kind == "empty channel":
            x[..., 0] = 0
        upstream = rng.integers(1, 100, shape) / 8
        yield x.astype("float32"), upstream.astype("float32"), training

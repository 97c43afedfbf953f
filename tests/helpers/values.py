"""Inputs for tests of quantizers: boundary values and random ones."""

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

# Subnormal numbers are left out: TensorFlow and JAX take them for 0.
TINY = float(np.finfo("float32").tiny)


def boundary_values(*limits):
    """Zeros, infinities, and each limit with its float32 neighbours, of both signs."""
    values = [0.0, -0.0, TINY, 1e-20, 1e-8, 0.25, 3.0, 100.0, 3e38, np.inf]
    for limit in (1.0, *filter(None, limits)):
        limit = np.float32(limit)
        values += [
            float(limit),
            float(np.nextafter(limit, np.float32(0))),
            float(np.nextafter(limit, np.float32(np.inf))),
        ]
    return np.array(values + [-value for value in values])


def float32_arrays(shape, magnitude=4.0):
    """Hypothesis strategy: arrays of one shape, so that operations compile once."""
    elements = st.floats(
        -magnitude, magnitude, width=32, allow_nan=False, allow_subnormal=False
    )
    return hnp.arrays("float32", shape, elements=elements)

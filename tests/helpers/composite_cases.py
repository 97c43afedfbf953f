"""Random composites with data, for whatever computes them."""

from dataclasses import dataclass

import numpy as np

from kerasbnn.runtime.bitpacking import pack_bits, pack_ternary
from kerasbnn.runtime.composites import (
    BITS,
    CONV_2D,
    DENSE,
    DEPTHWISE_CONV_2D,
    FLOAT,
    NAMES,
    SIGN_OF_FLOAT,
    Composite,
)


@dataclass(frozen=True, eq=False)
class Case:
    """A composite and what it is computed with."""

    composite: Composite
    x: np.ndarray
    weights: np.ndarray
    scale: np.ndarray
    bias: np.ndarray
    residual: np.ndarray | None

    @property
    def filters(self):
        pack = pack_bits if self.composite.weight_bits == 1 else pack_ternary
        return pack(self.weights)


def random_composite(rng, name=None, **given):
    """Draw a composite; `given` fixes some of its attributes."""
    name = name or NAMES[rng.integers(3)]
    groups = 1
    inside = int(rng.choice([1, 2, 3, 7, 31, 32, 33, 64, 70]))
    outside = int(rng.choice([1, 3, 16, 17, 32, 40, 65]))
    if name == CONV_2D and rng.random() < 0.25:
        groups = int(rng.choice([2, 3]))
        inside, outside = inside * groups, outside * groups
    if name == DEPTHWISE_CONV_2D:
        outside = inside * int(rng.choice([1, 1, 2, 3]))
    values = {
        "in_channels": inside,
        "out_channels": outside,
        "groups": groups,
        "weight_bits": int(rng.choice([1, 1, 2])),
        "input": int(rng.choice([BITS, SIGN_OF_FLOAT, FLOAT])),
        "output": int(rng.choice([BITS, FLOAT])),
    }
    if name != DENSE:
        stride = int(rng.choice([1, 1, 2, 3]))
        dilation = int(rng.choice([1, 2])) if stride == 1 else 1
        values |= {
            "kernel_h": int(rng.integers(1, 4)),
            "kernel_w": int(rng.integers(1, 4)),
            "stride_h": stride,
            "stride_w": stride,
            "dilation_h": dilation,
            "dilation_w": dilation,
            "same": int(rng.integers(2)),
        }
        values["pad_value"] = int(rng.integers(-1, 2)) if values["same"] else 0
        if rng.random() < 0.4:
            values |= {
                "pool_h": int(rng.integers(1, 4)),
                "pool_w": int(rng.integers(1, 4)),
                "pool_stride_h": int(rng.integers(1, 3)),
                "pool_stride_w": int(rng.integers(1, 3)),
                "pool_same": int(rng.integers(2)),
                "pool_first": int(rng.integers(2)),
            }
    if not values.get("pool_h") and rng.random() < 0.3:
        values["residual"] = 1
    return Composite(name, **{**values, **given})


def random_case(rng, composite, batch=2, size=None):
    """Draw data for a composite, with ties and zeros among it."""
    channels, outputs = composite.in_channels, composite.out_channels
    shape = (batch, channels)
    if composite.name != DENSE:
        size = size or (int(rng.integers(10, 14)), int(rng.integers(10, 14)))
        shape = (batch, *size, channels)
    if composite.input == FLOAT:
        # Sums of multiples of 1/256 are exact in any order.
        x = (rng.integers(-256, 257, shape) / 256).astype(np.float32)
    else:
        x = rng.normal(size=shape).astype(np.float32)
        x[rng.random(shape) < 0.05] = 0.0
        x[rng.random(shape) < 0.05] = -0.0
        if composite.input == BITS:
            x = pack_bits(x)
    levels = [-1, 1] if composite.weight_bits == 1 else [-1, 0, 1]
    weights_shape = {
        DENSE: (outputs, channels),
        CONV_2D: (
            outputs,
            composite.kernel_h,
            composite.kernel_w,
            channels // composite.groups,
        ),
        DEPTHWISE_CONV_2D: (composite.kernel_h, composite.kernel_w, outputs),
    }[composite.name]
    weights = rng.choice(levels, weights_shape).astype(np.int8)
    scale = rng.choice([-3, -1, 0.25, 0.5, 1, 0.1, -0.7, 0, 1e-30], outputs)
    fan_in = composite.fan_in
    # Half of the channels decide at a value that a dot product can be.
    ties = -scale * rng.integers(-fan_in, fan_in + 1, outputs)
    bias = np.where(rng.random(outputs) < 0.5, ties, rng.normal(size=outputs))
    scale, bias = scale.astype(np.float32), bias.astype(np.float32) + np.float32(0)
    residual = None
    if composite.residual:
        x_shape = (*shape[:-1], 1)
        residual_shape = (*composite.output_shape(x_shape)[:-1], outputs)
        residual = (rng.integers(-512, 513, residual_shape) / 64).astype(np.float32)
    return Case(composite, x, weights, scale, bias, residual)

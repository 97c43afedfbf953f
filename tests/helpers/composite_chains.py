"""Random chains of composites, each computed on the outputs of the one before."""

import dataclasses

from kerasbnn.runtime.composites import (
    BITS,
    CONV_2D,
    DENSE,
    DEPTHWISE_CONV_2D,
    FLOAT,
    SIGN_OF_FLOAT,
    Composite,
)
from tests.helpers.composite_cases import random_case
from tests.helpers.composite_reference import reference


def expected_of(case, batch=None):
    """Return what a case computes, of its first samples."""
    residual = None if case.residual is None else case.residual[:batch]
    x = case.x[:batch]
    return reference(case.composite, x, case.weights, case.scale, case.bias, residual)


def case_on(rng, composite, x):
    """Draw weights for a composite, for given inputs."""
    sizes = x.shape[1:3] if x.ndim == 4 else None
    case = random_case(rng, composite, batch=len(x), size=sizes)
    return dataclasses.replace(case, x=x)


def random_chain(rng, batch=5):
    """Draw two convolutions with bits between them, and a dense layer.

    Args:
        rng: Generator.
        batch: Number of samples.

    Returns:
        The cases, each with the outputs of the one before as inputs.
    """
    inside, between, flat = (int(rng.choice([1, 3, 31, 32, 33, 64])) for _ in range(3))
    first = Composite(
        CONV_2D,
        inside,
        between,
        kernel_h=3,
        kernel_w=2,
        same=1,
        pad_value=int(rng.integers(-1, 2)),
        input=int(rng.choice([BITS, SIGN_OF_FLOAT, FLOAT])),
        output=BITS,
        pool_h=2,
        pool_w=2,
        pool_stride_h=2,
        pool_stride_w=2,
        pool_first=1,
    )
    cases = [random_case(rng, first, batch)]
    name = CONV_2D if rng.random() < 0.7 else DEPTHWISE_CONV_2D
    second = Composite(
        name,
        between,
        flat if name == CONV_2D else between,
        kernel_h=2,
        kernel_w=3,
        same=int(rng.integers(2)),
        pad_value=0,
        weight_bits=int(rng.integers(1, 3)),
        output=BITS,
    )
    cases.append(case_on(rng, second, expected_of(cases[-1])))
    x = expected_of(cases[-1])
    outputs = int(rng.choice([1, 10, 33]))
    if second.out_channels % 32:
        # Tail bits lie between the pixels, so that flat bits would not be a vector.
        taps = {"kernel_h": x.shape[1], "kernel_w": x.shape[2]}
        last = Composite(CONV_2D, second.out_channels, outputs, **taps)
    else:
        x = x.reshape(len(x), -1)
        last = Composite(DENSE, 8 * x.shape[1], outputs)
    cases.append(case_on(rng, last, x))
    return cases


def inputs_of_chain(cases, batch=None):
    """Return the inputs of the file of a chain by name."""
    inputs = {"x": cases[0].x[:batch]}
    for number, case in enumerate(cases):
        if case.residual is not None:
            inputs[f"residual_{number}"] = case.residual[:batch]
    return inputs


def outputs_of_chain(cases, batch=None):
    """Return the right outputs of the file of a chain by name."""
    return {f"y_{i}": expected_of(case, batch) for i, case in enumerate(cases)}

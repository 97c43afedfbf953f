"""Kernels are told apart by their values."""

import numpy as np
import pytest

from kerasbnn.tflite.packable_kernels import packable_kernel


def kernel_of(*rows):
    return np.array(rows, np.float32)


def test_binary_without_magnitudes():
    kernel = packable_kernel(kernel_of([1, -1], [-1, -1]))
    assert kernel.bits == 1
    assert kernel.scale is None
    assert kernel.signs.dtype == np.int8
    assert kernel.signs.tolist() == [[1, -1], [-1, -1]]


def test_binary_with_magnitudes():
    kernel = packable_kernel(kernel_of([0.25, -3], [-0.25, -3]))
    assert kernel.bits == 1
    assert kernel.scale.tolist() == [0.25, 3]


def test_ternary_and_unipolar():
    kernel = packable_kernel(kernel_of([1, 0], [0, 2], [-1, 2]))
    assert kernel.bits == 2
    assert kernel.signs.tolist() == [[1, 0], [0, 1], [-1, 1]]
    assert kernel.scale.tolist() == [1, 2]


def test_a_channel_of_zeros_has_scale_zero():
    kernel = packable_kernel(kernel_of([0, 1], [0, -1]))
    assert kernel.bits == 1
    assert kernel.scale.tolist() == [0, 1]


@pytest.mark.parametrize("value", [0.5, np.nan, np.inf])
def test_others_are_refused_with_a_reason(value):
    reason = packable_kernel(kernel_of([1, value], [1, 1]))
    assert isinstance(reason, str)
    expected = "more than one magnitude" if value == 0.5 else "NaN or infinite"
    assert expected in reason


@pytest.mark.parametrize("shape", [(7, 3), (3, 3, 5, 4), (2, 4, 6)])
def test_parts_multiply_to_the_kernel(shape):
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.1, 2, shape[-1]).astype(np.float32)
    for levels in ([-1, 1], [-1, 0, 1]):
        values = (rng.choice(levels, shape) * scale).astype(np.float32)
        kernel = packable_kernel(values)
        assert kernel.bits == len(levels) - 1
        np.testing.assert_array_equal(kernel.signs * kernel.scale, values)

"""Thresholds and the forms of signs, against numpy written out."""

import keras
import numpy as np
import pytest

from kerasbnn.tflite.compute_engine.chains import Chain, decision

LARGEST = 45
NASTY = np.float32([0, -0.0, 1e-30, -1e-30, -1, 0.1, -0.1, 1e6, -1e5, 3.7])


def random_step(rng, channels):
    scale = np.where(rng.random(channels) < 0.5, rng.choice(NASTY, channels), 1)
    shift = np.round(rng.normal(size=channels) * 20) * rng.choice([0.5, 0.1, 1])
    return scale.astype(np.float32), shift.astype(np.float32)


def computed(step, x):
    """Multiply and add as TensorFlow does: rounded twice, subnormal numbers are 0."""
    for operation, other in zip((np.multiply, np.add), step, strict=True):
        tiny = np.finfo(np.float32).tiny
        other = np.where(np.abs(other) < tiny, np.float32(0), other)
        x = operation(x, other)
        x = np.where(np.abs(x) < tiny, np.float32(0), x)
    return x


@pytest.mark.parametrize("is_pooled", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_thresholds_decide_as_the_rounded_arithmetic(seed, is_pooled):
    rng = np.random.default_rng(seed)
    channels = 64
    early = [random_step(rng, channels) for _ in range(rng.integers(0, 3))]
    late = [random_step(rng, channels) for _ in range(rng.integers(0, 3))]
    chain = Chain(None, channels, LARGEST)
    # Windows of four dot products, of every size of the first.
    dots = rng.integers(-LARGEST, LARGEST + 1, size=(200, 4, channels))
    dots[: 2 * LARGEST + 1, :] = np.arange(-LARGEST, LARGEST + 1)[:, None, None]
    dots = expected = dots.astype(np.float32)
    for step in early:
        chain, expected = chain.with_step(*step), computed(step, expected)
    if is_pooled:
        chain = chain.with_pool(((2, 2), (2, 2), "VALID"))
        assert chain is not None
        expected = expected.max(axis=1)
    for step in late:
        chain, expected = chain.with_step(*step), computed(step, expected)
    found = decision(chain)
    values = found.scale * dots + found.bias
    if is_pooled:
        values = values.max(axis=1)
    assert (values != 0).all()
    assert (np.abs(values * 2) % 2 == 1).all()
    signs = np.where(values >= 0, 1, -1)
    if found.flips is not None:
        signs = signs * found.flips
    np.testing.assert_array_equal(signs, np.where(expected >= 0, 1, -1))


def test_a_second_pooling_ends_a_chain():
    pool = ((2, 2), (2, 2), "VALID")
    chain = Chain(None, 1, 3).with_pool(pool)
    assert chain is not None
    assert chain.with_pool(pool) is None


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's operations"
)
@pytest.mark.parametrize("never_minus_zero", [False, True])
def test_both_forms_of_a_sign(never_minus_zero):
    import tensorflow as tf

    from kerasbnn.tflite.compute_engine import operations

    tiny = np.finfo(np.float32).tiny
    x = np.float32([0, -0.0, tiny, -tiny, 1e-6, -1e-6, 1, -1, np.inf, -np.inf])
    expected = np.where(x >= 0, 1, -1)
    found = operations.recognised_signs(tf.constant(x), never_minus_zero)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(operations.plain_signs(tf.constant(x)), expected)


def test_sign_bits_after_the_difference_that_compute_engine_makes_of_the_form():
    from kerasbnn.tflite.compute_engine.operations import _JUST_BELOW_ZERO

    tiny = np.finfo(np.float32).tiny
    x = np.float32([0, -0.0, tiny, -tiny, 1, -1])
    # With subnormal numbers and, as some processors do, without.
    for limit in (np.float32(_JUST_BELOW_ZERO), np.float32(-0.0)):
        np.testing.assert_array_equal(np.signbit(x - limit), x < 0)

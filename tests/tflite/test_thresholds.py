"""Thresholds against the expression itself, at every integer."""

import numpy as np
import pytest

from kerasbnn.tflite.thresholds import Step, directions, evaluate, thresholds

CHANNELS = 40


def random_step(rng):
    scale = rng.normal(size=CHANNELS) * 10.0 ** rng.integers(-40, 4, size=CHANNELS)
    shift = rng.normal(size=CHANNELS) * 10.0 ** rng.integers(-4, 4, size=CHANNELS)
    scale[rng.random(CHANNELS) < 0.1] = 0
    return Step(
        scale.astype(np.float32) if rng.random() < 0.8 else None,
        shift.astype(np.float32) if rng.random() < 0.8 else None,
    )


def assert_same_signs(steps, largest):
    scale, bias = thresholds(steps, CHANNELS, largest)
    assert scale.dtype == bias.dtype == np.float32
    dots = np.arange(-largest, largest + 1, dtype=np.float32)[:, None]
    dots = np.broadcast_to(dots, (len(dots), CHANNELS))
    y = dots * scale + bias
    assert not (y == 0).any()
    np.testing.assert_array_equal(y < 0, evaluate(steps, dots) < 0)


@pytest.mark.parametrize("seed", range(60))
def test_signs_are_the_same_at_every_integer(seed):
    rng = np.random.default_rng(seed)
    steps = [random_step(rng) for _ in range(rng.integers(0, 4))]
    assert_same_signs(steps, int(rng.integers(1, 700)))


def test_exact_ties_are_positive():
    dots = np.arange(CHANNELS, dtype=np.float32) - 20
    for scale in (0.5, -0.5, 3, -1e-3):
        factors = np.full(CHANNELS, scale, np.float32)
        assert_same_signs([Step(factors, -factors * dots)], 30)


def test_zero_and_subnormal_factors_are_constants():
    for scale in (0.0, -0.0, 1e-40, -1e-42):
        for shift in (0.0, -0.0, 1.0, -1.0, 1e-40, -1e-40):
            step = Step(
                np.full(CHANNELS, scale, np.float32),
                np.full(CHANNELS, shift, np.float32),
            )
            assert_same_signs([step], 9)


def test_large_fan_ins_are_exact():
    rng = np.random.default_rng(0)
    steps = [random_step(rng), random_step(rng)]
    largest = 2**21
    scale, bias = thresholds(steps, CHANNELS, largest)
    # Next to where the sign changes, and at random.
    edges = np.floor(np.where(scale > 0, -bias, bias))
    near = np.stack([edges + offset for offset in range(-3, 4)])
    far = rng.integers(-largest, largest + 1, size=(1000, CHANNELS))
    dots = np.clip(np.concatenate([near, far]), -largest, largest).astype(np.float32)
    np.testing.assert_array_equal(dots * scale + bias < 0, evaluate(steps, dots) < 0)


def test_directions_multiply():
    falling = Step(np.array([-1.0, 2.0], np.float32), None)
    shift = Step(None, np.array([5.0, -5.0], np.float32))
    assert directions([falling, shift], 2).tolist() == [-1, 1]
    assert directions([falling, falling], 2).tolist() == [1, 1]


def test_steps_round_as_tensorflow_does():
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow to compare with")
    rng = np.random.default_rng(1)
    mean, beta = rng.normal(size=(2, CHANNELS)).astype(np.float32)
    variance = rng.uniform(0.1, 900, size=CHANNELS).astype(np.float32)
    gamma = rng.normal(size=CHANNELS).astype(np.float32)
    inverse = (tf.math.rsqrt(variance + np.float32(1e-3)) * gamma).numpy()
    step = Step(inverse, (beta - mean * inverse).astype(np.float32))
    x = rng.integers(-500, 501, size=(200, CHANNELS)).astype(np.float32)
    expected = tf.nn.batch_normalization(x, mean, variance, beta, gamma, 1e-3).numpy()
    np.testing.assert_array_equal(evaluate([step], x), expected)

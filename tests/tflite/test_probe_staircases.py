"""Staircases against numpy: quantized weights that follow from thresholds."""

import numpy as np
import pytest

from kerasbnn.tflite.probes.staircases import MOST_STEPS, Staircase, find_staircase


def quantized(kind, w):
    scale = np.abs(w).mean(axis=1, keepdims=True)
    if kind == "sign":
        return np.where(w < 0, -1, 1)
    if kind == "magnitude":
        return np.where(w < 0, -scale, scale)
    if kind == "ternary":
        return np.sign(w) * (np.abs(w) > 0.3)
    if kind == "ternary per filter":
        return scale * np.sign(w) * (np.abs(w) > 0.7 * scale)
    if kind == "four bits":
        return np.round(np.clip(w, -1, 1) * 7.5 - 0.5) / 7.5
    return np.abs(w) > 0.5  # not monotone


KINDS = (
    *("sign", "magnitude", "ternary", "ternary per filter", "four bits"),
    "not monotone",
)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (7, 9), (16, 300)])
@pytest.mark.parametrize("kind", KINDS)
def test_it_gives_each_weight_its_value(rng, kind, shape):
    w = rng.normal(0, 0.5, size=shape).astype(np.float32)
    w.ravel()[::5] = 0
    w.ravel()[1::7] = -0.0
    q = quantized(kind, w).astype(np.float32)
    found = find_staircase(w, q)
    np.testing.assert_array_equal(found(w), q)
    assert len(found.values) <= MOST_STEPS


def test_signs_need_one_threshold_for_all_filters(rng):
    w = rng.normal(size=(7, 30)).astype(np.float32)
    found = find_staircase(w, quantized("magnitude", w).astype(np.float32))
    np.testing.assert_array_equal(found.thresholds, [[0]])
    assert found.values.shape == (2, 7)
    found = find_staircase(w, quantized("sign", w))
    np.testing.assert_array_equal(found.values, [[-1], [1]])


def test_filters_of_one_sign():
    w = np.array([[0.1, 0.2], [-0.1, -0.2], [0.3, -0.3], [0, 0]], np.float32)
    q = np.where(w < 0, -2, 2)
    np.testing.assert_array_equal(find_staircase(w, q)(w), q)
    positive = w[[0, 3]]
    np.testing.assert_array_equal(find_staircase(positive, q[[0, 3]])(positive), 2)


def test_what_is_no_staircase(rng):
    w = rng.normal(size=(3, 200)).astype(np.float32)
    signs = rng.choice([-1, 1], size=w.shape)
    signs[0, :2] = -1, 1
    assert "by itself" in find_staircase(w, signs)
    assert "by itself" in find_staircase(w, w)
    # Equal weights, unequal values.
    assert "by itself" in find_staircase(np.zeros((1, 2), np.float32), signs[:1, :2])
    w[1, 1] = np.inf
    assert "NaN or infinite" in find_staircase(w, np.sign(w))


def test_a_staircase_by_hand():
    steps = Staircase(
        np.array([[-1], [1]], np.float32), np.array([[5], [6], [7]], np.float32)
    )
    w = np.array([[-2, -1, 0, 1, 2]], np.float32)
    np.testing.assert_array_equal(steps(w), [[5, 6, 6, 7, 7]])

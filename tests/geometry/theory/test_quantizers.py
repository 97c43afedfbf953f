"""Quantizers of Gaussian numbers against tables, their conditions, and samples."""

import math
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry import theory
from kerasbnn.geometry.theory import quantizers

# Levels, angle in degrees, distortion.
LLOYD_MAX = [
    (2, 37.07144, 0.363380),
    (3, 25.85464, 0.190174),
    (4, 20.04489, 0.117482),
    (5, 16.42372, 0.079941),
    (6, 13.93291, None),
    (7, 12.10845, None),
    (8, 10.71188, 0.034548),
    (9, 9.60722, None),
    (15, 5.94769, None),
    (16, 5.59368, 0.009501),
    (31, 2.95864, None),
    (32, 2.86866, None),
    (64, 1.45443, None),
    (128, 0.73260, None),
]
# Levels, angle in degrees, step.
UNIFORM = [
    (4, 20.166, 0.99569),
    (5, 16.658, None),
    (7, 12.502, None),
    (8, 11.157, 0.58602),
    (15, 6.519, None),
    (16, 6.168, 0.33520),
    (31, 3.484, None),
    (255, 0.5384, None),
]
SOME = [2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 31, 64, 127, 255, 256, 1024]


@pytest.mark.parametrize(("k", "angle", "distortion"), LLOYD_MAX)
def test_lloyd_max_table(k, angle, distortion):
    quantizer = theory.lloyd_max_quantizer(k)
    assert quantizer.angle_degrees == pytest.approx(angle, abs=5.1e-6)
    if distortion is not None:
        assert quantizer.distortion == pytest.approx(distortion, abs=5.1e-7)


def test_levels_of_the_table():
    quantizer = theory.lloyd_max_quantizer(3)
    np.testing.assert_allclose(quantizer.levels, [-1.224006, 0, 1.224006], atol=5.1e-7)
    np.testing.assert_allclose(quantizer.thresholds, [-0.612003, 0.612003], atol=5e-7)
    quantizer = theory.lloyd_max_quantizer(4)
    np.testing.assert_allclose(quantizer.levels[2:], [0.452780, 1.510418], atol=5.1e-7)
    np.testing.assert_allclose(quantizer.thresholds[1:], [0, 0.981599], atol=5.1e-7)


@pytest.mark.parametrize("k", SOME)
def test_lloyd_max_meets_both_of_its_conditions(k):
    q = theory.lloyd_max_quantizer(k)
    assert len(q.levels) == k == len(q.thresholds) + 1
    np.testing.assert_array_equal(q.levels, -q.levels[::-1])
    between = (q.levels[1:] + q.levels[:-1]) / 2
    np.testing.assert_allclose(q.thresholds, between, atol=1e-12)
    for i in range(k // 2, k):
        low = q.thresholds[i - 1]
        high = q.thresholds[i] if i < k - 1 else math.inf
        mean = (phi(low) - phi(high)) / (tail(low) - tail(high))
        assert q.levels[i] == pytest.approx(mean, abs=1e-9)
    assert q.angle_degrees == pytest.approx(
        theory.quantizer_angle_degrees(q.levels, q.thresholds), abs=1e-9
    )


def test_many_levels_follow_the_formula_of_panter_and_dite():
    # D k^2 rises to pi sqrt(3) / 2 by a correction of the order of 1 / k. Figures of
    # 0.36949 and 0.36807 degrees for 255 and 256 levels come from an iteration that is
    # stopped early: they are larger, and off this smooth approach.
    products = [k * k * theory.lloyd_max_quantizer(k).distortion for k in SOME[4:]]
    assert np.all(np.diff(products) > 0)
    assert products[-1] == pytest.approx(math.pi * math.sqrt(3) / 2, rel=3e-3)
    assert theory.lloyd_max_quantizer(256).angle_degrees == pytest.approx(
        0.367702, abs=1e-6
    )
    assert theory.lloyd_max_quantizer(255).angle_degrees == pytest.approx(
        0.369138, abs=1e-6
    )


@pytest.mark.parametrize(("k", "angle", "step"), UNIFORM)
def test_uniform_table(k, angle, step):
    quantizer = theory.uniform_quantizer(k)
    digits = 4 if k == 255 else 3
    assert quantizer.angle_degrees == pytest.approx(angle, abs=0.51 * 10**-digits)
    if step is not None:
        assert quantizer.step == pytest.approx(step, abs=5.1e-6)


@pytest.mark.parametrize("k", SOME)
def test_uniform_is_the_best_of_its_kind(k):
    q = theory.uniform_quantizer(k)
    steps = np.diff(q.levels)
    np.testing.assert_allclose(steps, q.step, rtol=1e-10)
    assert theory.lloyd_max_quantizer(k).step is None
    np.testing.assert_allclose(
        q.thresholds, (q.levels[1:] + q.levels[:-1]) / 2, atol=1e-12
    )
    assert q.angle_degrees >= theory.lloyd_max_quantizer(k).angle_degrees - 1e-9
    for factor in (0.3, 0.9, 0.99, 1.01, 1.1, 2.0):
        other = theory.quantizer_angle_degrees(q.levels, factor * q.thresholds)
        assert other > q.angle_degrees or k == 2
    assert q.angle_degrees == pytest.approx(
        theory.quantizer_angle_degrees(q.levels, q.thresholds), abs=1e-9
    )


def test_two_and_three_levels_are_uniform():
    for k in (2, 3):
        np.testing.assert_allclose(
            theory.uniform_quantizer(k).levels,
            theory.lloyd_max_quantizer(k).levels,
            atol=1e-12,
        )


# Angles in degrees of one to four binary terms, from samples.
@pytest.mark.parametrize(
    ("bits", "angle"), [(1, 37.07), (2, 20.80), (3, 13.47), (4, 9.91)]
)
def test_greedy_table(bits, angle):
    assert theory.greedy_quantizer(bits).angle_degrees == pytest.approx(angle, abs=0.02)


@pytest.mark.parametrize("bits", [1, 2, 3, 4, 5, 8])
def test_greedy_against_samples(bits, rng):
    u = rng.normal(size=1_000_000)
    q, factors = np.zeros_like(u), []
    for _ in range(bits):
        rest = u - q
        factors.append(np.mean(np.abs(rest)))
        q = q + factors[-1] * np.where(rest < 0, -1, 1)
    quantizer = theory.greedy_quantizer(bits)
    cosine = np.mean(u * q) / np.sqrt(np.mean(u * u) * np.mean(q * q))
    # The samples are one vector; binarized it has a standard error of 0.02 degrees, and
    # less with more bits.
    assert math.degrees(math.acos(cosine)) == pytest.approx(
        quantizer.angle_degrees, abs=0.08 if bits == 1 else 0.03
    )
    assert quantizer.distortion == pytest.approx(np.mean((u - q) ** 2), rel=0.01)
    mine = quantizer.levels[np.searchsorted(quantizer.thresholds, u)]
    # They differ where a sampled threshold is a little off.
    assert np.mean((mine - q) ** 2) < 1e-3


def test_the_first_greedy_bit_is_the_sign():
    one, two = theory.greedy_quantizer(1), theory.lloyd_max_quantizer(2)
    np.testing.assert_allclose(one.levels, two.levels, rtol=1e-14)
    assert one.angle_degrees == pytest.approx(theory.LIMIT_ANGLE_DEGREES, abs=1e-12)


@given(
    st.lists(st.floats(-4, 4), min_size=1, max_size=6, unique=True),
    st.floats(0.1, 10),
    st.data(),
)
def test_angle_of_any_quantizer(thresholds, scale, data):
    t = np.sort(np.round(thresholds, 3))
    if np.any(np.diff(t) == 0):
        return
    size = len(t) + 1
    q = data.draw(st.lists(st.floats(-3, 3), min_size=size, max_size=size))
    q = np.round(q, 3)
    if not np.any(q):
        return
    edges = [-math.inf, *t, math.inf]
    cells = list(zip(edges[:-1], edges[1:], strict=True))
    product = sum(x * (phi(a) - phi(b)) for x, (a, b) in zip(q, cells, strict=True))
    square = sum(
        x * x * (tail(a) - tail(b)) for x, (a, b) in zip(q, cells, strict=True)
    )
    cosine = max(-1.0, min(1.0, product / math.sqrt(square)))
    assert theory.quantizer_angle_degrees(scale * q, t) == pytest.approx(
        math.degrees(math.acos(cosine)), abs=1e-5
    )


def test_sign_and_ternary_are_quantizers():
    assert theory.quantizer_angle_degrees([-1, 1], [0]) == pytest.approx(
        theory.LIMIT_ANGLE_DEGREES, rel=1e-14
    )
    for t in (0.1, 0.612, 1.5):
        assert theory.quantizer_angle_degrees([-1, 0, 1], [-t, t]) == pytest.approx(
            float(theory.ternary_angle_degrees(t)), rel=1e-12
        )
    assert theory.quantizer_angle_degrees([1, -1], [0]) > 90
    # Levels for the far tail only, where one less the lower tail would be 0.
    far = theory.quantizer_angle_degrees([0, 1], [12.0])
    assert 89.9 < far < 90


def test_quick_and_kept():
    quantizers._lloyd_max.cache_clear()
    quantizers._uniform.cache_clear()
    start = time.perf_counter()
    first = theory.lloyd_max_quantizer(256), theory.uniform_quantizer(256)
    # A few milliseconds; the limit leaves room for a busy machine.
    assert time.perf_counter() - start < 1
    assert theory.lloyd_max_quantizer(256) is first[0]
    assert theory.uniform_quantizer(np.int64(256)) is first[1]
    for values in (first[0].levels, first[0].thresholds, first[1].levels):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0


def test_bad_arguments():
    for function in (theory.lloyd_max_quantizer, theory.uniform_quantizer):
        for k in (1, 0, -2, 1025):
            with pytest.raises(ValueError, match=f"from 2 to 1024. Received: {k}"):
                function(k)
        with pytest.raises(TypeError):
            function(4.0)
    for bits in (0, 13):
        with pytest.raises(ValueError, match=f"from 1 to 12. Received: {bits}"):
            theory.greedy_quantizer(bits)
    angle = theory.quantizer_angle_degrees
    for levels, thresholds in (
        ([1, 2, 3], [0.0]),
        ([1, 2, 3], [1.0, 1.0]),
        ([1, 2, 3], [1.0, 0.0]),
        (1.0, []),
    ):
        with pytest.raises(ValueError, match="must be an ascending vector"):
            angle(levels, thresholds)
    with pytest.raises(ValueError, match="All levels are 0"):
        angle([0, 0], [0.0])
    with pytest.raises(ValueError, match="`levels` must be in"):
        angle([math.nan, 0], [0.0])
    with pytest.raises(ValueError, match="`thresholds` must be in"):
        angle([1, 0], [math.inf])


def phi(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def tail(x):
    return math.erfc(x / math.sqrt(2)) / 2

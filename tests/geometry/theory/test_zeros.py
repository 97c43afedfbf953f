"""Exact zeros and ties against tables, counting and samples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry import binarization_angle_degrees, theory

# Fraction of zeros; angle in degrees where the sign of 0 is 1.
TABLE = [
    (0.01, 37.45),
    (0.05, 38.95),
    (0.1, 40.81),
    (0.25, 46.29),
    (0.5, 55.65),
    (0.75, 66.49),
    (0.9, 75.39),
]


def test_table():
    p, angle = np.array(TABLE).T
    np.testing.assert_allclose(theory.angle_with_zeros_degrees(p), angle, atol=0.0055)
    np.testing.assert_allclose(
        theory.angle_with_zeros_degrees(p, sign_of_zero=0),
        theory.LIMIT_ANGLE_DEGREES,
        rtol=1e-10,
    )


@given(st.floats(0, 0.999), st.sampled_from(["gaussian", "uniform", "two_point"]))
def test_a_shape_of_its_own_says_the_same(p, name):
    law = theory.component_shape(name)
    mixed = theory.ComponentShape(
        np.append(law.magnitudes, 0), np.append((1 - p) * law.probabilities, p)
    )
    assert theory.angle_with_zeros_degrees(p, shape=name) == pytest.approx(
        mixed.limit_angle_degrees, abs=1e-6
    )


def test_samples(rng):
    d = 400_000
    for p in (0.1, 0.75):
        w = rng.normal(size=d) * (rng.random(d) >= p)
        # Four standard errors, of 30 / sqrt(d) degrees at most.
        assert binarization_angle_degrees(w[:, None])[0] == pytest.approx(
            theory.angle_with_zeros_degrees(p), abs=4 * 30 / math.sqrt(d)
        )


def test_one_component_other_than_zero():
    assert theory.largest_angle_degrees(27) == pytest.approx(78.90, abs=0.005)
    assert theory.largest_angle_degrees(1) == 0
    for d in (2, 27, 1000):
        one_hot = np.zeros((d, 1))
        one_hot[d // 2] = -3.0
        angle = theory.largest_angle_degrees(d)
        assert angle == pytest.approx(math.degrees(math.acos(1 / math.sqrt(d))))
        assert binarization_angle_degrees(one_hot)[0] == pytest.approx(angle)
        p = 1 - 1 / d
        assert theory.angle_with_zeros_degrees(p, shape="two_point") == pytest.approx(
            angle, rel=1e-12
        )
        assert theory.angle_with_zeros_degrees(p, 0, "two_point") == 0


@given(st.lists(st.floats(-10, 10), min_size=1, max_size=12))
def test_no_angle_is_larger(weights):
    angle = binarization_angle_degrees(np.array(weights)[:, None])[0]
    if not math.isnan(angle):
        assert angle <= theory.largest_angle_degrees(len(weights)) + 1e-6


@pytest.mark.parametrize(
    ("d", "p"),
    [
        (64, 0.0994),
        (128, 0.0704),
        (576, 0.0332),
        (1152, 0.0235),
        (2304, 0.0166),
        (4608, 0.0118),
    ],
)
def test_tie_table(d, p):
    assert theory.tie_probability(d) == pytest.approx(p, abs=1e-4)
    # Larger by one part in 4 d.
    ratio = theory.asymptotic_tie_probability(d) / theory.tie_probability(d)
    assert ratio - 1 == pytest.approx(1 / (4 * d), rel=0.01)
    assert theory.tie_probability(d + 1) == 0
    assert theory.asymptotic_tie_probability(d + 1) == 0


@given(st.integers(1, 1500))
def test_ties_are_counted(d):
    expected = 0 if d % 2 else math.comb(d, d // 2) / 2**d
    assert theory.tie_probability(d) == pytest.approx(expected, rel=1e-13)


def test_ties_of_many_dimensions():
    d = 10**12
    assert theory.tie_probability(d) == pytest.approx(math.sqrt(2 / math.pi / d))


def test_bad_arguments():
    for p in (-0.1, 1.0, math.nan):
        with pytest.raises(ValueError, match=r"`zero_fraction` must be in \[0, 1\)"):
            theory.angle_with_zeros_degrees([0.5, p])
    for sign in (-1, 2, 0.5):
        with pytest.raises(ValueError, match=f"must be 0 or 1. Received: {sign}"):
            theory.angle_with_zeros_degrees(0.5, sign_of_zero=sign)
    for function in (
        theory.largest_angle_degrees,
        theory.tie_probability,
        theory.asymptotic_tie_probability,
    ):
        with pytest.raises(ValueError, match="from 1 on. Received: 0"):
            function(0)
        with pytest.raises(TypeError):
            function(2.0)

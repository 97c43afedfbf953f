"""What signs keep, against tables and samples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry import angle_degrees, theory

# Correlation, probability.
DISAGREEMENT = [
    (0.3, 0.4030133159793218),
    (0.5, 0.3333333333333333),
    (0.6, 0.2951672353008665),
    (0.7, 0.253183311106635),
    (0.7978845608028654, 0.20595241678357126),
    (0.8, 0.20483276469913342),
    (0.9, 0.14356629312870625),
    (0.95, 0.10108262410425992),
    (0.97, 0.07816593193095629),
    (0.98, 0.06376856085851988),
    (0.99, 0.04505341364441213),
]
# Angle between vectors and between their signs, in degrees.
GROTHENDIECK = [
    (15, 33.55730976192071),
    (30, 48.1896851042214),
    (45, 60.0),
    (60, 70.52877936550931),
    (75, 80.40593177313954),
    (90, 90.0),
]


def test_disagreement_table():
    r, p = np.array(DISAGREEMENT).T
    np.testing.assert_allclose(theory.sign_disagreement_probability(r), p, rtol=1e-13)
    np.testing.assert_array_equal(
        theory.sign_disagreement_probability([[-1, 0], [1, 1 + 1e-12]]),
        [[1, 0.5], [0, 0]],
    )


def test_grothendieck_table():
    phi, angle = np.array(GROTHENDIECK).T
    np.testing.assert_allclose(
        theory.sign_vectors_angle_degrees(phi), angle, rtol=1e-13
    )
    assert theory.sign_vectors_angle_degrees(37.071) == pytest.approx(53.978, abs=1e-3)
    np.testing.assert_allclose(theory.bit_disagreement_probability(phi), phi / 180)


@given(st.floats(0, 180))
def test_forms_agree(phi):
    r = math.cos(math.radians(phi))
    assert theory.sign_vectors_cosine(phi) == pytest.approx(
        2 / math.pi * math.asin(r), abs=1e-7
    )
    assert theory.bit_disagreement_probability(phi) == pytest.approx(
        theory.sign_disagreement_probability(r), abs=1e-7
    )
    assert theory.sign_and_vector_cosine(phi) == pytest.approx(
        theory.LIMIT_COSINE * r, abs=1e-15
    )
    angle = theory.sign_vectors_angle_degrees(phi)
    assert abs(angle - 90) <= abs(phi - 90) + 1e-6


def test_exact_values():
    np.testing.assert_array_equal(theory.sign_vectors_cosine([0, 90, 180]), [1, 0, -1])
    assert theory.sign_and_vector_cosine(90) == 0
    assert theory.sign_and_vector_cosine(0) == theory.LIMIT_COSINE


@pytest.mark.parametrize("phi", [15.0, 60.0, 130.0])
def test_samples(phi, rng):
    n = 1_000_000
    u, other = rng.normal(size=(2, n))
    v = math.cos(math.radians(phi)) * u + math.sin(math.radians(phi)) * other
    signs_u, signs_v = np.where(u < 0, -1, 1), np.where(v < 0, -1, 1)
    p = float(theory.bit_disagreement_probability(phi))
    error = math.sqrt(p * (1 - p) / n)
    assert abs(np.mean(signs_u != signs_v) - p) < 4 * error
    # The cosine of the signs is 1 - 2 p; that of one of them has an error of about
    # 1 / sqrt(n).
    assert np.mean(signs_u * signs_v) == pytest.approx(
        theory.sign_vectors_cosine(phi), abs=8 * error
    )
    assert math.cos(math.radians(angle_degrees(signs_u, v))) == pytest.approx(
        theory.sign_and_vector_cosine(phi), abs=4 / math.sqrt(n)
    )


def test_bad_arguments():
    for r in (-1.1, 1.001, math.nan):
        with pytest.raises(ValueError, match="`correlation` must be in"):
            theory.sign_disagreement_probability([0.5, r])
    for function in (
        theory.bit_disagreement_probability,
        theory.sign_vectors_cosine,
        theory.sign_vectors_angle_degrees,
        theory.sign_and_vector_cosine,
    ):
        for angle in (-1, 181, math.nan):
            with pytest.raises(ValueError, match=r"in \[0, 180\]. Received: "):
                function(angle)

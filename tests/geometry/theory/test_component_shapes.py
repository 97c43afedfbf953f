"""Shapes against the closed forms of their moments, and against samples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry import theory

GAUSSIAN_MEAN = math.sqrt(2 / math.pi)
# E |w|^k for k from 1 to 4, and the limit of the angle in degrees.
MOMENTS = {
    "gaussian": ((GAUSSIAN_MEAN, 1, 2 * GAUSSIAN_MEAN, 3), 37.07143502),
    "uniform": ((1 / 2, 1 / 3, 1 / 4, 1 / 5), 30.0),
    "laplace": ((1, 2, 6, 24), 45.0),
    "triangular": ((1 / 3, 1 / 6, 1 / 10, 1 / 15), 35.264389682754654),
    "arcsine": ((2 / math.pi, 1 / 2, 4 / (3 * math.pi), 3 / 8), 25.80032321762069),
    "two_point": ((1, 1, 1, 1), 0.0),
}


def delta_method(m1, m2, m3, m4):
    """Variance and shift of the cosine, times d, with moments about zero."""
    variance = (
        (m2 - m1**2) / m2
        + m1**2 * (m4 - m2**2) / (4 * m2**3)
        - m1 * (m3 - m1 * m2) / m2**2
    )
    shift = 3 / 8 * m1 * (m4 - m2**2) / m2**2.5 - (m3 - m1 * m2) / (2 * m2**1.5)
    return variance, shift


@pytest.mark.parametrize("name", MOMENTS)
def test_named_shapes(name):
    moments, limit = MOMENTS[name]
    shape = theory.component_shape(name)
    assert shape.limit_angle_degrees == pytest.approx(limit, abs=1e-8)
    assert shape.limit_cosine == pytest.approx(moments[0] / math.sqrt(moments[1]))
    for k, moment in enumerate(moments, start=1):
        measured = shape.probabilities @ shape.magnitudes**k
        assert measured == pytest.approx(moment / moments[1] ** (k / 2), rel=1e-11)
    variance, shift = delta_method(*moments)
    assert shape.cosine_variance == pytest.approx(variance, abs=1e-12)
    assert shape.cosine_shift == pytest.approx(shift, abs=1e-12)


def test_the_truncated_normal_of_keras():
    # Moments of a normal distribution within two deviations.
    density = math.exp(-2) / math.sqrt(2 * math.pi)
    inside = math.erf(math.sqrt(2))
    mean = 2 * (1 / math.sqrt(2 * math.pi) - density) / inside
    square = 1 - 4 * density / inside
    shape = theory.component_shape("truncated_normal")
    assert shape.limit_cosine == pytest.approx(mean / math.sqrt(square), rel=1e-13)
    assert shape.limit_angle_degrees == pytest.approx(34.7445, abs=5e-5)


def test_coefficients_of_the_gaussian():
    shape = theory.component_shape("gaussian")
    assert shape.cosine_variance == pytest.approx(1 - 3 / math.pi, abs=1e-12)
    assert shape.cosine_shift == pytest.approx(GAUSSIAN_MEAN / 4, abs=1e-12)
    assert math.radians(shape.angle_shift_degrees) == pytest.approx(-0.41299, abs=5e-6)
    assert math.radians(shape.angle_deviation_degrees) == pytest.approx(
        0.35218, abs=5e-6
    )


@given(
    st.lists(st.floats(0.01, 100), min_size=1, max_size=8),
    st.floats(1e-3, 1e3),
    st.randoms(use_true_random=False),
)
def test_coefficients_are_those_of_the_delta_method(magnitudes, scale, random):
    p = np.array([random.random() + 0.01 for _ in magnitudes])
    p /= p.sum()
    a = np.array(magnitudes)
    shape = theory.ComponentShape(a * scale, p * scale)
    moments = [p @ a**k for k in (1, 2, 3, 4)]
    variance, shift = delta_method(*moments)
    size = moments[3] / moments[1] ** 2
    assert shape.cosine_variance == pytest.approx(variance, abs=1e-11 * size)
    assert shape.cosine_shift == pytest.approx(shift, abs=1e-11 * size)
    assert shape.limit_cosine == pytest.approx(moments[0] / math.sqrt(moments[1]))


@pytest.mark.parametrize(("deviation", "angle"), [(0.5, 35.52), (1, 28.51), (2, 20.77)])
def test_clipped_gaussian(deviation, angle, rng):
    assert theory.clipped_gaussian_angle_degrees(deviation) == pytest.approx(
        angle, abs=0.005
    )
    weights = np.clip(deviation * rng.normal(size=1_000_000), -1, 1)
    sampled = theory.sample_shape(weights)
    shape = theory.clipped_gaussian_shape(deviation)
    # Four standard errors of the sample as one vector, and its grouping.
    tolerance = 4 * shape.angle_deviation_degrees / 1000 + 1e-3
    assert sampled.limit_angle_degrees == pytest.approx(angle, abs=0.005 + tolerance)
    assert sampled.cosine_variance == pytest.approx(shape.cosine_variance, rel=0.02)


@given(st.floats(1e-8, 1e6))
def test_clipped_gaussian_closed_form(s):
    t = 1 / s
    tail = math.erfc(t / math.sqrt(2)) / 2
    density = math.exp(-(t**2) / 2) / math.sqrt(2 * math.pi)
    mean = 2 * s * (1 / math.sqrt(2 * math.pi) - density) + 2 * tail
    square = s**2 * (1 - 2 * tail - 2 * t * density) + 2 * tail
    # Where nearly all is clipped the closed form is a difference of close numbers.
    assert theory.clipped_gaussian_shape(s).limit_cosine == pytest.approx(
        mean / math.sqrt(square), rel=1e-9 + 1e-15 * s**2
    )


def test_clipping_goes_from_the_gaussian_to_two_points():
    deviations = np.logspace(-9, 9, 73).reshape(1, 73)
    angles = theory.clipped_gaussian_angle_degrees(deviations)
    assert angles.shape == (1, 73)
    assert angles[0, 0] == pytest.approx(theory.LIMIT_ANGLE_DEGREES, abs=1e-9)
    assert np.all(np.diff(angles) < 1e-9)
    assert angles[0, -1] < 1e-2
    assert np.ndim(theory.clipped_gaussian_angle_degrees(1.0)) == 0


def test_sample_shape_is_the_sample(rng):
    weights = rng.normal(size=(3, 3, 7, 5)).astype("float32")
    shape = theory.sample_shape(weights)
    magnitudes = np.abs(weights.astype("float64"))
    cosine = np.mean(magnitudes) / np.sqrt(np.mean(magnitudes**2))
    assert shape.limit_cosine == pytest.approx(cosine, rel=1e-14)
    again = theory.sample_shape(-1e-30 * weights.T)
    assert again.limit_cosine == pytest.approx(cosine, rel=1e-6)


def test_a_large_sample_is_grouped_without_a_loss_that_counts(rng):
    weights = rng.standard_t(3, size=300_000)
    weights[:1000] = 0
    magnitudes = np.abs(weights)
    shape = theory.sample_shape(weights)
    assert len(shape.magnitudes) <= 4100
    moments = [np.mean(magnitudes**k) for k in (1, 2, 3, 4)]
    variance, shift = delta_method(*moments)
    cosine = moments[0] / math.sqrt(moments[1])
    assert shape.limit_cosine == pytest.approx(cosine, rel=1e-4)
    assert shape.cosine_variance == pytest.approx(variance, rel=1e-3)
    assert shape.cosine_shift == pytest.approx(shift, rel=1e-3)
    # The zeros are still zeros, and one outlier is still one.
    assert shape.probabilities[shape.magnitudes == 0].sum() == pytest.approx(1 / 300)
    assert shape.magnitudes[-1] == pytest.approx(
        magnitudes.max() / math.sqrt(moments[1]), rel=1e-4
    )


@pytest.mark.parametrize("zeros", [0, 4000, 9998, 9999])
def test_a_large_sample_of_mostly_zeros(zeros):
    weights = np.zeros(10_000)
    weights[zeros:] = -0.5
    shape = theory.sample_shape(weights)
    assert shape.limit_cosine == pytest.approx(math.sqrt(1 - zeros / 10_000))


def test_bad_shapes():
    with pytest.raises(ValueError, match=r"or one of \['gaussian'.*Received: 'normal'"):
        theory.expected_angle_degrees(27, "normal")
    with pytest.raises(ValueError, match="no weights in an array of shape"):
        theory.sample_shape(np.zeros((3, 0)))
    with pytest.raises(ValueError, match="All weights are zero"):
        theory.sample_shape(np.zeros(3))
    with pytest.raises(ValueError, match=r"`weights`.*nan \(1 of 2 values"):
        theory.sample_shape([1.0, math.nan])
    with pytest.raises(ValueError, match=r"`weights`.*inf"):
        theory.sample_shape([1.0, -math.inf])
    with pytest.raises(ValueError, match=r"one length. Received shapes \(2,\) and"):
        theory.ComponentShape([1, 2], [1])
    with pytest.raises(ValueError, match="`magnitudes` must be in"):
        theory.ComponentShape([-1, 2], [1, 1])
    with pytest.raises(ValueError, match="at least one magnitude"):
        theory.ComponentShape([0, 2], [1, 0])
    for deviation in (0, -1, math.inf, math.nan):
        with pytest.raises(ValueError, match=r"`deviation` must be in \(0, inf\)"):
            theory.clipped_gaussian_angle_degrees(deviation)
        with pytest.raises(ValueError, match=r"`deviation` must be in \(0, inf\)"):
            theory.clipped_gaussian_shape(deviation)


def test_a_shape_cannot_be_changed_and_says_what_it_is():
    shape = theory.component_shape("uniform")
    with pytest.raises(ValueError, match="read-only"):
        shape.magnitudes[0] = 1
    assert repr(shape) == "<ComponentShape of 200 points, limit angle 30.00 degrees>"

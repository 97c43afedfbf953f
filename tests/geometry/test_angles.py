"""Measured angles against sums written out, known limits and boundary cases."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry import (
    angle_degrees,
    angle_standard_deviation_degrees,
    binarization_angle_degrees,
    cosine,
    expected_angle_degrees,
)
from kerasbnn.geometry.angles import (
    angle_density,
    deviation_slope,
    peak_angle_degrees,
    quantization_angle_degrees,
)


@given(d=st.integers(1, 40), n=st.integers(1, 5), seed=st.integers(0, 2**32 - 1))
def test_cosine_and_angle_are_the_textbook_ones(d, n, seed):
    random = np.random.default_rng(seed)
    u, v = random.normal(size=(2, n, d)) * random.lognormal(sigma=3, size=(2, n, 1))
    for row in range(n):
        dot = sum(a * b for a, b in zip(u[row], v[row], strict=True))
        norms = math.sqrt(sum(a * a for a in u[row]) * sum(b * b for b in v[row]))
        expected = max(-1.0, min(1.0, dot / norms))
        assert cosine(u, v)[row] == pytest.approx(expected, abs=1e-12)
        # The arccos of the reference is good to about 1e-8 radians where it is flat.
        assert angle_degrees(u, v)[row] == pytest.approx(
            math.degrees(math.acos(expected)), abs=2e-6
        )


def test_axes_broadcast():
    u, v = np.random.default_rng(0).normal(size=(2, 3, 4, 5))
    np.testing.assert_allclose(cosine(u, v, axis=0), cosine(u.T, v.T).T)
    np.testing.assert_allclose(angle_degrees(u, v, 1), angle_degrees(u, v, -2))
    np.testing.assert_allclose(angle_degrees(u, v[0, 0]), angle_degrees(u, v[:1, :1]))
    # Counted from the end, the axis is the same in arrays of different rank.
    np.testing.assert_allclose(
        angle_degrees(u, v[0, 0], axis=2), angle_degrees(u, v[0, 0])
    )


def test_equal_opposite_and_nearly_equal_vectors():
    u = np.random.default_rng(1).normal(size=(100, 7))
    assert np.all(angle_degrees(u, u) == 0)
    assert np.all(cosine(u, u) <= 1)
    np.testing.assert_allclose(angle_degrees(u, -3 * u), 180)
    # An arccos would read 0 here.
    tiny = 1e-10
    assert angle_degrees([1.0, 0.0], [1.0, tiny]) == pytest.approx(math.degrees(tiny))


def test_vectors_without_a_direction_are_nan_and_warn_of_nothing():
    u = np.array([[1.0, 2.0], [0.0, 0.0], [np.inf, 1.0], [np.nan, 1.0]])
    for function in (cosine, angle_degrees):
        assert np.isnan(function(u, [1.0, 1.0])).tolist() == [False, True, True, True]
    assert np.isnan(binarization_angle_degrees(u.T)).tolist() == [
        False,
        True,
        True,
        True,
    ]


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e300])
def test_magnitudes_do_not_matter(size):
    u = np.array([3.0, -1.0, 2.0])
    expected = angle_degrees(u, [1.0, 1.0, 1.0])
    assert angle_degrees(u * size, [1.0, 1.0, 1.0]) == pytest.approx(expected)


def test_lengths_must_agree():
    for v in (np.ones(4), np.ones(1), np.float64(1.0)):
        with pytest.raises(ValueError, match="same number of components"):
            cosine(np.ones(3), v)


@pytest.mark.parametrize(
    ("shape", "channel_axes", "filters"),
    [
        ((3, 5, 7, 4), -1, (4,)),
        ((9, 4), 1, (4,)),
        ((3, 3, 4, 2), (-2, -1), (4, 2)),
        ((3, 3, 4, 2), -2, (4,)),
    ],
)
def test_kernels_of_every_layout(shape, channel_axes, filters):
    kernel = np.random.default_rng(2).normal(size=shape)
    angles = binarization_angle_degrees(kernel, channel_axes)
    assert angles.shape == filters
    axes = channel_axes if isinstance(channel_axes, tuple) else (channel_axes,)
    for index in np.ndindex(filters):
        weights = kernel
        for axis, position in sorted(zip(axes, index, strict=True), reverse=True):
            weights = np.take(weights, [position], axis=axis)
        w = weights.ravel()
        expected = np.mean(np.abs(w)) / np.sqrt(np.mean(w**2))
        assert math.cos(math.radians(angles[index])) == pytest.approx(expected)


def test_channel_axes_must_leave_weights():
    with pytest.raises(ValueError, match="Leave at least one out"):
        binarization_angle_degrees(np.ones((2, 3)), (0, 1))
    with pytest.raises(ValueError, match="must be axes of the kernel"):
        binarization_angle_degrees(np.ones((2, 3)), 2)


@pytest.mark.parametrize("d", [2, 27, 1152])
def test_extremes(d):
    signs = np.random.default_rng(3).choice([-1.0, 1.0], size=(d, 4))
    assert np.all(binarization_angle_degrees(0.3 * signs) == 0)
    one_hot = np.zeros((d, 1))
    one_hot[0] = -5.0
    assert binarization_angle_degrees(one_hot)[0] == pytest.approx(
        math.degrees(math.acos(1 / math.sqrt(d)))
    )


def test_the_sign_of_zero_is_one():
    # A fraction p of exact zeros turns the cosine by sqrt(1 - p).
    kernel = np.random.default_rng(4).normal(size=(100_000, 1))
    for p, expected in ((0.1, 40.81), (0.5, 55.65), (0.9, 75.39)):
        kernel[: int(p * len(kernel))] = 0.0
        assert binarization_angle_degrees(kernel)[0] == pytest.approx(expected, abs=0.3)


@pytest.mark.parametrize(
    ("law", "expected"),
    [
        ("uniform", 30.0),
        ("gaussian", 37.07143502),
        ("laplace", 45.0),
        ("triangular", 35.264389682754654),
    ],
)
def test_the_law_of_the_weights_sets_the_angle(law, expected):
    random = np.random.default_rng(5)
    shape = (4608, 128)
    kernel = {
        "uniform": lambda: random.uniform(-0.1, 0.1, shape),
        "gaussian": lambda: random.normal(size=shape),
        "laplace": lambda: random.laplace(size=shape),
        "triangular": lambda: random.triangular(-1, 0, 1, shape),
    }[law]()
    assert np.mean(binarization_angle_degrees(kernel)) == pytest.approx(
        expected, abs=0.12
    )


@pytest.mark.parametrize(
    ("shape", "tolerance"),
    [((3, 3, 3, 128), 1.03), ((3, 3, 128, 128), 0.158), ((3, 3, 256, 256), 0.079)],
)
def test_gaussian_layers_measure_what_theory_expects(shape, tolerance):
    kernel = np.random.default_rng(6).normal(size=shape)
    angles = binarization_angle_degrees(kernel)
    d = math.prod(shape[:-1])
    # Three standard errors of the mean over the filters.
    standard_error = angle_standard_deviation_degrees(d) / math.sqrt(shape[-1])
    assert 3 * standard_error == pytest.approx(tolerance, rel=0.02)
    assert abs(np.mean(angles) - expected_angle_degrees(d)) < tolerance


@given(
    layout=st.sampled_from([((3, 5, 7, 4), -1), ((3, 3, 4, 2), (-2, -1))]),
    seed=st.integers(0, 2**32 - 1),
)
def test_angles_of_any_quantizer(layout, seed):
    shape, channel_axes = layout
    random = np.random.default_rng(seed)
    kernel, quantized = random.normal(size=shape), random.integers(-2, 3, size=shape)
    measured = quantization_angle_degrees(kernel, quantized, channel_axes)
    weights_axes = (0, 1) if isinstance(channel_axes, tuple) else (0, 1, 2)
    dots = np.sum(kernel * quantized, axis=weights_axes)
    squares = np.sum(kernel**2, axis=weights_axes) * np.sum(quantized**2, weights_axes)
    np.testing.assert_allclose(
        np.cos(np.radians(measured)), dots / np.sqrt(squares), atol=1e-12
    )
    scaled = random.lognormal(size=shape[-1]) * quantized
    np.testing.assert_allclose(
        quantization_angle_degrees(kernel, scaled, channel_axes), measured, atol=1e-5
    )
    np.testing.assert_array_equal(
        quantization_angle_degrees(kernel, np.where(kernel < 0, -1, 1), channel_axes),
        binarization_angle_degrees(kernel, channel_axes),
    )


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        (0.01, 36.7698),
        (0.1, 34.1523),
        (0.2, 31.5072),
        (0.612003, 25.85464),
        (1, 30.7828),
    ],
)
def test_ternary_angles_are_as_tabulated(threshold, expected, rng):
    kernel = rng.normal(size=(4608, 200))
    quantized = np.sign(kernel) * (np.abs(kernel) > threshold)
    measured = quantization_angle_degrees(kernel, quantized)
    assert np.mean(measured) == pytest.approx(expected, abs=0.1)


def test_quantized_filters_without_a_direction_are_nan():
    kernel = np.array([[1.0, 1.0, 0.0, np.nan], [1.0, 1.0, 0.0, 1.0]])
    quantized = np.array([[1, 0, 1, 1], [1, 0, 1, 1]])
    measured = quantization_angle_degrees(kernel, quantized)
    assert np.isnan(measured).tolist() == [False, True, True, True]
    assert quantization_angle_degrees([[-0.3]], [[-1]])[0] == 0.0


@given(
    angles=st.lists(st.floats(0, 180), min_size=1, max_size=30),
    bandwidth=st.floats(0.1, 20),
)
def test_the_density_is_a_sum_of_gaussians(angles, bandwidth):
    grid = np.array([[0.0, 30.0], [37.07, 180.0]])
    density = angle_density(angles, grid, bandwidth)
    for index in np.ndindex(2, 2):
        expected = sum(
            math.exp(-(((grid[index] - a) / bandwidth) ** 2) / 2) for a in angles
        ) / (len(angles) * bandwidth * math.sqrt(2 * math.pi))
        assert density[index] == pytest.approx(expected, rel=1e-9, abs=1e-300)


def test_density_and_peak_of_a_layer(rng):
    angles = binarization_angle_degrees(rng.normal(size=(1152, 4000)))
    grid = np.linspace(30, 44, 1401)
    density = angle_density(angles, grid)
    assert density.sum() * 0.01 == pytest.approx(1, abs=1e-3)
    # The kernels widen a Gaussian of deviation 0.594 degrees.
    widened = math.hypot(0.594, math.degrees(0.01))
    assert density.max() == pytest.approx(
        1 / (widened * math.sqrt(2 * math.pi)), rel=0.03
    )
    assert peak_angle_degrees(angles) == pytest.approx(37.05, abs=0.12)
    assert grid[np.argmax(density)] == pytest.approx(
        peak_angle_degrees(angles), abs=0.06
    )


def test_filters_without_an_angle_do_not_count_in_the_density():
    grid = np.linspace(0, 90, 91)
    np.testing.assert_array_equal(
        angle_density([np.nan, 30.0, np.inf], grid), angle_density([30.0], grid)
    )
    assert peak_angle_degrees([np.nan, 30.0]) == 30.0
    assert np.isnan(angle_density([np.nan], grid)).all()
    assert math.isnan(peak_angle_degrees([[np.nan]]))
    # More angles than fit one block, all the same.
    np.testing.assert_allclose(
        angle_density(np.full(1000, 30.0), grid), angle_density([30.0], grid)
    )
    for bandwidth in (0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="`bandwidth` must be a positive number"):
            angle_density([30.0], grid, bandwidth)


def test_the_deviation_falls_with_the_root_of_the_fan_in(rng):
    fan_ins = [27, 128, 576, 2304]
    deviations = [
        np.std(binarization_angle_degrees(rng.normal(size=(d, 1500)))) for d in fan_ins
    ]
    assert deviation_slope(fan_ins, deviations) == pytest.approx(-0.5, abs=0.03)
    slope, _ = np.polyfit(np.log(fan_ins), np.log(deviations), 1)
    assert deviation_slope(fan_ins, deviations) == pytest.approx(slope)
    # Layers without a deviation are left out.
    extended = deviation_slope([*fan_ins, 9, 16], [*deviations, 0.0, np.nan])
    assert extended == pytest.approx(slope)


def test_a_slope_takes_two_fan_ins():
    for fan_ins, deviations in (
        ([27], [3.8]),
        ([27, 27], [3.8, 3.9]),
        ([27, 100], [3.8, 0.0]),
        ([27, 100], [np.nan, 0.0]),
    ):
        assert math.isnan(deviation_slope(fan_ins, deviations))
    with pytest.raises(ValueError, match=r"\(2,\) and \(1,\)"):
        deviation_slope([27, 100], [3.8])
    for fan_ins, deviations in (([0, 27], [1, 1]), ([3, 27], [-1, 1])):
        with pytest.raises(ValueError, match="from 1 on"):
            deviation_slope(fan_ins, deviations)


def test_bad_arrays_are_refused():
    kernel = np.ones((3, 2))
    for function in (
        lambda bad: cosine(bad, bad),
        lambda bad: angle_degrees(kernel, bad),
        binarization_angle_degrees,
        lambda bad: quantization_angle_degrees(kernel, bad),
        lambda bad: angle_density(bad, kernel),
        lambda bad: peak_angle_degrees(bad),
        lambda bad: deviation_slope(kernel, bad),
    ):
        for bad in (kernel + 1j, kernel > 0, kernel.astype("U"), kernel.astype("O")):
            with pytest.raises(TypeError, match="must hold real numbers"):
                function(bad)
        with pytest.raises(ValueError, match=r"must not be empty.*\(0, 2\)"):
            function(kernel[:0])
    with pytest.raises(
        ValueError, match=r"`kernel` and `quantized`.*\(3, 2\) and \(6,\)"
    ):
        quantization_angle_degrees(kernel, np.ones(6))
    assert binarization_angle_degrees(np.array([[3], [-3]], np.int8)).tolist() == [0.0]

"""Ternary angles against tables, the definition, and samples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry import theory

# Threshold in deviations, cosine, angle in degrees, fraction of zeros.
TABLE = [
    (0, 0.7978845608028654, 37.071435021042824, 0.0),
    (0.01, 0.8010467282676716, 36.769825885934054, 0.007978712629263196),
    (0.05, 0.8132683946126021, 35.58349725252297, 0.03987761167674497),
    (0.1, 0.8275484309964992, 34.152279936069604, 0.07965567455405798),
    (1 / 9, 0.8305660362178758, 33.843072417120375, 0.0884717620906228),
    (0.2, 0.8525740754431756, 31.507246383478886, 0.1585194188782061),
    (0.3, 0.8725690096834456, 29.241438563792013, 0.23582284437790524),
    (0.4, 0.8872327601241994, 27.47244961259697, 0.31084348322064836),
    (0.5, 0.8963636740610487, 26.315869794992164, 0.38292492254802624),
    (0.6, 0.8998627411538521, 25.859968964237286, 0.4514937644998528),
    (0.7, 0.8977343646681014, 26.138160610248608, 0.5160726955538539),
    (0.8, 0.8900841382802306, 27.11617843673915, 0.5762892028332066),
    (1.0, 0.8591135987311298, 30.782796981357617, 0.6826894921370859),
    (1.2, 0.8095666375135571, 35.946387683274, 0.7698606595565836),
    (1.5, 0.7086505561887539, 44.874773327469256, 0.8663855974622838),
    (2.0, 0.506225642102839, 59.58725293690247, 0.9544997361036416),
]


def test_table():
    t, cosine, angle, zeros = np.array(TABLE).T.reshape(4, 2, 8)
    np.testing.assert_allclose(theory.ternary_cosine(t), cosine, rtol=1e-13)
    np.testing.assert_allclose(theory.ternary_angle_degrees(t), angle, rtol=1e-13)
    np.testing.assert_allclose(theory.ternary_zero_fraction(t), zeros, atol=1e-15)


def test_more_of_the_table():
    mean = theory.LIMIT_COSINE
    assert theory.ternary_angle_degrees(0.7 * mean) == pytest.approx(25.9605, abs=2e-4)
    assert theory.ternary_zero_fraction(0.7 * mean) == pytest.approx(0.4235, abs=5e-5)
    assert theory.ternary_angle_degrees(1.2395) == pytest.approx(37.0714, abs=2e-3)
    # The peak of 0.5956 radians that the authors' notebook states is that of 0.1.
    assert math.radians(theory.ternary_angle_degrees(0.1)) == pytest.approx(
        0.5956, abs=6e-4
    )


def test_optimum():
    t = theory.optimal_ternary_threshold_sigmas()
    assert t == pytest.approx(0.6120031809624814, rel=1e-14)
    assert theory.optimal_ternary_threshold_means() == pytest.approx(
        0.7670322387823343, rel=1e-13
    )
    assert theory.ternary_cosine(t) == pytest.approx(0.8999033063346854, rel=1e-14)
    assert theory.ternary_angle_degrees(t) == pytest.approx(25.85463980426078)
    assert theory.ternary_zero_fraction(t) == pytest.approx(0.45946434702456873)
    # It is the threshold of the best quantizer of three levels.
    assert theory.lloyd_max_quantizer(3).thresholds[1] == pytest.approx(t, rel=1e-12)


# Angles of 0.7 E|w|, of 0.75 E|w| and of the optimum, the optimum in E|w|, and the
# fraction of components that it leaves; from a million samples.
RULES = [
    ("gaussian", 25.97, 25.87, 25.86, 0.767, 0.54),
    ("uniform", 19.52, 19.72, 19.48, 0.667, 0.667),
    ("laplace", 32.13, 31.76, 30.96, 1.0, 0.369),
]


@pytest.mark.parametrize(("shape", "at_70", "at_75", "best", "means", "left"), RULES)
def test_rules_for_other_shapes(shape, at_70, at_75, best, means, left):
    mean = theory.component_shape(shape).limit_cosine
    optimum = theory.optimal_ternary_threshold_sigmas(shape)
    angles = theory.ternary_angle_degrees(
        np.array([0.7 * mean, 0.75 * mean, optimum]), shape
    )
    np.testing.assert_allclose(angles, [at_70, at_75, best], atol=0.035)
    assert theory.optimal_ternary_threshold_means(shape) == pytest.approx(means, 1e-3)
    assert 1 - theory.ternary_zero_fraction(optimum, shape) == pytest.approx(
        left, abs=1.5e-3
    )


@pytest.mark.parametrize("shape", ["gaussian", "uniform", "laplace"])
def test_definition_on_the_points_of_the_shape(shape):
    law = theory.component_shape(shape)
    assert theory.ternary_cosine(0.0, shape) == pytest.approx(law.limit_cosine)
    for t in (0.1, 0.6, 1.3):
        # A fine grid, as a threshold lies between two points of a coarse one.
        edge = {"gaussian": 12.0, "uniform": math.sqrt(3), "laplace": 40.0}[shape]
        width = (edge - t) / 400_000
        x = t + width * (np.arange(400_000) + 0.5)
        density = {
            "gaussian": math.sqrt(2 / math.pi) * np.exp(-x * x / 2),
            "uniform": np.full_like(x, 1 / math.sqrt(3)),
            "laplace": math.sqrt(2) * np.exp(-math.sqrt(2) * x),
        }[shape]
        left = np.sum(density) * width
        cosine = np.sum(x * density) * width / math.sqrt(left)
        assert theory.ternary_cosine(t, shape) == pytest.approx(cosine, rel=1e-8)
        assert theory.ternary_zero_fraction(t, shape) == pytest.approx(1 - left, 1e-7)


@given(st.floats(0, 3), st.sampled_from(["gaussian", "uniform", "laplace"]))
def test_no_threshold_beats_the_optimum(t, shape):
    best = theory.ternary_cosine(theory.optimal_ternary_threshold_sigmas(shape), shape)
    assert theory.ternary_cosine(t, shape) <= best + 1e-15


def test_large_thresholds_lose_everything():
    t = np.array([2.0, 5.0, 8.0, 8.01, 20.0, 37.0, 100.0, 1e200])
    for shape in ("gaussian", "uniform", "laplace"):
        cosines = theory.ternary_cosine(t, shape)
        assert np.all(np.isfinite(cosines))
        assert np.all(np.diff(cosines) <= 0)
        assert theory.ternary_angle_degrees(1e200, shape) == pytest.approx(90)
        assert theory.ternary_zero_fraction(1e200, shape) == 1
    direct = 2 * math.exp(-32) / math.sqrt(2 * math.pi)
    direct /= math.sqrt(math.erfc(8 / math.sqrt(2)))
    assert theory.ternary_cosine(8.0) == pytest.approx(direct, rel=1e-12)


# Dimensions, threshold, mean and deviation of the angle in degrees, from samples.
@pytest.mark.parametrize(
    ("d", "t", "mean", "deviation"),
    [
        (27, 0.1, 33.16, 3.72),
        (128, 0.1, 33.95, 1.74),
        (1152, 0.1, 34.13, 0.579),
        (27, 0.612, 25.07, 3.25),
        (128, 0.612, 25.68, 1.55),
        (1152, 0.612, 25.84, 0.515),
    ],
)
def test_finite_dimensions(d, t, mean, deviation):
    assert theory.expected_ternary_angle_degrees(d, t) == pytest.approx(
        mean, abs=0.06 if d == 27 else 0.02
    )
    assert theory.ternary_angle_standard_deviation_degrees(d, t) == pytest.approx(
        deviation, rel=0.05 if d == 27 else 0.025
    )


def test_finite_dimensions_against_samples(rng):
    for d, n in ((27, 40_000), (128, 20_000)):
        w = np.abs(rng.normal(size=(n, d)))
        for t in (0.0, 0.3, 0.8, 1.0):
            left = w > t
            some = left.any(1)
            cosines = np.sum(w * left, 1)[some] / np.sqrt(
                left.sum(1)[some] * np.sum(w * w, 1)[some]
            )
            angles = np.degrees(np.arccos(cosines))
            error = abs(np.mean(angles) - theory.expected_ternary_angle_degrees(d, t))
            # As documented, and four standard errors.
            allowed = 0.15 if d == 27 else 0.02
            assert error < allowed + 4 * np.std(angles) / math.sqrt(n)
            assert theory.ternary_angle_standard_deviation_degrees(
                d, t
            ) == pytest.approx(np.std(angles), rel=0.11 if d == 27 else 0.035 + 0.02)


def test_threshold_zero_is_the_sign():
    shape = theory.component_shape("gaussian")
    for d in (27, 1000):
        first_order = shape.limit_angle_degrees + shape.angle_shift_degrees / d
        assert theory.expected_ternary_angle_degrees(d, 0.0) == pytest.approx(
            first_order, rel=1e-11
        )
        assert theory.ternary_angle_standard_deviation_degrees(d, 0.0) == pytest.approx(
            shape.angle_deviation_degrees / math.sqrt(d), rel=1e-11
        )


# Medians over 10,000 vectors of 1,000 components, in degrees.
@pytest.mark.parametrize(
    ("t", "median"),
    [(0.01, 36.74), (1 / 9, 33.82), (0.2, 31.48), (0.3, 29.21), (0.5, 26.29)],
)
def test_medians_of_the_paper_figure(t, median):
    # Mean and median differ by less than the figure's last digits.
    assert theory.expected_ternary_angle_degrees(1000, t) == pytest.approx(
        median, abs=0.02
    )


def test_bad_arguments():
    functions = [
        theory.ternary_cosine,
        theory.ternary_angle_degrees,
        theory.ternary_zero_fraction,
        lambda t: theory.expected_ternary_angle_degrees(27, t),
        lambda t: theory.ternary_angle_standard_deviation_degrees(27, t),
    ]
    for function in functions:
        for t in (-0.1, math.nan, math.inf):
            with pytest.raises(
                ValueError, match=r"`threshold_sigmas` must be in \[0, "
            ):
                function([0.5, t])
    for function in functions[:3]:
        with pytest.raises(ValueError, match="whose ternary forms are known. Received"):
            function(0.5, "triangular")
    for function in (
        theory.optimal_ternary_threshold_sigmas,
        theory.optimal_ternary_threshold_means,
    ):
        with pytest.raises(ValueError, match="Received: 'normal'"):
            function("normal")
    for function in (
        theory.expected_ternary_angle_degrees,
        theory.ternary_angle_standard_deviation_degrees,
    ):
        with pytest.raises(
            ValueError, match="27 dimensions and a threshold of 2, which"
        ):
            function(27, [0.1, 2.0])
        with pytest.raises(ValueError, match="from 1 on"):
            function(0, 0.1)

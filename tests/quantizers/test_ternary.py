"""The three threshold rules of the ternary quantizer."""

from statistics import NormalDist

import hypothesis
import numpy as np
import pytest

from kerasbnn.quantizers import SteTern
from kerasbnn.quantizers.ternary import optimal_threshold
from tests.helpers import references
from tests.helpers.gradients import array, tensor, value_and_gradient
from tests.helpers.values import float32_arrays

SHAPES = [(1,), (2,), (30,), (5, 6), (3, 3, 2, 4)]


def cosine(u, v):
    return (u * v).sum() / (np.linalg.norm(u) * np.linalg.norm(v))


@pytest.mark.parametrize("threshold", [0.0, 0.05, 0.5, 2.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_absolute_threshold(threshold, shape, rng):
    w = rng.normal(size=shape)
    outputs = SteTern(threshold_value=threshold)(tensor(w))
    np.testing.assert_array_equal(array(outputs), references.ternary(w, threshold))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 0.02])
def test_rule_of_ternary_weight_networks(shape, scale, rng):
    w = scale * rng.normal(size=shape)
    outputs = SteTern(ternary_weight_networks=True)(tensor(w))
    expected = references.ternary(w, 0.7 * np.abs(w).mean())
    np.testing.assert_array_equal(array(outputs), expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("scale", [1.0, 0.02])
def test_optimal_threshold_is_that_of_the_best_of_all_prefixes(shape, scale, rng):
    w = scale * rng.normal(size=shape)
    outputs = SteTern(optimal_threshold=True)(tensor(w))
    expected, _ = references.best_ternary(w)
    np.testing.assert_array_equal(array(outputs), expected)


@hypothesis.given(float32_arrays((3, 4)))
def test_optimal_threshold_with_ties_has_the_smallest_angle(w):
    # Rounded to quarters, many magnitudes are equal.
    w = np.round(4 * w) / 4
    outputs = array(SteTern(optimal_threshold=True)(tensor(w)))
    if not w.any():
        np.testing.assert_array_equal(outputs, 0.0)
        return
    _, best = references.best_ternary(w.astype("float64"))
    assert cosine(outputs, w) == pytest.approx(best, abs=1e-6)


def test_optimum_for_gaussian_values():
    # "ternary_opt" of the paper's reference values (arXiv 1705.07199, generalised to
    # three levels): t = phi(t) / (2 Q(t)).
    threshold, angle_degrees, fraction_zero = 0.61200318, 25.85463980, 0.45946435
    count, sigma = 100_000, 0.3
    normal = NormalDist(0, sigma)
    w = np.array([normal.inv_cdf((i + 0.5) / count) for i in range(count)])
    # The optimum is flat: a running sum in float32 finds it to two digits.
    found = float(array(optimal_threshold(tensor(np.abs(w)))))
    assert found / sigma == pytest.approx(threshold, abs=0.01)
    outputs = array(SteTern(optimal_threshold=True)(tensor(w)))
    assert np.mean(outputs == 0) == pytest.approx(fraction_zero, abs=0.01)
    angle = np.degrees(np.arccos(cosine(outputs, w)))
    assert angle == pytest.approx(angle_degrees, abs=1e-3)


@pytest.mark.parametrize(
    "rule", [{}, {"ternary_weight_networks": True}, {"optimal_threshold": True}]
)
@pytest.mark.parametrize("clip_value", [1.0, 0.5, None])
def test_gradient_does_not_depend_on_the_rule(rule, clip_value, rng):
    w, upstream = rng.normal(size=(6, 5)), rng.normal(size=(6, 5))
    w.flat[:3] = [0.5, -1.0, 0.0]
    quantizer = SteTern(clip_value=clip_value, **rule)
    _, gradient = value_and_gradient(quantizer, tensor(w), upstream)
    expected = references.straight_through(w, upstream, clip_value)
    np.testing.assert_allclose(array(gradient), expected, rtol=1e-6)


@pytest.mark.parametrize(
    "rule", [{}, {"ternary_weight_networks": True}, {"optimal_threshold": True}]
)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision(rule, dtype, rng):
    inputs = tensor(rng.normal(size=(20, 30)), dtype)
    outputs = SteTern(**rule)(inputs)
    assert outputs.dtype == inputs.dtype
    expected = SteTern(**rule)(tensor(array(inputs)))
    # The threshold itself is rounded, which may move the values next to it.
    assert np.mean(array(outputs) != array(expected)) <= 0.01


def test_two_rules_at_once_are_refused():
    with pytest.raises(ValueError, match="one threshold rule"):
        SteTern(ternary_weight_networks=True, optimal_threshold=True)

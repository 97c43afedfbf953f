"""Quantizers that treat each value by itself: forward and gradient against numpy."""

import hypothesis
import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn.quantizers import (
    ApproxSign,
    DoReFa,
    IRNetSign,
    NoOp,
    SteHeaviside,
    SteSign,
    SteTern,
    SwishSign,
)
from tests.helpers import references
from tests.helpers.gradients import BACKEND, array, tensor, value_and_gradient
from tests.helpers.values import boundary_values, float32_arrays


def clipped(quantizer, forward, clip_value):
    def gradient(x, upstream):
        return references.straight_through(x, upstream, clip_value)

    return quantizer(clip_value=clip_value), forward, gradient, (clip_value or 1.0,)


def ternary(threshold, clip_value):
    def forward(x):
        return references.ternary(x, float(np.float32(threshold)))

    def gradient(x, upstream):
        return references.straight_through(x, upstream, clip_value)

    quantizer = SteTern(threshold_value=threshold, clip_value=clip_value)
    return quantizer, forward, gradient, (threshold, clip_value or 1.0)


def swish_sign(beta):
    def gradient(x, upstream):
        return references.swish_sign_gradient(x, upstream, beta)

    return SwishSign(beta=beta), references.sign, gradient, ()


def irnet_sign(t):
    def gradient(x, upstream):
        return upstream * max(1, 1 / t) * t * (1 - np.tanh(t * x) ** 2)

    quantizer = IRNetSign(temperature=t, standardize=False, scale=False)
    return quantizer, references.sign, gradient, ()


# Name: quantizer, forward and gradient in numpy, magnitudes where either changes.
CASES = {
    "ste_sign": clipped(SteSign, references.sign, 1.0),
    "ste_sign_half": clipped(SteSign, references.sign, 0.5),
    "ste_sign_1.3": clipped(SteSign, references.sign, 1.3),
    "ste_sign_unclipped": clipped(SteSign, references.sign, None),
    "ste_heaviside": clipped(SteHeaviside, references.heaviside, 1.0),
    "ste_heaviside_half": clipped(SteHeaviside, references.heaviside, 0.5),
    "ste_heaviside_unclipped": clipped(SteHeaviside, references.heaviside, None),
    "approx_sign": (
        ApproxSign(),
        references.sign,
        references.approx_sign_gradient,
        (),
    ),
    "swish_sign_1": swish_sign(1.0),
    "swish_sign_5": swish_sign(5.0),
    "swish_sign_20": swish_sign(20.0),
    "ste_tern": ternary(0.05, 1.0),
    "ste_tern_half": ternary(0.5, 0.25),
    "ste_tern_zero": ternary(0.0, None),
    "irnet_sign_wide": irnet_sign(0.1),
    "irnet_sign_narrow": irnet_sign(5.0),
    "no_op": (NoOp(precision=1), lambda x: x, lambda x, upstream: upstream, ()),
}
SIGNS = [name for name, case in CASES.items() if case[1] is references.sign]


def check(name, x, upstream, dtype="float32", tolerance=2e-6):
    """Compare one quantizer with its reference at the values that a dtype can hold."""
    quantizer, forward, gradient, _ = CASES[name]
    inputs = tensor(x, dtype)
    exact, upstream = array(inputs), array(tensor(upstream, dtype))
    outputs, pulled = value_and_gradient(quantizer, inputs, upstream)
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    assert keras.backend.standardize_dtype(pulled.dtype) == dtype
    np.testing.assert_array_equal(array(outputs), forward(exact))
    scale = max(1.0, getattr(quantizer, "beta", 1.0))
    np.testing.assert_allclose(
        array(pulled),
        gradient(exact, upstream),
        rtol=tolerance,
        atol=tolerance * scale * np.abs(upstream).max(),
    )


@pytest.mark.parametrize("name", CASES)
def test_boundary_values(name, rng):
    x = boundary_values(*CASES[name][3])
    check(name, x, rng.normal(size=x.shape))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shape", [(1,), (257,), (3, 5), (2, 3, 4), (2, 3, 2, 3, 2)])
def test_random_shapes(name, shape, rng):
    check(name, rng.normal(size=shape), rng.normal(size=shape))


@pytest.mark.parametrize("name", CASES)
@hypothesis.given(float32_arrays((3, 4)), float32_arrays((3, 4), magnitude=8))
def test_any_values(name, x, upstream):
    check(name, x, upstream)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [("bfloat16", 0.02), ("float16", 2e-3), ("float64", 1e-6)],
)
def test_dtype_is_kept(name, dtype, tolerance, rng):
    if dtype == "float64" and BACKEND == "jax":
        pytest.skip("JAX has no float64 unless it is switched on for the process")
    # Limits such as 1.3 are rounded to the dtype in the layer, so only values away
    # from them are compared exactly; 0, -0 and 1 are the same in every dtype.
    x = np.concatenate([rng.normal(size=40), [0.0, -0.0, 1.0, -1.0, 1.5, -0.75]])
    limits = np.array([0.05, *CASES[name][3]])
    x = x[np.all(np.abs(np.abs(x)[:, None] - limits) > 0.01, axis=1) | (np.abs(x) == 1)]
    check(name, x, rng.normal(size=x.shape), dtype, tolerance)


@pytest.mark.parametrize("name", SIGNS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_sign_of_either_zero_is_plus_one(name, dtype):
    outputs = CASES[name][0](tensor([0.0, -0.0], dtype))
    np.testing.assert_array_equal(array(outputs), [1.0, 1.0])


@pytest.mark.parametrize("name", SIGNS)
def test_subnormal_values_have_the_sign_that_the_backend_compares_by(name):
    x = ops.convert_to_tensor(np.array([-1e-40, 1e-40, -1e-45], "float32"))
    expected = np.where(array(ops.cast(ops.less(x, 0), "float32")), -1.0, 1.0)
    np.testing.assert_array_equal(array(CASES[name][0](x)), expected)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_integers_become_floats(name, dtype):
    quantizer, forward, _, _ = CASES[name]
    values = np.array([0, 1, 1, 0]) if dtype == "bool" else np.array([0, 1, 2, 3])
    outputs = quantizer(values.astype(dtype))
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    np.testing.assert_array_equal(array(outputs), forward(values.astype("float64")))


@pytest.mark.parametrize(
    ("integral", "gradient"),
    [
        (references.approx_sign_integral, references.approx_sign_gradient),
        (
            lambda x: references.swish_sign_integral(x, 5.0),
            lambda x, upstream: references.swish_sign_gradient(x, upstream, 5.0),
        ),
    ],
)
def test_references_are_the_derivatives_of_the_papers_functions(integral, gradient):
    x = np.linspace(-2, 2, 402)
    step = 1e-5
    slope = (integral(x + step) - integral(x - step)) / (2 * step)
    np.testing.assert_allclose(gradient(x, np.ones_like(x)), slope, atol=1e-4)


@pytest.mark.parametrize("k_bit", range(1, 9))
def test_dorefa_activations(k_bit, rng):
    x = np.concatenate([boundary_values(0.5), rng.normal(size=200)])
    upstream = rng.normal(size=x.shape)
    outputs, gradient = value_and_gradient(DoReFa(k_bit=k_bit), tensor(x), upstream)
    expected, expected_gradient = references.dorefa_activations(
        array(tensor(x)), array(tensor(upstream)), k_bit
    )
    np.testing.assert_allclose(array(outputs), expected, atol=1e-6)
    np.testing.assert_array_equal(array(gradient), expected_gradient)


@hypothesis.given(float32_arrays((3, 4), magnitude=1.5))
@pytest.mark.parametrize("k_bit", [1, 3, 8, 16])
def test_dorefa_activations_are_the_nearest_levels(k_bit, x):
    outputs = array(DoReFa(k_bit=k_bit)(tensor(x)))
    steps = 2**k_bit - 1
    np.testing.assert_allclose(outputs * steps, np.round(outputs * steps), atol=0.01)
    distance = np.abs(outputs - np.clip(x, 0, 1))
    assert distance.max() <= 0.5 / steps + 1e-6


@pytest.mark.parametrize("k_bit", range(1, 9))
@pytest.mark.parametrize("shape", [(7,), (5, 6), (3, 3, 2, 4)])
def test_dorefa_weights(k_bit, shape, rng):
    w, upstream = rng.normal(size=shape), rng.normal(size=shape)
    quantizer = DoReFa(k_bit=k_bit, mode="weights")
    outputs, gradient = value_and_gradient(quantizer, tensor(w), upstream)
    expected, expected_gradient = references.dorefa_weights(w, upstream, k_bit)
    np.testing.assert_allclose(array(outputs), expected, atol=1e-6)
    np.testing.assert_allclose(array(gradient), expected_gradient, rtol=1e-5, atol=1e-6)
    assert array(outputs).min() >= -1
    assert np.abs(array(outputs)).max() == 1


def test_dorefa_weights_that_are_all_zero_can_move():
    quantizer = DoReFa(k_bit=2, mode="weights")
    outputs, gradient = value_and_gradient(quantizer, tensor(np.zeros((2, 3))))
    # Half of three steps rounds to the even level 2 of 0..3, which is 1/3.
    np.testing.assert_allclose(array(outputs), 1 / 3, atol=1e-6)
    np.testing.assert_array_equal(array(gradient), np.ones((2, 3)))


@pytest.mark.parametrize("mode", ["activations", "weights"])
@pytest.mark.parametrize("k_bit", [2, 8, 16])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_dorefa_in_half_precision_rounds_the_float32_levels(mode, k_bit, dtype, rng):
    inputs = tensor(rng.uniform(-1, 1.5, size=50), dtype)
    quantizer = DoReFa(k_bit=k_bit, mode=mode)
    expected = ops.cast(quantizer(ops.cast(inputs, "float32")), dtype)
    outputs, gradient = value_and_gradient(quantizer, inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    assert keras.backend.standardize_dtype(gradient.dtype) == dtype
    np.testing.assert_array_equal(array(outputs), array(expected))

"""Quantizers with a scale or statistics per output channel."""

import numpy as np
import pytest

from kerasbnn.quantizers import IRNetSign, MagnitudeAwareSign
from tests.helpers import references
from tests.helpers.gradients import BACKEND, array, tensor, value_and_gradient

# Shapes of kernels as Keras stores them, with the axes of their output channels.
KERNELS = {
    "dense": ((7, 5), (-1,)),
    "conv1d": ((3, 4, 6), (-1,)),
    "conv2d": ((3, 2, 4, 6), (-1,)),
    "conv3d": ((2, 2, 3, 2, 4), (-1,)),
    "depthwise1d": ((5, 4, 2), (-2, -1)),
    "depthwise2d": ((3, 3, 4, 2), (-2, -1)),
    "transposed2d": ((3, 3, 4, 2), (-2,)),
    "pointwise": ((1, 1, 8, 3), (-1,)),
    "channels_first_inputs": ((6, 3, 4, 4), (1,)),
}


def at(channel_axes, quantizer):
    def function(w):
        return quantizer(w, channel_axes=channel_axes)

    return function


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("clip_value", [1.0, 0.5, None])
def test_magnitude_aware_sign(kernel, clip_value, rng):
    shape, axes = KERNELS[kernel]
    w, upstream = rng.normal(size=shape), rng.normal(size=shape)
    w.flat[:4] = [0.0, -0.0, 0.5, -1.0]
    quantizer = at(axes, MagnitudeAwareSign(clip_value=clip_value))
    outputs, gradient = value_and_gradient(quantizer, tensor(w), upstream)
    expected, expected_gradient = references.magnitude_aware_sign(
        w, upstream, clip_value, axes
    )
    np.testing.assert_allclose(array(outputs), expected, rtol=1e-6)
    np.testing.assert_allclose(array(gradient), expected_gradient, rtol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(
    ("t", "standardize", "scale"),
    [
        (0.01, True, True),
        (0.5, True, False),
        (3.0, True, True),
        (3.0, False, True),
        (0.5, False, False),
    ],
)
def test_irnet_sign(kernel, t, standardize, scale, rng):
    shape, axes = KERNELS[kernel]
    # Far from a mean of zero and a deviation of one.
    w, upstream = 0.3 + 0.2 * rng.normal(size=shape), rng.normal(size=shape)
    quantizer = at(axes, IRNetSign(t, standardize=standardize, scale=scale))
    outputs, gradient = value_and_gradient(quantizer, tensor(w), upstream)
    expected, expected_gradient = references.irnet_sign(
        w, upstream, t, standardize, scale, axes
    )
    np.testing.assert_array_equal(array(outputs), expected)
    np.testing.assert_allclose(array(gradient), expected_gradient, rtol=1e-3, atol=2e-5)


def test_the_gradient_of_irnet_sign_is_that_of_its_smooth_stand_in(rng):
    """Check the reference: its gradient is that of `s k tanh(t z(w))`, s held fixed."""
    w, upstream, t = rng.normal(size=(6, 2)), rng.normal(size=(6, 2)), 0.7

    def smooth(values):
        centred = values - values.mean(axis=0)
        z = centred / np.sqrt((centred**2).sum(axis=0) / 5)
        return z, max(1 / t, 1) * np.tanh(t * z)

    scale = 2 ** np.round(np.log2(np.abs(smooth(w)[0]).mean(axis=0)))
    numeric, step = np.empty_like(w), 1e-6
    for index in np.ndindex(*w.shape):
        moved = np.zeros_like(w)
        moved[index] = step
        change = smooth(w + moved)[1] - smooth(w - moved)[1]
        numeric[index] = (scale * upstream * change).sum() / (2 * step)
    np.testing.assert_allclose(
        references.irnet_sign(w, upstream, t)[1], numeric, atol=1e-6
    )


@pytest.mark.parametrize("scale", [True, False])
def test_irnet_sign_of_equal_weights_is_finite(scale):
    w = np.full((6, 3), 0.5)
    w[:, 1] = 0.0
    w[:, 2] = -3.0
    outputs, gradient = value_and_gradient(IRNetSign(scale=scale), tensor(w))
    np.testing.assert_array_equal(np.abs(array(outputs)), 1.0)
    assert np.isfinite(array(gradient)).all()


def test_irnet_sign_of_one_weight_per_channel_is_finite():
    outputs, gradient = value_and_gradient(IRNetSign(), tensor(np.ones((1, 4))))
    np.testing.assert_array_equal(np.abs(array(outputs)), 1.0)
    assert np.isfinite(array(gradient)).all()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
@pytest.mark.parametrize("quantizer", [IRNetSign(), MagnitudeAwareSign()])
def test_dtype_is_kept(quantizer, dtype, rng):
    if dtype == "float64" and BACKEND == "jax":
        pytest.skip("JAX has no float64 unless it is switched on for the process")
    # Deviations whose squares underflow in float16.
    w = 1e-3 * rng.normal(size=(50, 4))
    inputs = tensor(w, dtype)
    outputs, gradient = value_and_gradient(quantizer, inputs)
    assert outputs.dtype == inputs.dtype == gradient.dtype
    reference = quantizer(tensor(array(inputs)))
    np.testing.assert_array_equal(np.sign(array(outputs)), np.sign(array(reference)))
    np.testing.assert_allclose(array(outputs), array(reference), rtol=0.01)
    assert np.isfinite(array(gradient)).all()

"""Latent weights and scales against loops over the filters."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.binarizing.latents import SPREAD, as_latents, power_of, scale_of

SHAPES = {(-1,): (3, 2, 5, 4), (-2,): (3, 4, 5), (-2, -1): (2, 3, 4, 2)}


def filters(kernel, channel_axes):
    """One row per filter."""
    moved = np.moveaxis(kernel, channel_axes, range(-len(channel_axes), 0))
    sizes = moved.shape[moved.ndim - len(channel_axes) :]
    return moved.reshape(-1, int(np.prod(sizes))).T


@pytest.mark.parametrize("axes", SHAPES)
@given(seed=st.integers(0, 999), magnitude=st.sampled_from([1e-30, 1e-3, 1, 1e30]))
def test_every_filter_is_scaled_by_one_positive_number(axes, seed, magnitude):
    rng = np.random.default_rng(seed)
    # A heavy tail: in some filters the largest weight limits the scale.
    kernel = magnitude * rng.standard_cauchy(SHAPES[axes])
    latents = as_latents(kernel, axes)
    assert latents.dtype == np.float32
    rows = zip(filters(kernel, axes), filters(latents, axes), strict=True)
    for trained, latent in rows:
        latent = np.float64(latent)
        ratio = (latent @ trained) / (trained @ trained)
        assert ratio > 0
        np.testing.assert_allclose(latent, ratio * trained, rtol=1e-6)
        assert np.abs(latent).max() <= 1
        spread = np.sqrt(np.mean(latent**2))
        reaches_limit = np.abs(latent).max() > 1 - 1e-6
        assert spread == pytest.approx(SPREAD, rel=1e-5) or (
            reaches_limit and spread < SPREAD
        )


def test_the_largest_weight_of_a_filter_limits_its_scale():
    kernel = np.zeros((40_000, 2))
    kernel[0], kernel[1:, 1] = 5.0, 1e-3
    latents = as_latents(kernel, (-1,))
    assert latents[0].tolist() == [1, 1]
    np.testing.assert_allclose(latents[1:, 1], 2e-4, rtol=1e-6)


def test_zeros_survive():
    kernel = np.array([[0.0, 1.0], [-0.0, -1.0]])
    np.testing.assert_allclose(
        as_latents(kernel, (-1,)), [[0, SPREAD], [0, -SPREAD]], rtol=1e-6
    )
    assert scale_of(kernel, np.ones((2, 2)), (-1,)).tolist() == [0, 0]
    assert scale_of(kernel, np.zeros((2, 2)), (-1,)).tolist() == [0, 0]


@pytest.mark.parametrize("axes", SHAPES)
def test_the_scale_is_that_of_least_squares(axes, rng):
    kernel = rng.normal(size=SHAPES[axes])
    signs = np.where(kernel >= 0, 1.0, -1.0)
    ternary = np.where(np.abs(kernel) > 0.4, signs, 0)
    for quantized in (signs, ternary):
        scale = scale_of(kernel, quantized, axes)
        power = power_of(quantized, axes)
        assert scale.shape == tuple(kernel.shape[axis] for axis in axes)
        rows = zip(
            *(scale.ravel(), power.ravel()),
            *(filters(kernel, axes), filters(quantized, axes)),
            strict=True,
        )
        for alpha, size, w, q in rows:
            expected = np.linalg.lstsq(q[:, None], w, rcond=None)[0][0]
            assert alpha == pytest.approx(expected)
            assert size == np.count_nonzero(q)
    means = [np.abs(w).mean() for w in filters(kernel, axes)]
    np.testing.assert_allclose(scale_of(kernel, signs, axes).ravel(), means)

"""The error of scaled binary weights against least squares."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry import binarization_angle_degrees, theory


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=20))
def test_the_best_factor_is_the_mean_magnitude(weights):
    w = np.array(weights)
    if np.max(np.abs(w)) < 1e-6:
        return
    signs = np.where(w < 0, -1.0, 1.0)
    factor = np.mean(np.abs(w))
    error = np.sum((w - factor * signs) ** 2) / np.sum(w**2)
    angle = binarization_angle_degrees(w[:, None])[0]
    assert theory.reconstruction_error(angle) == pytest.approx(error, abs=1e-12)
    for other in (0.9 * factor, 1.1 * factor):
        assert np.sum((w - other * signs) ** 2) / np.sum(w**2) >= error - 1e-12


def test_values():
    errors = theory.reconstruction_error([[0, 30], [90, 180]])
    np.testing.assert_allclose(errors, [[0, 0.25], [1, 0]], atol=1e-15)
    # The distortion of the best quantizers.
    assert theory.reconstruction_error(theory.LIMIT_ANGLE_DEGREES) == pytest.approx(
        1 - 2 / math.pi
    )
    for k in (3, 16):
        quantizer = theory.lloyd_max_quantizer(k)
        assert theory.reconstruction_error(quantizer.angle_degrees) == pytest.approx(
            quantizer.distortion, rel=1e-12
        )


def test_bad_angles():
    for angle in (-1, 181, math.nan):
        with pytest.raises(ValueError, match=r"`angle_degrees` must be in \[0, 180\]"):
            theory.reconstruction_error([45, angle])

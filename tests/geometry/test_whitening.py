"""Whitening against textbook matrices, and what it does to dot products."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry import binarization_angle_degrees
from kerasbnn.geometry.rotation import generalized_binarization, haar_rotation
from kerasbnn.geometry.whitening import (
    DEFAULT_REGULARIZATION,
    Covariance,
    whitening_from_covariance,
    whitening_from_samples,
)


def correlated(n, d, rng):
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


@given(
    n=st.integers(2, 60),
    d=st.integers(1, 6),
    cuts=st.lists(st.integers(0, 60), max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_batches_and_merges_do_not_matter(n, d, cuts, seed):
    rng = np.random.default_rng(seed)
    # Far from 0, where sums of squares would lose all digits.
    x = correlated(n, d, rng) + 1e6
    at_once = np.atleast_2d(np.cov(x.T))
    whole, parts = Covariance(d), []
    for part in np.split(x, sorted(min(cut, n) for cut in cuts)):
        whole.update(part)
        parts.append(Covariance(d))
        parts[-1].update(part)
    while len(parts) > 1:
        last = parts.pop()
        parts[-1].merge(last)
    for covariance in (whole, parts[0]):
        assert covariance.count == n
        np.testing.assert_allclose(covariance.mean, x.mean(axis=0), rtol=1e-12)
        scale = np.abs(at_once).max() + 1e-12
        np.testing.assert_allclose(covariance.matrix, at_once, atol=1e-8 * scale)


def test_large_batches_go_in_blocks(rng):
    x = rng.normal(size=(5000, 300)).astype("float32") + 100
    covariance = Covariance(300)
    covariance.update(x)
    np.testing.assert_allclose(
        covariance.matrix, np.cov(x.astype("float64").T), atol=1e-10
    )


def test_covariance_refuses_other_shapes_and_values():
    for shape in [(4, 3), (4,), (2, 2, 2)]:
        with pytest.raises(ValueError, match=r"shape \(n, 2\)"):
            Covariance(2).update(np.ones(shape))
    with pytest.raises(ValueError, match="NaN or infinite"):
        Covariance(2).update(np.array([[1.0, np.inf]]))
    np.testing.assert_array_equal(Covariance(2).matrix, np.zeros((2, 2)))


@pytest.mark.parametrize("d", [1, 2, 5, 27])
def test_the_roots_are_roots(d, rng):
    x = correlated(50 * d, d, rng)
    whitening = whitening_from_samples(x, regularization=1e-9)
    c = np.atleast_2d(np.cov(x.T))
    root, inverse = whitening.root, whitening.inverse_root
    np.testing.assert_allclose(root @ root, c, atol=1e-10 * np.abs(c).max())
    np.testing.assert_allclose(root @ inverse, np.eye(d), atol=1e-8)
    # ZCA: of all matrices that whiten the symmetric one.
    np.testing.assert_allclose(root, root.T)
    np.testing.assert_allclose(inverse, inverse.T)
    np.testing.assert_allclose(whitening.mean, x.mean(axis=0))
    white = whitening.apply(x)
    np.testing.assert_allclose(np.atleast_2d(np.cov(white.T)), np.eye(d), atol=1e-7)
    np.testing.assert_allclose(whitening.apply(x.T, axis=0), white.T)


def test_small_eigenvalues_are_raised(rng):
    basis = haar_rotation(4, seed=0).matrix()
    c = basis @ np.diag([8.0, 4.0, 0.0, 1e-9]) @ basis.T
    whitening = whitening_from_covariance(c, regularization=0.1)
    expected = basis @ np.diag([8.0, 4.0, 0.3, 0.3]) @ basis.T
    np.testing.assert_allclose(whitening.root @ whitening.root, expected, atol=1e-12)
    np.testing.assert_allclose(
        whitening.inverse_root @ whitening.inverse_root, np.linalg.inv(expected)
    )
    np.testing.assert_array_equal(whitening.mean, np.zeros(4))


@pytest.mark.parametrize("n", [2, 3, 10])
def test_fewer_samples_than_dimensions(n, rng):
    x = rng.normal(size=(n, 20))
    x[:, 3] = 7.0
    whitening = whitening_from_samples(x)
    w = rng.normal(size=(20, 8))
    for values in (
        whitening.root,
        whitening.inverse_root,
        whitening.apply(x),
        whitening.binarize(x),
        whitening.binarize_weights(w, axis=0),
    ):
        assert np.isfinite(values).all()
    np.testing.assert_allclose(
        whitening.root @ whitening.inverse_root, np.eye(20), atol=1e-10
    )


def test_binarization_is_the_written_out_product(rng):
    x, w = correlated(200, 5, rng), rng.normal(size=(5, 3))
    whitening = whitening_from_samples(x)
    root, inverse, mean = whitening.root, whitening.inverse_root, whitening.mean
    expected = np.stack(
        [mean + root @ np.where(inverse @ (row - mean) >= 0, 1.0, -1.0) for row in x]
    )
    np.testing.assert_allclose(whitening.binarize(x), expected)
    np.testing.assert_allclose(whitening.binarize(x.T, axis=0), expected.T)
    signs = np.where(root @ w >= 0, 1.0, -1.0)
    binary = whitening.binarize_weights(w, axis=0)
    np.testing.assert_allclose(binary, inverse @ signs)
    np.testing.assert_allclose(whitening.binarize_weights(w.T), binary.T)
    # The product with an input is that of the signs with the whitened input.
    np.testing.assert_allclose((x - mean) @ binary, whitening.apply(x) @ signs)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_has_no_sign(value, rng):
    whitening = whitening_from_samples(rng.normal(size=(10, 2)))
    for binarize in (whitening.binarize, whitening.binarize_weights):
        with pytest.raises(ValueError, match="NaN or infinite"):
            binarize([1.0, value])


def test_bad_covariances():
    bad = {
        "square": np.ones((2, 3)),
        "symmetric": [[1.0, 0.5], [0.0, 1.0]],
        "negative eigenvalue": [[1.0, 2.0], [2.0, 1.0]],
        "NaN or infinite": [[1.0, np.nan], [np.nan, 1.0]],
        "do not vary": np.zeros((2, 2)),
    }
    for message, matrix in bad.items():
        with pytest.raises(ValueError, match=message):
            whitening_from_covariance(matrix)
    with pytest.raises(ValueError, match="singular"):
        whitening_from_covariance(np.ones((2, 2)), regularization=0)
    with pytest.raises(ValueError, match="`mean` must have the shape"):
        whitening_from_covariance(np.eye(2), mean=[1.0])
    for value in (-1.0, np.nan):
        with pytest.raises(ValueError, match="`regularization` must be"):
            whitening_from_covariance(np.eye(2), regularization=value)
    with pytest.raises(ValueError, match="do not vary"):
        whitening_from_samples(np.full((10, 3), 0.7))
    with pytest.raises(ValueError, match=r"shape \(n, d\)"):
        whitening_from_samples(np.ones(4))


def image_covariance(rho_s, rho_c):
    """Covariance of 3 x 3 patches of 3 colours: the substitute for natural ones."""
    grid = np.stack(np.meshgrid(range(3), range(3), indexing="ij"), -1).reshape(9, 2)
    distances = np.linalg.norm(grid[:, None] - grid[None], axis=-1)
    colours = np.full((3, 3), rho_c) + (1 - rho_c) * np.eye(3)
    return np.kron(rho_s**distances, colours)


def pooled_correlation(w, binary, c):
    """Correlation of `w'x` and `binary'x` over all filters and inputs, exactly."""
    cross = np.sum(w * (c @ binary))
    return cross / np.sqrt(np.sum(w * (c @ w)) * np.sum(binary * (c @ binary)))


# Of zero-mean filters on the plain pixels: tabulated apart from this code.
@pytest.mark.parametrize(
    ("rho_s", "rho_c", "plain"),
    [(0.95, 0.9, 0.44), (0.9, 0.8, 0.56), (0.99, 0.95, 0.28)],
)
def test_whitening_restores_the_dot_products_of_correlated_inputs(
    rho_s, rho_c, plain, rng
):
    c = image_covariance(rho_s, rho_c)
    w = rng.normal(size=(27, 4000))
    w -= w.mean(axis=0)
    on_pixels = pooled_correlation(w, np.where(w >= 0, 1.0, -1.0), c)
    assert on_pixels == pytest.approx(plain, abs=0.015)
    # A rotation alone hardly helps: the error of the signs stays in all directions.
    rotated = generalized_binarization(w, haar_rotation(27, seed=0), axis=0)
    assert pooled_correlation(w, rotated, c) == pytest.approx(plain, abs=0.04)
    exact = whitening_from_covariance(c, regularization=0)
    whitened = pooled_correlation(w, exact.binarize_weights(w, axis=0), c)
    assert 0.76 <= whitened <= 0.80
    # The default keeps the smallest directions small, which preserves even more.
    regularized = whitening_from_covariance(c)
    found = pooled_correlation(w, regularized.binarize_weights(w, axis=0), c)
    assert found >= whitened - 1e-9
    assert DEFAULT_REGULARIZATION == 0.01


def test_whitened_inputs_are_far_from_their_signs_by_the_usual_angle(rng):
    c = image_covariance(0.95, 0.9)
    x = rng.multivariate_normal(np.zeros(27), c, size=4000)
    whitening = whitening_from_samples(x, regularization=1e-6)
    angles = binarization_angle_degrees(whitening.apply(x).T)
    assert np.mean(angles) == pytest.approx(36.18, abs=0.2)

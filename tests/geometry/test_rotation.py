"""Rotations and binarization in a rotated basis, against matrices written out."""

import functools
import math

import numpy as np
import pytest

from kerasbnn.geometry import angle_degrees, binarization_angle_degrees
from kerasbnn.geometry.hadamard import (
    HadamardRotation,
    hadamard_rotation,
    next_power_of_two,
    walsh_hadamard_transform,
)
from kerasbnn.geometry.rotation import (
    MatrixRotation,
    generalized_binarization,
    haar_rotation,
    rotated_binarization_angle_degrees,
)

ROTATIONS = {
    "haar": haar_rotation,
    "hadamard": hadamard_rotation,
    "hadamard_twice": functools.partial(hadamard_rotation, rounds=2),
}
DIMENSIONS = [1, 2, 3, 5, 8, 27, 100]


def sylvester(n):
    """The orthonormal Hadamard matrix, by doubling."""
    matrix = np.ones((1, 1))
    while len(matrix) < n:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / math.sqrt(n)


@pytest.mark.parametrize("n", [1, 2, 4, 8, 64, 256])
def test_the_transform_is_the_product_with_the_matrix(n, rng):
    x = rng.normal(size=(3, n, 2))
    expected = np.einsum("ij,ajb->aib", sylvester(n), x)
    np.testing.assert_allclose(walsh_hadamard_transform(x, 1), expected, atol=1e-13)
    np.testing.assert_allclose(
        walsh_hadamard_transform(walsh_hadamard_transform(x, 1), 1), x, atol=1e-13
    )


@pytest.mark.parametrize("shape", [(3,), (2, 6), (4, 100)])
def test_the_transform_needs_a_power_of_two(shape):
    with pytest.raises(ValueError, match="power of two"):
        walsh_hadamard_transform(np.ones(shape))


def test_powers_of_two():
    found = [next_power_of_two(d) for d in (1, 2, 3, 4, 5, 27, 64, 65, 4608)]
    assert found == [1, 2, 4, 4, 8, 32, 64, 128, 8192]
    with pytest.raises(ValueError, match="from 1 on"):
        next_power_of_two(0)


@pytest.mark.parametrize("dimensions", DIMENSIONS)
@pytest.mark.parametrize("kind", ROTATIONS)
def test_rotations_are_isometries(kind, dimensions, rng):
    rotation = ROTATIONS[kind](dimensions, seed=3)
    matrix = rotation.matrix()
    size = dimensions if kind == "haar" else next_power_of_two(dimensions)
    assert matrix.shape == (rotation.rotated_dimensions, rotation.dimensions)
    assert matrix.shape == (size, dimensions)
    np.testing.assert_allclose(matrix.T @ matrix, np.eye(dimensions), atol=1e-12)
    x, y = rng.normal(size=(4, dimensions, 3)), rng.normal(size=(4, size, 3))
    np.testing.assert_allclose(rotation.apply(x, 1), matrix @ x, atol=1e-12)
    np.testing.assert_allclose(rotation.apply_transpose(y, 1), matrix.T @ y, atol=1e-12)
    np.testing.assert_allclose(
        rotation.apply_transpose(rotation.apply(x, 1), -2), x, atol=1e-12
    )


@pytest.mark.parametrize("rounds", [1, 2, 3])
@pytest.mark.parametrize("dimensions", [1, 6, 16])
def test_hadamard_rotations_are_signs_and_matrices_in_turn(dimensions, rounds):
    rotation = hadamard_rotation(dimensions, seed=5, rounds=rounds)
    size = rotation.rotated_dimensions
    assert set(np.unique(rotation.signs)) <= {-1.0, 1.0}
    assert rotation.signs.shape == (rounds, size)
    expected = np.eye(size)
    for signs in rotation.signs:
        expected = sylvester(size) @ np.diag(signs) @ expected
    np.testing.assert_allclose(rotation.matrix(), expected[:, :dimensions], atol=1e-13)


@pytest.mark.parametrize("kind", ROTATIONS)
def test_a_seed_fixes_a_rotation(kind):
    make = ROTATIONS[kind]
    np.testing.assert_array_equal(make(9, seed=1).matrix(), make(9, seed=1).matrix())
    assert np.any(make(9, seed=1).matrix() != make(9, seed=2).matrix())
    assert np.any(make(9).matrix() != make(9).matrix())


def test_haar_rotations_prefer_no_direction():
    traces = np.array(
        [np.trace(haar_rotation(4, seed=s).matrix()) for s in range(2000)]
    )
    # Of a Haar matrix the trace has mean 0 and variance 1; the algorithm's own choice
    # of signs would give it a mean of about -1.
    assert abs(traces.mean()) < 0.08
    assert np.mean(traces**2) == pytest.approx(1, abs=0.12)


def scaled_gaussians(d, samples, rng):
    """Vectors whose component `i` has the deviation `exp(0.1 (i - d / 2))`."""
    return rng.normal(size=(samples, d)) * np.exp(0.1 * (np.arange(d) - d / 2))


# Tabulated apart from this code. The angles come down to 37 degrees or a little less,
# for these vectors have in effect only ten independent components.
@pytest.mark.parametrize(
    ("d", "unrotated", "lowest", "highest"),
    [(10, 36.76, 34.3, 35.0), (100, 68.24, 36.6, 37.2), (500, 80.45, 36.7, 37.4)],
)
def test_haar_rotations_repair_bad_scales(d, unrotated, lowest, highest, rng):
    x = scaled_gaussians(d, 2000, rng)
    assert np.mean(binarization_angle_degrees(x.T)) == pytest.approx(unrotated, abs=0.5)
    angles = [
        np.mean(rotated_binarization_angle_degrees(x, haar_rotation(d, seed)))
        for seed in range(5)
    ]
    assert lowest <= np.mean(angles) <= highest


@pytest.mark.parametrize(("d", "unrotated"), [(32, 51.0), (128, 70.8), (512, 80.6)])
def test_hadamard_rotations_repair_bad_scales(d, unrotated, rng):
    x = scaled_gaussians(d, 2000, rng)
    assert np.mean(binarization_angle_degrees(x.T)) == pytest.approx(unrotated, abs=0.5)
    angles = [
        np.mean(rotated_binarization_angle_degrees(x, hadamard_rotation(d, seed)))
        for seed in range(5)
    ]
    assert np.mean(angles) == pytest.approx(35.1, abs=0.5)


@pytest.mark.parametrize("d", [2, 16, 27])
def test_one_hot_vectors_are_binary_after_a_hadamard_rotation(d):
    one_hot = -3.0 * np.eye(d)
    rotation = hadamard_rotation(d, seed=2)
    assert np.all(rotated_binarization_angle_degrees(one_hot, rotation) == 0)
    binarized = generalized_binarization(one_hot, rotation)
    scale = math.sqrt(rotation.rotated_dimensions)
    np.testing.assert_allclose(binarized, one_hot / 3 * scale, atol=1e-12)
    # Twice mixed they are like any other vector.
    twice = hadamard_rotation(1024, seed=2, rounds=2)
    angles = rotated_binarization_angle_degrees(np.eye(1024)[:50], twice)
    assert np.mean(angles) == pytest.approx(37.05, abs=0.4)


def test_two_ones_need_a_second_round():
    pairs = np.zeros((50, 256))
    for i, pair in enumerate(pairs):
        pair[[i, 100 + i]] = 1.0
    once, twice = (hadamard_rotation(256, seed=1, rounds=r) for r in (1, 2))
    np.testing.assert_allclose(rotated_binarization_angle_degrees(pairs, once), 45)
    assert np.mean(rotated_binarization_angle_degrees(pairs, twice)) < 38


@pytest.mark.parametrize("kind", ROTATIONS)
@pytest.mark.parametrize("d", [1, 7, 16, 27])
def test_generalized_binarization_is_the_written_out_product(kind, d, rng):
    rotation = ROTATIONS[kind](d, seed=4)
    matrix, x = rotation.matrix(), rng.normal(size=(d, 9))
    expected = matrix.T @ np.where(matrix @ x >= 0, 1.0, -1.0)
    found = generalized_binarization(x, rotation, axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-12)
    np.testing.assert_allclose(
        generalized_binarization(x.T, rotation), expected.T, atol=1e-12
    )
    in_basis = rotated_binarization_angle_degrees(x, rotation, axis=0)
    of_result = angle_degrees(x, found, axis=0)
    if rotation.rotated_dimensions == d:
        np.testing.assert_allclose(of_result, in_basis, atol=1e-5)
        np.testing.assert_allclose(np.linalg.norm(found, axis=0), math.sqrt(d))
    else:
        assert np.all(of_result <= in_basis + 1e-5)
        assert np.any(of_result < in_basis - 1)


def test_the_sign_of_zero_is_one():
    rotation = MatrixRotation(np.eye(3))
    np.testing.assert_array_equal(
        generalized_binarization([0.0, -0.0, -1.0], rotation), [1.0, 1.0, -1.0]
    )


def test_what_is_not_finite_has_no_angle_and_no_sign():
    x = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [1.0, np.nan, 0.0], [np.inf, 1, 1]])
    for kind in ROTATIONS.values():
        rotation = kind(3, seed=0)
        angles = rotated_binarization_angle_degrees(x, rotation)
        assert np.isnan(angles).tolist() == [False, True, True, True]
        with pytest.raises(ValueError, match="NaN or infinite"):
            generalized_binarization(x, rotation)


def test_bad_arguments():
    for make in ROTATIONS.values():
        with pytest.raises(ValueError, match="from 1 on"):
            make(0)
        with pytest.raises(TypeError):
            make(2.5)
    with pytest.raises(ValueError, match="from 1 on"):
        hadamard_rotation(4, rounds=0)
    rotation = hadamard_rotation(5, seed=0)
    with pytest.raises(ValueError, match="vectors of 5 components"):
        rotation.apply(np.ones((2, 8)))
    with pytest.raises(ValueError, match="vectors of 8 components"):
        rotation.apply_transpose(np.ones((2, 5)))
    with pytest.raises(ValueError, match="not an axis"):
        rotation.apply(np.ones((2, 5)), axis=2)


@pytest.mark.parametrize(
    "matrix", [np.ones((2, 2)), np.eye(3)[:2], np.full((2, 2), np.nan), 2 * np.eye(2)]
)
def test_a_matrix_must_be_a_rotation(matrix):
    with pytest.raises(ValueError, match="must be orthonormal"):
        MatrixRotation(matrix)
    with pytest.raises(ValueError, match="must be a matrix"):
        MatrixRotation(matrix[0])


@pytest.mark.parametrize(
    "signs", [np.ones(4), np.ones((1, 3)), np.zeros((1, 4)), np.ones((0, 4))]
)
def test_signs_must_be_signs(signs):
    with pytest.raises(ValueError, match="`signs` must be"):
        HadamardRotation(3, signs)


def test_a_tall_isometry_will_do(rng):
    matrix = np.linalg.qr(rng.normal(size=(7, 4)))[0]
    x = rng.normal(size=(5, 4))
    expected = np.where(x @ matrix.T >= 0, 1.0, -1.0) @ matrix
    np.testing.assert_allclose(
        generalized_binarization(x, MatrixRotation(matrix)), expected
    )

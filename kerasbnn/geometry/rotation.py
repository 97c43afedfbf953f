"""Rotations, and binarization in a rotated basis: `R' sign(R x)`.

A rotation here is an isometry `R` of shape `(D, d)` with `D >= d` and `R'R = I`: it
keeps lengths and angles, and its transpose undoes it. `D` exceeds `d` only where a fast
transform needs a power of two.
"""

import abc
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry._arrays import real_array
from kerasbnn.geometry.angles import angle_degrees

Floats = NDArray[np.float64]


class Rotation(abc.ABC):
    """An isometry from `dimensions` to `rotated_dimensions`.

    Args:
        dimensions: Number of components `d` of the vectors, from 1 on.
        rotated_dimensions: Number of components `D >= d` after the rotation.
    """

    def __init__(self, dimensions: int, rotated_dimensions: int):
        self.dimensions = dimensions
        self.rotated_dimensions = rotated_dimensions

    def apply(self, x: ArrayLike, axis: int = -1) -> Floats:
        """Rotate vectors: `R x`.

        Args:
            x: Real array with `dimensions` components along `axis`.
            axis: Axis of the components.

        Returns:
            Float64 array with `rotated_dimensions` components along `axis`.

        Raises:
            ValueError: The vectors have another number of components.
        """
        vectors = components_last(x, axis, self.dimensions)
        # Of a vector that is not finite nothing is.
        with np.errstate(invalid="ignore", over="ignore"):
            return np.moveaxis(self._forward(vectors), -1, axis)

    def apply_transpose(self, y: ArrayLike, axis: int = -1) -> Floats:
        """Rotate vectors back: `R' y`.

        Args:
            y: Real array with `rotated_dimensions` components along `axis`.
            axis: Axis of the components.

        Returns:
            Float64 array with `dimensions` components along `axis`; for `y = R x` it is
            `x`.

        Raises:
            ValueError: The vectors have another number of components.
        """
        vectors = components_last(y, axis, self.rotated_dimensions)
        with np.errstate(invalid="ignore", over="ignore"):
            return np.moveaxis(self._backward(vectors), -1, axis)

    def matrix(self) -> Floats:
        """Write the rotation out.

        Returns:
            Float64 array `R` of shape `(rotated_dimensions, dimensions)`.
        """
        return self.apply(np.eye(self.dimensions), axis=0)

    @abc.abstractmethod
    def _forward(self, x: Floats) -> Floats:
        """Return `R x` for vectors along the last axis."""

    @abc.abstractmethod
    def _backward(self, y: Floats) -> Floats:
        """Return `R' y` for vectors along the last axis."""


class MatrixRotation(Rotation):
    """A rotation given as its matrix.

    Args:
        matrix: Real array `(D, d)` whose columns are orthonormal, to a millionth.

    Raises:
        ValueError: The columns are not orthonormal, or it is not a matrix.

    Example:
        >>> from kerasbnn.geometry.rotation import MatrixRotation
        >>> MatrixRotation([[0.0, -1.0], [1.0, 0.0]]).apply([2.0, 0.0])
        array([0., 2.])

    Reference:
        Anderson & Berg, arXiv 1705.07199, generalized binarization transformation.
    """

    def __init__(self, matrix: ArrayLike):
        found = np.array(matrix, dtype=np.float64)
        if found.ndim != 2 or 0 in found.shape:
            raise ValueError(
                "A rotation must be a matrix of shape (D, d). Received an array of "
                f"shape {found.shape}."
            )
        deviation = np.max(np.abs(found.T @ found - np.eye(found.shape[1])))
        # Not the other way round: a NaN is no small number either.
        if not deviation <= 1e-6:
            raise ValueError(
                "The columns of a rotation must be orthonormal, R'R = I. Received a "
                f"matrix of shape {found.shape} whose R'R is off by {deviation:.2g}. "
                "np.linalg.qr(matrix)[0] makes columns orthonormal."
            )
        super().__init__(found.shape[1], found.shape[0])
        self._matrix = found

    def _forward(self, x: Floats) -> Floats:
        return x @ self._matrix.T

    def _backward(self, y: Floats) -> Floats:
        return y @ self._matrix


def haar_rotation(dimensions: int, seed: int | None = None) -> MatrixRotation:
    """Draw an orthogonal matrix, every one of them as likely as any other.

    It takes `dimensions**2` numbers and `O(dimensions**3)` time; for thousands of
    dimensions `hadamard_rotation` does the same work for binarization.

    Args:
        dimensions: Number of components `d`, from 1 on.
        seed: Integer from 0 on, or None for another rotation each time.

    Returns:
        A rotation with `D = d`.

    Raises:
        ValueError: `dimensions` is less than 1.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.rotation import haar_rotation
        >>> matrix = haar_rotation(5, seed=0).matrix()
        >>> np.allclose(matrix.T @ matrix, np.eye(5))
        True

    Reference:
        Mezzadri, How to Generate Random Matrices from the Classical Compact Groups,
        arXiv math-ph/0609050.
    """
    d = checked_count("dimensions", dimensions)
    gaussian = np.random.default_rng(seed).normal(size=(d, d))
    q, r = np.linalg.qr(gaussian)
    # The algorithm picks the signs of the diagonal; undoing its choice makes all
    # orthogonal matrices equally likely.
    return MatrixRotation(q * np.where(np.diag(r) < 0, -1.0, 1.0))


def generalized_binarization(
    x: ArrayLike, rotation: Rotation, axis: int = -1
) -> Floats:
    """Binarize vectors in a rotated basis: `R' sign(R x)`.

    The sign of 0 is +1. Badly scaled components, which the plain sign would blow up to
    the size of all others, share their size between all components of `R x` first.

    Args:
        x: Real array with `rotation.dimensions` components along `axis`.
        rotation: The rotation `R`.
        axis: Axis of the components.

    Returns:
        Float64 array of the shape of `x`. Where `D = d` every vector has the length
        `sqrt(d)`.

    Raises:
        ValueError: The vectors have another number of components, or values that are
            NaN or infinite and have no sign.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.hadamard import hadamard_rotation
        >>> from kerasbnn.geometry.rotation import generalized_binarization
        >>> one_hot = [0.0, 2.0, 0.0, 0.0]
        >>> binarized = generalized_binarization(one_hot, hadamard_rotation(4))
        >>> np.allclose(binarized, one_hot)
        True

    Reference:
        Anderson & Berg, arXiv 1705.07199, generalized binarization transformation.
    """
    rotated = rotation.apply(x, axis)
    if not np.all(np.isfinite(rotated)):
        raise ValueError(
            "`x` has values that are NaN or infinite, which have no sign in another "
            "basis. Remove these vectors first."
        )
    return rotation.apply_transpose(signs_of(rotated), axis)


def rotated_binarization_angle_degrees(
    x: ArrayLike, rotation: Rotation, axis: int = -1
) -> Floats:
    """Angle between vectors and their signs in a rotated basis, in degrees.

    It is the angle between `R x` and `sign(R x)`. Where `D = d` it is also that between
    `x` and `R' sign(R x)`; where `D > d` that one may be smaller, since `R'` drops what
    no rotated vector can have.

    Args:
        x: Real array with `rotation.dimensions` components along `axis`; for the
            filters of a Keras kernel `kernel.reshape(-1, filters)` and `axis=0`.
        rotation: The rotation `R`.
        axis: Axis of the components.

    Returns:
        Float64 array from 0 to 90, of the shape of `x` without `axis`. NaN where a
        vector is zero or not finite.

    Raises:
        ValueError: The vectors have another number of components.

    Example:
        >>> from kerasbnn.geometry.hadamard import hadamard_rotation
        >>> from kerasbnn.geometry.rotation import rotated_binarization_angle_degrees
        >>> one_hot = [[0.0, 2.0, 0.0, 0.0]]
        >>> rotated_binarization_angle_degrees(one_hot, hadamard_rotation(4))
        array([0.])

    Reference:
        Anderson & Berg, arXiv 1705.07199, generalized binarization transformation.
    """
    rotated = rotation.apply(x, axis)
    return angle_degrees(rotated, signs_of(rotated), axis)


def signs_of(values: NDArray[Any]) -> Floats:
    """Return -1 where values are negative and +1 elsewhere.

    Args:
        values: Real array of any shape.

    Returns:
        Float64 array of the same shape.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.rotation import signs_of
        >>> signs_of(np.array([-3.0, 0.0, 0.5]))
        array([-1.,  1.,  1.])
    """
    return np.where(values < 0, -1.0, 1.0)


def components_last(
    x: ArrayLike, axis: int = -1, dimensions: int | None = None
) -> Floats:
    """Bring the components of vectors to the last axis.

    Args:
        x: Real array.
        axis: Axis of the components.
        dimensions: Number of components there must be, or None for any.

    Returns:
        Float64 array.

    Raises:
        ValueError: The axis is not there, or has another size.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.rotation import components_last
        >>> components_last(np.zeros((3, 5)), axis=0, dimensions=3).shape
        (5, 3)
    """
    values = real_array("x", x)
    if not -values.ndim <= axis < values.ndim:
        raise ValueError(
            f"`axis`={axis} is not an axis of an array of shape {values.shape}."
        )
    if dimensions is not None and values.shape[axis] != dimensions:
        raise ValueError(
            f"Expected vectors of {dimensions} components. Received "
            f"{values.shape[axis]} along axis {axis} of an array of shape "
            f"{values.shape}."
        )
    return np.moveaxis(values, axis, -1)


def checked_count(name: str, value: int) -> int:
    """Return an integer from 1 on, or raise.

    Args:
        name: What the number is called in the error message.
        value: The number.

    Returns:
        The number as an int.

    Raises:
        ValueError: It is less than 1.
        TypeError: It is not an integer.

    Example:
        >>> from kerasbnn.geometry.rotation import checked_count
        >>> checked_count("dimensions", 27)
        27
    """
    count = operator.index(value)
    if count < 1:
        raise ValueError(f"`{name}` must be an integer from 1 on. Received: {value}.")
    return count

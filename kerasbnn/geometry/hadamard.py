"""The randomised Hadamard rotation: a random basis change without a matrix."""

import math

import numpy as np
from numpy.typing import ArrayLike

from kerasbnn.geometry.rotation import (
    Floats,
    Rotation,
    checked_count,
    components_last,
)


class HadamardRotation(Rotation):
    """Random signs and a Walsh-Hadamard transform, in `O(D log D)` without a matrix.

    `R x = H S x / sqrt(D)`: `S` flips signs at random and `H` is the Hadamard matrix.
    `D` is `d`, or the next power of two, to which zeros fill `x` up. With several rows
    of signs the two steps are repeated, row by row.

    One round makes a one-hot vector exactly binary. It leaves exact zeros where few
    components are not zero and those are equal (two ones: half of all components); a
    second round mixes these too.

    Args:
        dimensions: Number of components `d`, from 1 on.
        signs: Array of +1 and -1, of shape `(rounds, D)`.

    Raises:
        ValueError: The signs are no such array.

    Example:
        >>> from kerasbnn.geometry.hadamard import HadamardRotation
        >>> HadamardRotation(3, [[1, 1, -1, 1]]).apply([0.0, 0.0, 4.0])
        array([-2., -2.,  2.,  2.])

    Reference:
        Ailon & Chazelle, The Fast Johnson-Lindenstrauss Transform, 2009; the
        generalized binarization is that of Anderson & Berg, arXiv 1705.07199.
    """

    def __init__(self, dimensions: int, signs: ArrayLike):
        super().__init__(dimensions, next_power_of_two(dimensions))
        self.signs = np.array(signs, dtype=np.float64)
        if (
            self.signs.ndim != 2
            or not len(self.signs)
            or self.signs.shape[1] != self.rotated_dimensions
            or np.any(np.abs(self.signs) != 1)
        ):
            raise ValueError(
                "`signs` must be +1 and -1, in an array of shape "
                f"(rounds, {self.rotated_dimensions}) for {dimensions} dimensions. "
                f"Received an array of shape {self.signs.shape}."
            )

    def _forward(self, x: Floats) -> Floats:
        missing = self.rotated_dimensions - self.dimensions
        x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)])
        for signs in self.signs:
            x = walsh_hadamard_transform(signs * x)
        return x

    def _backward(self, y: Floats) -> Floats:
        for signs in self.signs[::-1]:
            y = signs * walsh_hadamard_transform(y)
        return y[..., : self.dimensions]


def walsh_hadamard_transform(x: ArrayLike, axis: int = -1) -> Floats:
    """Multiply by the Hadamard matrix, orthonormal, without making it.

    `O(n log n)` additions. The matrix is that of Sylvester's construction over
    `sqrt(n)`; it is symmetric, so the transform is its own inverse.

    Args:
        x: Real array; its size along `axis` is a power of two.
        axis: Axis of the components.

    Returns:
        Float64 array of the shape of `x`.

    Raises:
        ValueError: The size is no power of two.

    Example:
        >>> from kerasbnn.geometry.hadamard import walsh_hadamard_transform
        >>> walsh_hadamard_transform([1.0, 0.0, 0.0, 1.0])
        array([1., 0., 0., 1.])

    Reference:
        Fino & Algazi, Unified Matrix Treatment of the Fast Walsh-Hadamard Transform,
        1976.
    """
    values = components_last(x, axis)
    shape, n = values.shape, values.shape[-1]
    if n < 1 or n & (n - 1):
        raise ValueError(
            f"A Walsh-Hadamard transform needs a power of two. Received size {n} along "
            f"axis {axis} of an array of shape {shape}. Fill it up with zeros."
        )
    # A step transforms the highest bit of the index and makes it the lowest. After one
    # step per bit all bits are transformed and back in their places.
    for _ in range(n.bit_length() - 1):
        first, second = values[..., : n // 2], values[..., n // 2 :]
        values = np.stack([first + second, first - second], axis=-1).reshape(shape)
    return np.moveaxis(values / math.sqrt(n), -1, axis)


def next_power_of_two(dimensions: int) -> int:
    """Find the smallest power of two that is not below a number.

    Args:
        dimensions: Integer from 1 on.

    Returns:
        A power of two.

    Raises:
        ValueError: `dimensions` is less than 1.
        TypeError: `dimensions` is not an integer.

    Example:
        >>> from kerasbnn.geometry.hadamard import next_power_of_two
        >>> next_power_of_two(27), next_power_of_two(32)
        (32, 32)
    """
    return 1 << (checked_count("dimensions", dimensions) - 1).bit_length()


def hadamard_rotation(
    dimensions: int, seed: int | None = None, rounds: int = 1
) -> HadamardRotation:
    """Draw a randomised Hadamard rotation: fast, and stored as its signs alone.

    Args:
        dimensions: Number of components `d`, from 1 on.
        seed: Integer from 0 on, or None for another rotation each time.
        rounds: Number of times that signs are flipped and mixed, from 1 on.

    Returns:
        A rotation with `D` the next power of two.

    Raises:
        ValueError: `dimensions` or `rounds` is less than 1.
        TypeError: `dimensions` or `rounds` is not an integer.

    Example:
        >>> from kerasbnn.geometry.hadamard import hadamard_rotation
        >>> hadamard_rotation(27, seed=0).apply([1.0] * 27).shape
        (32,)

    Reference:
        Ailon & Chazelle, The Fast Johnson-Lindenstrauss Transform, 2009.
    """
    size = next_power_of_two(dimensions)
    shape = (checked_count("rounds", rounds), size)
    signs = np.random.default_rng(seed).integers(0, 2, size=shape)
    return HadamardRotation(dimensions, 1 - 2 * signs)

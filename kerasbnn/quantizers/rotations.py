"""Rotations whose parameters are weights of a Keras layer.

They are those of `geometry.rotation` for training: a layer or a quantizer calls
`add_rotation` when it is built, and `around` in its forward pass.
"""

import math
import random

import numpy as np
from keras import ops

from kerasbnn._checks import suggestion
from kerasbnn.geometry.hadamard import hadamard_rotation
from kerasbnn.geometry.rotation import haar_rotation

ROTATIONS = ("haar", "hadamard", "learned")


def checked_rotation(rotation, known=ROTATIONS):
    """Return the name of a rotation if it is known, or raise.

    Args:
        rotation: The name.
        known: The names that are accepted.

    Returns:
        The name.

    Raises:
        ValueError: The name is unknown.

    Example:
        >>> from kerasbnn.quantizers.rotations import checked_rotation
        >>> checked_rotation("haar")
        'haar'
    """
    if rotation not in known:
        raise ValueError(
            f"Unknown rotation {rotation!r}.{suggestion(str(rotation), known)} "
            f"Known rotations: {', '.join(known)}."
        )
    return rotation


def checked_seed(seed):
    """Return a seed, or draw one as Keras' initializers do.

    Args:
        seed: Integer from 0 on, or None.

    Returns:
        An int.

    Raises:
        ValueError: `seed` is something else.

    Example:
        >>> from kerasbnn.quantizers.rotations import checked_seed
        >>> checked_seed(7)
        7
    """
    if seed is None:
        # From the generator that keras.utils.set_random_seed sets.
        return random.randint(1, 10**9)
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(
            f"`seed` must be an integer from 0 on, or None. Received: {seed!r}."
        )
    return int(seed)


def add_rotation(layer, rotation, dimensions, seed):
    """Give a layer the weights of a rotation.

    Args:
        layer: The layer, being built.
        rotation: `"haar"`, `"hadamard"` or `"learned"`.
        dimensions: Number of components of the vectors.
        seed: Integer that the random start is drawn from.

    Returns:
        The rotation, with `around(x, function)`.

    Example:
        >>> import keras
        >>> from kerasbnn.quantizers.rotations import add_rotation
        >>> layer = keras.layers.Layer()
        >>> rotation = add_rotation(layer, "hadamard", 27, seed=0)
        >>> [tuple(weight.shape) for weight in layer.weights]
        [(32,)]
    """
    kinds = {
        "haar": FixedRotation,
        "hadamard": FastRotation,
        "learned": LearnedRotation,
    }
    return kinds[rotation](layer, dimensions, seed)


class FixedRotation:
    """A random orthogonal matrix, kept as a weight that is not trained.

    Args:
        layer: The layer to own the weight.
        dimensions: Number of components of the vectors.
        seed: Integer that the matrix is drawn from, by `geometry.haar_rotation`.
    """

    def __init__(self, layer, dimensions, seed):
        self.dimensions = self.rotated_dimensions = dimensions
        self._matrix = add_constant(
            layer,
            "rotation",
            (dimensions, dimensions),
            lambda: haar_rotation(dimensions, seed).matrix(),
        )

    def matrix(self, dtype):
        """Return the rotation as it is now.

        Args:
            dtype: Dtype of the result.

        Returns:
            Orthogonal tensor of shape `(dimensions, dimensions)`.
        """
        return ops.cast(self._matrix, dtype)

    def around(self, x, function):
        """Apply a function in the rotated basis: `R' function(R x)`.

        Args:
            x: Tensor of shape `(n, dimensions)`.
            function: Maps a tensor `(n, rotated_dimensions)` to one of that shape.

        Returns:
            Tensor of the shape of `x`.
        """
        matrix = self.matrix(x.dtype)
        return ops.matmul(function(ops.matmul(x, ops.transpose(matrix))), matrix)


class LearnedRotation(FixedRotation):
    """A trained orthogonal matrix: `R = (I + A)^-1 (I - A) R0`, `A` skew-symmetric.

    Orthogonal at every step by construction, whatever the optimizer does. `R0` is
    random and fixed, and `A = 0` at first. Orthogonal matrices that turn some direction
    of `R0` round to its opposite are reached only in the limit of large `A`.

    Args:
        layer: The layer to own the weights.
        dimensions: Number of components of the vectors.
        seed: Integer that `R0` is drawn from, by `geometry.haar_rotation`.

    Reference:
        Helfrich et al., Orthogonal Recurrent Neural Networks with Scaled Cayley
        Transform, arXiv 1707.09520 (the parametrisation).
    """

    def __init__(self, layer, dimensions, seed):
        super().__init__(layer, dimensions, seed)
        # Only its skew-symmetric part counts.
        self._generator = layer.add_weight(
            name="generator",
            shape=(dimensions, dimensions),
            initializer="zeros",
            autocast=False,
        )

    def matrix(self, dtype):
        """Return the rotation as it is now.

        Args:
            dtype: Dtype of the result.

        Returns:
            Orthogonal tensor of shape `(dimensions, dimensions)`.
        """
        generator = ops.cast(self._generator, dtype)
        skew = (generator - ops.transpose(generator)) / 2
        identity = ops.eye(self.dimensions, dtype=dtype)
        # I + A is never singular, as the eigenvalues of A are imaginary.
        start = super().matrix(dtype)
        return ops.solve(identity + skew, ops.matmul(identity - skew, start))


class FastRotation:
    """A randomised Hadamard rotation: random signs are all that is kept.

    Args:
        layer: The layer to own the signs.
        dimensions: Number of components of the vectors.
        seed: Integer that the signs are drawn from, by `geometry.hadamard_rotation`.
    """

    def __init__(self, layer, dimensions, seed):
        drawn = hadamard_rotation(dimensions, seed)
        self.dimensions = dimensions
        self.rotated_dimensions = drawn.rotated_dimensions
        self._signs = add_constant(
            layer, "signs", (drawn.rotated_dimensions,), lambda: drawn.signs[0]
        )

    def around(self, x, function):
        """Apply a function in the rotated basis: `R' function(R x)`.

        Args:
            x: Tensor of shape `(n, dimensions)`.
            function: Maps a tensor `(n, rotated_dimensions)` to one of that shape.

        Returns:
            Tensor of the shape of `x`.
        """
        signs = ops.cast(self._signs, x.dtype)
        missing = self.rotated_dimensions - self.dimensions
        if missing:
            x = ops.pad(x, [(0, 0), (0, missing)])
        rotated = function(walsh_hadamard_transform(x * signs))
        return (walsh_hadamard_transform(rotated) * signs)[:, : self.dimensions]


def walsh_hadamard_transform(x):
    """Multiply by the orthonormal Hadamard matrix, in `O(n log n)`.

    Args:
        x: Float tensor of shape `(rows, n)`, `n` a power of two.

    Returns:
        Tensor of the same shape.

    Example:
        >>> from keras import ops
        >>> from kerasbnn.quantizers.rotations import walsh_hadamard_transform
        >>> row = ops.convert_to_tensor([[1.0, 0.0, 0.0, 1.0]])
        >>> ops.convert_to_numpy(walsh_hadamard_transform(row)).tolist()
        [[1.0, 0.0, 0.0, 1.0]]

    Reference:
        `geometry.hadamard.walsh_hadamard_transform`, which explains the steps.
    """
    n = x.shape[-1]
    for _ in range(n.bit_length() - 1):
        first, second = x[:, : n // 2], x[:, n // 2 :]
        x = ops.reshape(ops.stack([first + second, first - second], axis=-1), (-1, n))
    return x * ops.cast(1 / math.sqrt(n), x.dtype)


def add_constant(layer, name, shape, make_value):
    """Add a weight that is not trained and keeps its precision.

    Args:
        layer: The layer to own it.
        name: Name of the weight.
        shape: Its shape.
        make_value: Makes the numpy array that it starts from.

    Returns:
        A `keras.Variable` of float32, or float64 where the layer's weights are.
    """
    # Rounded to half precision, a matrix would no longer be orthogonal.
    dtype = "float64" if layer.variable_dtype == "float64" else "float32"
    return layer.add_weight(
        name=name,
        shape=shape,
        dtype=dtype,
        initializer=lambda shape, dtype: ops.convert_to_tensor(make_value(), dtype),
        trainable=False,
        autocast=False,
    )

"""Binarization of activations in another basis: rotated, learned or whitened."""

import keras
import numpy as np
from keras import ops

from kerasbnn._checks import checked_number
from kerasbnn._registration import register
from kerasbnn.geometry.whitening import (
    DEFAULT_REGULARIZATION,
    whitening_from_covariance,
)
from kerasbnn.quantizers.adaptation import (
    adaptation_batches,
    first_of,
    fit_covariance,
)
from kerasbnn.quantizers.base import plain
from kerasbnn.quantizers.gradients import identity_within, sign, widened, with_gradient
from kerasbnn.quantizers.rotations import (
    ROTATIONS,
    add_constant,
    add_rotation,
    checked_rotation,
    checked_seed,
)


@register
class GeneralizedBinarization(keras.layers.Layer):
    r"""Sign in a rotated basis, `R' sign(R x)`, or in the one that whitens the inputs.

    Forward: `R' sign(R x)` for the vectors along one axis, the sign of 0 being +1.
    Gradient: `R' M R` with `M = 1 if |R x| <= clip_value else 0`, the limit included;
    with `clip_value=None` it is the identity.

    A plain sign blows up small components to the size of all others; after a rotation
    components are of one size, and the angle between `x` and the result is about 37
    degrees whatever the scales. The bits are those of `R x`; the outputs themselves are
    real numbers.

    Rotations:

    - `"hadamard"`: random signs and a fast Walsh-Hadamard transform, `O(d log d)` per
      vector and a vector of signs as its only weight. Where `d` is no power of two,
      zeros fill the vectors up to `D`, the next one: `R` is then of shape `(D, d)`,
      still with `R'R = I`, and yields `D` bits.
    - `"haar"`: a random orthogonal matrix `(d, d)`, which is not trained.
    - `"learned"`: an orthogonal matrix that starts there and is trained; orthogonal at
      every step by construction (a Cayley transform).
    - `"whitening"`: `mu + C^(1/2) sign(C^(-1/2) (x - mu))`, with the mean `mu` and the
      covariance `C` of data given to `adapt`; the gradient is `C^(1/2) M C^(-1/2)`. It
      is for correlated inputs, such as images, of which a rotation preserves no more
      dot products than the plain sign. Without `adapt` the layer refuses to run.

    Args:
        rotation: `"hadamard"`, `"haar"`, `"learned"` or `"whitening"`.
        axis: Axis of the components of a vector, not that of the batch.
        seed: Integer that the random rotation is drawn from; None draws one.
        clip_value: Positive float, or None for a gradient without limit. It is in units
            of `x`; under whitening in standard deviations.
        regularization: Under whitening, eigenvalues of `C` below this share of their
            mean are raised to it; a number above 0.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        TypeError: `axis`, `clip_value` or `regularization` is of another type.
        ValueError: The rotation is unknown or another argument out of range; when
            built, the axis is not there or its size not known; when called, the layer
            has to be adapted first.

    Input shape: any, with a batch axis. Output shape: the same.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.layers import GeneralizedBinarization
        >>> one_hot = np.array([[0.0, -2.0, 0.0, 0.0]], "float32")
        >>> outputs = GeneralizedBinarization("hadamard")(one_hot)
        >>> np.abs(ops.convert_to_numpy(outputs)).tolist()
        [[0.0, 2.0, 0.0, 0.0]]

    Reference:
        Anderson & Berg, arXiv 1705.07199, generalized binarization transformation.
    """

    def __init__(
        self,
        rotation="hadamard",
        axis=-1,
        seed=None,
        clip_value=1.0,
        regularization=DEFAULT_REGULARIZATION,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.rotation = checked_rotation(rotation, (*ROTATIONS, "whitening"))
        self.axis = _checked_axis(axis)
        self.seed = checked_seed(seed)
        self.clip_value = checked_number(
            "clip_value", clip_value, minimum=0, exclusive=True, optional=True
        )
        self.regularization = checked_number(
            "regularization", regularization, minimum=0, exclusive=True
        )
        self.supports_masking = True

    @property
    def is_adapted(self):
        """Whether the layer can run: always, but for whitening only after `adapt`."""
        return self.rotation != "whitening" or (
            self.built and self._adapted.has_been_set
        )

    def build(self, input_shape):
        dimensions = self._dimensions_of(input_shape)
        if self.rotation != "whitening":
            self._rotation = add_rotation(self, self.rotation, dimensions, self.seed)
            return
        square = (dimensions, dimensions)
        self._mean = add_constant(
            self, "mean", (dimensions,), lambda: np.zeros(square[0])
        )
        self._root = add_constant(self, "root", square, lambda: np.eye(dimensions))
        self._inverse_root = add_constant(
            self, "inverse_root", square, lambda: np.eye(dimensions)
        )
        self._adapted = _Flag(name="adapted")

    def _dimensions_of(self, shape):
        rank = len(shape)
        if not -rank <= self.axis < rank or self.axis % rank == 0:
            raise ValueError(
                f"`axis`={self.axis} of layer '{self.name}' must be an axis of the "
                "inputs other than that of the batch, 0. Received inputs of shape "
                f"{tuple(shape)}."
            )
        if shape[self.axis] is None:
            raise ValueError(
                f"Layer '{self.name}' binarizes vectors along axis {self.axis}, whose "
                f"size must be known. Received inputs of shape {tuple(shape)}. Declare "
                "it in keras.Input."
            )
        return shape[self.axis]

    def call(self, inputs):
        inputs = ops.cast(inputs, self.compute_dtype)
        # Rounded to half precision, vectors would turn.
        x = ops.moveaxis(widened(inputs), self.axis, -1)
        shape = ops.shape(x)
        vectors = ops.reshape(x, (-1, x.shape[-1]))
        if self.rotation == "whitening":
            binarized = self._around_whitened(vectors)
        else:
            binarized = self._rotation.around(vectors, self._signs)
        outputs = ops.moveaxis(ops.reshape(binarized, shape), -1, self.axis)
        return ops.cast(outputs, inputs.dtype)

    def _signs(self, values):
        return with_gradient(values, sign, identity_within(self.clip_value))

    def _around_whitened(self, x):
        if not self.is_adapted:
            raise ValueError(
                f"Layer '{self.name}' has to see data before it can whiten inputs. "
                f"Call layer.adapt(data) first, on the inputs that it is to get."
            )
        mean, root, inverse_root = (
            ops.cast(weight, x.dtype)
            for weight in (self._mean, self._root, self._inverse_root)
        )
        signs = self._signs(ops.matmul(x - mean, inverse_root))
        return mean + ops.matmul(signs, root)

    def adapt(self, data):
        """Fit the mean and the covariance, for `rotation="whitening"`.

        Args:
            data: Array or tensor of inputs, with a batch axis; or batches of them: a
                `tf.data.Dataset`, a `keras.utils.PyDataset` or any iterable. Each
                position along all axes but the layer's is a vector that counts.

        Raises:
            ValueError: The layer does not whiten; or the data does not fit it, does not
                vary, has no end, or has values that are NaN or infinite.
            TypeError: The data is no array and nothing to iterate over.

        Example:
            >>> import numpy as np
            >>> from kerasbnn.layers import GeneralizedBinarization
            >>> layer = GeneralizedBinarization("whitening")
            >>> layer.adapt(np.random.default_rng(0).normal(size=(100, 8)))
            >>> layer.is_adapted
            True
        """
        if self.rotation != "whitening":
            raise ValueError(
                f"Layer '{self.name}' has rotation={self.rotation!r}, which needs no "
                'data. `adapt` is for rotation="whitening".'
            )
        first, batches = first_of(adaptation_batches(data))
        if not self.built:
            self.build((None, *first.shape[1:]))
        dimensions = self._mean.shape[0]
        seen = fit_covariance(batches, dimensions, self.axis)
        whitening = whitening_from_covariance(
            seen.matrix, seen.mean, plain(self.regularization)
        )
        self._mean.assign(whitening.mean)
        self._root.assign(whitening.root)
        self._inverse_root.assign(whitening.inverse_root)
        self._adapted.assign(1.0)

    def compute_output_shape(self, input_shape):
        self._dimensions_of(input_shape)
        return tuple(input_shape)

    def compute_output_spec(self, inputs):
        # Not by calling the layer: a model is put together before its layers adapt.
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype=self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "rotation": self.rotation,
            "axis": self.axis,
            "seed": self.seed,
            "clip_value": plain(self.clip_value),
            "regularization": plain(self.regularization),
        }


class _Flag(keras.Variable):
    """A weight that is 0 or 1, of which Python knows what was assigned last.

    A compiled call cannot read the value of a weight and raise. Files, `set_weights`
    and `adapt` all assign.
    """

    def __init__(self, name):
        self.has_been_set = False
        super().__init__(
            keras.initializers.Zeros(),
            shape=(),
            dtype="float32",
            trainable=False,
            autocast=False,
            name=name,
        )

    def assign(self, value):
        assigned = super().assign(value)
        self.has_been_set = bool(ops.convert_to_numpy(assigned))
        return assigned


def _checked_axis(axis):
    if isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
        raise TypeError(
            f"`axis` must be one int. Received: {axis!r} of type {type(axis).__name__}."
        )
    if axis == 0:
        raise ValueError(
            "`axis` must not be 0, which is the axis of the batch. The last one is -1."
        )
    return int(axis)

"""A kernel quantizer that takes the signs of filters in a rotated basis."""

from keras import ops

from kerasbnn._registration import register
from kerasbnn.quantizers.filterwise import FilterwiseSign
from kerasbnn.quantizers.gradients import identity_within, sign, with_gradient
from kerasbnn.quantizers.rotations import add_rotation, checked_rotation, checked_seed


@register
class RotatedSign(FilterwiseSign):
    r"""Signs of filters in a rotated basis: one bit per weight there.

    Forward: `q(w) = R' sign(R w)` for each filter `w`, over all axes of the kernel but
    those of its channels, with one orthogonal `R` for all filters of a layer.
    Gradient: `dq/dw = R' M R` with `M = 1 if |R w| <= clip_value else 0`; with
    `clip_value=None`, the default, it is the identity.

    The kernel that a layer computes with is so no longer ±1 by itself; `R x` times the
    signs is the same number. A rotation repairs filters of badly scaled weights, whose
    plain signs point elsewhere: a filter of few large weights comes out as itself. For
    correlated inputs it changes next to nothing; `WhitenedSign` is for those.

    Rotations: `"hadamard"` is a fast transform and keeps a vector of random signs,
    `"haar"` a random matrix of the fan-in squared; `"learned"` starts there and trains.
    A Hadamard rotation needs `D` bits for a filter of `d` weights, `D` the next power
    of two, so that `precision` is `D / d` once it is built.

    The signs of `R w` follow from all of `w`, so clipping the weights does not bring
    `R w` back below a `clip_value`: hence no limit by default. `starves` is set where
    there is one. The length of every `q(w)` is about `sqrt(d)`, as for plain signs, so
    no scale is needed where a batch normalization follows.

    The rotation is a weight, so every layer needs an instance of its own.

    Args:
        rotation: `"hadamard"`, `"haar"` or `"learned"`.
        seed: Integer that the random rotation is drawn from; None draws one.
        clip_value: Positive float, or None for a gradient without limit.
        scale: Whether to multiply each `q(w)` by the magnitude that brings it nearest
            to `w`, `w'q / q'q`, a constant for the gradient; for a kernel that no
            normalization follows.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        TypeError: `clip_value` is neither a number nor None.
        ValueError: The rotation is unknown, `seed` or `clip_value` out of range, or the
            same instance was given to two layers.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.quantizers import RotatedSign
        >>> one_hot = np.array([[0.0], [0.0], [-0.1], [0.0]], "float32")
        >>> rotated = RotatedSign("hadamard")(one_hot)
        >>> np.abs(ops.convert_to_numpy(rotated)).tolist()
        [[0.0], [0.0], [2.0], [0.0]]

    Reference:
        Anderson & Berg, arXiv 1705.07199, generalized binarization transformation; for
        weights, with a learnt rotation, Lin et al., Rotated Binary Neural Network,
        arXiv 2009.13055.
    """

    def __init__(
        self, rotation="hadamard", seed=None, clip_value=None, scale=False, **kwargs
    ):
        super().__init__(clip_value=clip_value, scale=scale, **kwargs)
        self.rotation = checked_rotation(rotation)
        self.seed = checked_seed(seed)

    def add_basis(self, fan_in):
        self._rotation = add_rotation(self, self.rotation, fan_in, self.seed)
        if self._rotation.rotated_dimensions != fan_in:
            self.precision = self._rotation.rotated_dimensions / fan_in

    def binarize(self, filters):
        def signs(rotated):
            return with_gradient(rotated, sign, identity_within(self.clip_value))

        binarized = self._rotation.around(filters, signs)
        squares = ops.sum(ops.square(binarized), axis=-1, keepdims=True)
        overlap = ops.sum(filters * binarized, axis=-1, keepdims=True)
        return binarized, overlap / squares

    def get_config(self):
        return {**super().get_config(), "rotation": self.rotation, "seed": self.seed}

"""A kernel quantizer that takes the signs of filters where inputs are white."""

import numpy as np
from keras import ops

from kerasbnn._checks import checked_number
from kerasbnn._registration import register
from kerasbnn.geometry.whitening import (
    DEFAULT_REGULARIZATION,
    whitening_from_covariance,
)
from kerasbnn.quantizers.adaptation import adaptation_batches, fit_covariance
from kerasbnn.quantizers.base import plain
from kerasbnn.quantizers.filterwise import FilterwiseSign
from kerasbnn.quantizers.gradients import identity_within, sign, with_gradient
from kerasbnn.quantizers.patches import layer_patches
from kerasbnn.quantizers.rotations import add_constant


@register
class WhitenedSign(FilterwiseSign):
    r"""Signs of filters in the basis that whitens their inputs.

    Forward: `q(w) = C^(-1/2) sign(C^(1/2) w)` for each filter `w`, over all axes of the
    kernel but those of its channels, with `C` the covariance of the input patches, over
    their mean variance. So `q(w)' x` is the product of the signs with the whitened `x`.
    Gradient: `C^(-1/2) M C^(-1/2)` times the upstream one, with
    `M = 1 if |C^(1/2) w| <= clip_value else 0`; with `clip_value=None`, the default, it
    is `C^-1`. So a step of descent moves `v = C^(1/2) w` as it would move the latent
    weights of plain signs on whitened inputs, straight through. (The chain rule would
    multiply that step by `C`, and the few directions of large variance would drown all
    others.)

    Images are strongly correlated inputs. There the plain signs of a filter that looks
    at anything but the mean colour give other dot products than the filter (a
    correlation of about 0.5), in the whitened basis much the same ones (about 0.8): use
    it for a first layer with binary weights.

    `adapt` or `adapt_from_inputs` fit `C` once, before training. Before that `C = I`,
    and the quantizer is that of plain signs: a model can be built and saved. `C` is a
    weight that is saved and not trained, so every layer needs an instance of its own.

    `C^(1/2) w` follows from all of `w`, so clipping the weights does not bring it back
    below a `clip_value`: hence no limit by default. `starves` is set where there is
    one. Outputs vary as much as those of plain signs do on white inputs, so no scale is
    needed where a batch normalization follows.

    Args:
        clip_value: Positive float, or None for a gradient without limit.
        scale: Whether to multiply each `q(w)` by the magnitude that brings `q(w)' x`
            nearest to `w' x`, `mean |C^(1/2) w|`, a constant for the gradient; for a
            kernel that no normalization follows.
        regularization: Eigenvalues of `C` below this share of their mean are raised to
            it; a number above 0.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        TypeError: `clip_value` or `regularization` is not a number.
        ValueError: One of them is not positive, or the same instance was given to two
            layers.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn import QuantDense
        >>> layer = QuantDense(
        ...     1, kernel_initializer="ones", kernel_quantizer="whitened_sign"
        ... )
        >>> inputs = np.array([[4, 1], [-4, 1], [4, -1], [-4, -1]], "float32")
        >>> layer.kernel_quantizer.adapt_from_inputs(layer, inputs)
        >>> ops.convert_to_numpy(layer.quantize_kernel()).round(3).tolist()
        [[0.7289999723434448], [2.9149999618530273]]

    Reference:
        Anderson & Berg, arXiv 1705.07199, generalized binarization transformation and
        the weak correlation of first layers; the whitening is ZCA, Bell & Sejnowski,
        1997.
    """

    def __init__(
        self,
        clip_value=None,
        scale=False,
        regularization=DEFAULT_REGULARIZATION,
        **kwargs,
    ):
        super().__init__(clip_value=clip_value, scale=scale, **kwargs)
        self.regularization = checked_number(
            "regularization", regularization, minimum=0, exclusive=True
        )

    def add_basis(self, fan_in):
        shape = (fan_in, fan_in)
        self._root, self._inverse_root = (
            add_constant(self, name, shape, lambda: np.eye(fan_in))
            for name in ("root", "inverse_root")
        )

    def binarize(self, filters):
        root, inverse_root = (
            ops.cast(matrix, filters.dtype)
            for matrix in (self._root, self._inverse_root)
        )

        def forward(w):
            return ops.matmul(sign(ops.matmul(w, root)), inverse_root)

        def backward(w, upstream):
            to_signs = ops.matmul(upstream, inverse_root)
            to_values = identity_within(self.clip_value)(ops.matmul(w, root), to_signs)
            return ops.matmul(to_values, inverse_root)

        magnitude = ops.mean(ops.abs(ops.matmul(filters, root)), axis=-1, keepdims=True)
        return with_gradient(filters, forward, backward), magnitude

    def adapt(self, data):
        """Fit the covariance to input patches.

        Args:
            data: Array or tensor `(n, ..., fan_in)`, or batches of such: a dataset or
                any iterable. The elements of a patch lie as the weights of a filter do,
                such as `(height, width, channels)`, flattened.

        Raises:
            ValueError: The layer has no weights yet, or the patches do not fit it, do
                not vary, or have values that are NaN or infinite.
            TypeError: The data is no array and nothing to iterate over.

        Example:
            >>> import numpy as np
            >>> from kerasbnn import QuantConv2D
            >>> layer = QuantConv2D(8, 3, kernel_quantizer="whitened_sign")
            >>> layer.build((None, 32, 32, 1))
            >>> patches = np.random.default_rng(0).normal(size=(500, 3 * 3))
            >>> layer.kernel_quantizer.adapt(patches)
        """
        if not self.built:
            raise ValueError(
                f"WhitenedSign '{self.name}' has no weights yet. Build its layer "
                "before `adapt`, or use `adapt_from_inputs`, which does that."
            )
        fan_in = self._root.shape[0]
        covariance = fit_covariance(adaptation_batches(data), fan_in).matrix
        whitening = whitening_from_covariance(
            covariance, regularization=plain(self.regularization)
        )
        # In units of the mean variance, the weights keep their size in the new basis.
        unit = np.sqrt(np.trace(covariance) / fan_in)
        self._root.assign(whitening.root / unit)
        self._inverse_root.assign(whitening.inverse_root * unit)

    def adapt_from_inputs(self, layer, inputs, max_patches=65_536, seed=0):
        """Fit the covariance to the patches that a layer sees in some inputs.

        Args:
            layer: The dense layer or convolution (1D, 2D, 3D) that has this quantizer
                as its `kernel_quantizer`. It is built if it is not yet.
            inputs: A batch of inputs for the layer, array or tensor.
            max_patches: Largest number of patches to sample from them.
            seed: Seed of the sample.

        Raises:
            TypeError: The layer is of another kind; use `adapt` for it.
            ValueError: The layer has another quantizer, or the inputs do not fit it, do
                not vary, or have values that are NaN or infinite.

        Example:
            >>> import numpy as np
            >>> from kerasbnn import QuantConv2D
            >>> layer = QuantConv2D(8, 3, kernel_quantizer="whitened_sign")
            >>> images = np.random.default_rng(0).normal(size=(10, 16, 16, 3))
            >>> layer.kernel_quantizer.adapt_from_inputs(layer, images)
        """
        if getattr(layer, "kernel_quantizer", None) is not self:
            raise ValueError(
                f"The kernel quantizer of layer '{layer.name}' is not this one, "
                f"'{self.name}'. Use layer.kernel_quantizer.adapt_from_inputs(layer, "
                "inputs)."
            )
        if not layer.built:
            layer.build(tuple(inputs.shape))
        self.adapt(layer_patches(layer, inputs, max_patches, seed))

    def get_config(self):
        return {
            **super().get_config(),
            "regularization": plain(self.regularization),
        }

"""Variables that read as their quantized value inside `context.quantized_scope`."""

import keras
import numpy as np
from keras import ops

from kerasbnn.larq.context import should_quantize
from kerasbnn.layers.base import apply_quantizer


class QuantizedVariable(keras.Variable):
    """The latent weights of one kernel of a layer of `kerasbnn.larq`.

    A variable of Keras in all respects, but for what it gives as a numpy array inside
    `context.quantized_scope(True)`: the quantized values.

    Attributes:
        quantizer: The quantizer of the kernel.
        precision: Bits of one quantized value, or None where that is not known.

    Example:
        >>> import kerasbnn.larq as lq
        >>> layer = lq.layers.QuantDense(
        ...     2, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
        ... )
        >>> layer.build((None, 3))
        >>> type(layer.kernel).__name__, layer.kernel.precision
        ('QuantizedVariable', 1)
    """

    quantizer = None
    precision: float | None = None
    _channel_axes: tuple[int, ...] = (-1,)

    @classmethod
    def adopt(cls, variable, quantizer, channel_axes):
        """Make a variable of Keras one of this class, in place.

        Args:
            variable: The variable that a layer has made.
            quantizer: The quantizer of its values.
            channel_axes: Its axes along which each position is an output channel.

        Example:
            >>> import keras
            >>> from kerasbnn.larq.quantized_variable import QuantizedVariable
            >>> from kerasbnn.quantizers import SteSign
            >>> variable = keras.Variable([0.5, -0.5])
            >>> QuantizedVariable.adopt(variable, SteSign(), (-1,))
            >>> variable.precision
            1
        """
        # Keras makes the variables of its layers itself, and offers no hook for it.
        variable.__class__ = cls
        variable.quantizer = quantizer
        variable.precision = getattr(quantizer, "precision", None)
        variable._channel_axes = channel_axes

    def numpy(self):
        return np.array(self) if self._is_quantized() else super().numpy()

    def __array__(self, dtype=None):
        if not self._is_quantized():
            return super().__array__(dtype)
        latent = ops.cast(self.value, self.dtype)
        quantized = apply_quantizer(self.quantizer, latent, self._channel_axes)
        values = ops.convert_to_numpy(quantized)
        return values if dtype is None else values.astype(dtype)

    def _is_quantized(self):
        return self.quantizer is not None and should_quantize()

"""Quantized dense layer."""

import keras
from keras import ops

from kerasbnn._registration import register
from kerasbnn.layers.base import QuantizedLayer


@register
class QuantDense(QuantizedLayer, keras.layers.Dense):
    """Dense layer that quantizes its inputs and its kernel.

    Computes `activation(input_quantizer(x) @ kernel_quantizer(kernel) + bias)`. With
    both quantizers None it is `keras.layers.Dense`, bit for bit.

    Args:
        units: Size of the output, a positive integer.
        *args: Further positional arguments of `keras.layers.Dense`.
        input_quantizer: Quantizer of the inputs, or None.
        kernel_quantizer: Quantizer of the kernel, or None.
        **kwargs: Arguments of `keras.layers.Dense`, and `metrics=["flip_ratio"]`.

    Raises:
        ValueError: A quantizer name is unknown, or a quantizer with weights is shared.

    Input shape: `(batch, ..., features)`. Output shape: `(batch, ..., units)`.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantDense
        >>> layer = QuantDense(
        ...     2, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
        ... )
        >>> tuple(layer(np.ones((1, 3), "float32")).shape)
        (1, 2)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

    def call(self, inputs, training=None):
        inputs = self.quantize_inputs(inputs)
        outputs = ops.matmul(inputs, self.quantize_kernel(training=training))
        return self.add_bias_and_activate(outputs)

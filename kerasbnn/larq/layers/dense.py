"""Larq's dense layer."""

from kerasbnn import layers
from kerasbnn.larq.layers.base import LarqLayer, named
from kerasbnn.larq.registration import register


@register
class QuantDense(LarqLayer, layers.QuantDense):
    """Dense layer that quantizes its inputs and its kernel, with Larq's signature.

    Args:
        units: Size of the output, a positive integer.
        activation: Name or function; a quantizer's name will do.
        use_bias: Whether to add a bias.
        input_quantizer: Quantizer of the inputs, or None.
        kernel_quantizer: Quantizer of the kernel, or None.
        kernel_initializer: As in Keras.
        bias_initializer: As in Keras.
        kernel_regularizer: As in Keras.
        bias_regularizer: As in Keras.
        activity_regularizer: As in Keras.
        kernel_constraint: As in Keras; `"weight_clip"` clips to [-1, 1].
        bias_constraint: As in Keras.
        **kwargs: Arguments of `keras.layers.Layer`, and `metrics=["flip_ratio"]`.

    Raises:
        ValueError: An argument is out of range or unknown.

    Example:
        >>> import numpy as np
        >>> import kerasbnn.larq as lq
        >>> layer = lq.layers.QuantDense(
        ...     4, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((2, 8), "float32")).shape)
        (2, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

    def __init__(
        self,
        units,
        activation=None,
        use_bias=True,
        input_quantizer=None,
        kernel_quantizer=None,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**named(locals()))

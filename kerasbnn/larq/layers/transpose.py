"""Larq's transposed convolutions."""

from kerasbnn import layers
from kerasbnn.larq.layers.base import LarqLayer, named
from kerasbnn.larq.registration import register


@register
class QuantConv2DTranspose(LarqLayer, layers.QuantConv2DTranspose):
    """2D transposed convolution of quantized inputs and kernel, as in Larq.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Height and width of the window, one int or two.
        strides: Steps of the window, one int or one for each axis.
        padding: `"valid"` or `"same"`.
        output_padding: Positions to add to the output, or None for as many as needed.
        data_format: `"channels_last"` or `"channels_first"`; None for Keras' setting.
        dilation_rate: Distance of the window's positions, one int or one for each axis.
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
        >>> layer = lq.layers.QuantConv2DTranspose(
        ...     4, 3, strides=2, padding="same", input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 8, 2), "float32")).shape)
        (1, 16, 16, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=(1, 1),
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


@register
class QuantConv3DTranspose(LarqLayer, layers.QuantConv3DTranspose):
    """3D transposed convolution of quantized inputs and kernel, as in Larq.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Depth, height and width of the window, one int or three.
        strides: Steps of the window, one int or one for each axis.
        padding: `"valid"` or `"same"`.
        output_padding: Positions to add to the output, or None for as many as needed.
        data_format: `"channels_last"` or `"channels_first"`; None for Keras' setting.
        dilation_rate: Distance of the window's positions, one int or one for each axis.
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
        >>> layer = lq.layers.QuantConv3DTranspose(
        ...     4, 3, strides=2, padding="same", input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 4, 4, 4, 2), "float32")).shape)
        (1, 8, 8, 8, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1, 1),
        padding="valid",
        output_padding=None,
        data_format=None,
        dilation_rate=(1, 1, 1),
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

"""Larq's convolutions."""

from kerasbnn import layers
from kerasbnn.larq.layers.base import LarqLayer, named
from kerasbnn.larq.registration import register


@register
class QuantConv1D(LarqLayer, layers.QuantConv1D):
    """1D convolution that quantizes inputs and kernel, with Larq's signature.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Width of the window.
        strides: Steps of the window, one int or one for each axis.
        padding: `"valid"`, `"same"` or `"causal"`.
        pad_values: Value of positions that `padding="same"` adds, after the inputs are
            quantized: 0, 1 or -1.
        data_format: `"channels_last"` or `"channels_first"`; None for Keras' setting.
        dilation_rate: Distance of the window's positions, one int or one for each axis.
        groups: Number of parts that the channels are divided into; each has its own
            filters.
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
        >>> layer = lq.layers.QuantConv1D(
        ...     4, 3, padding="same", pad_values=1, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 2), "float32")).shape)
        (1, 8, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        pad_values=0.0,
        data_format="channels_last",
        dilation_rate=1,
        groups=1,
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
class QuantConv2D(LarqLayer, layers.QuantConv2D):
    """2D convolution that quantizes inputs and kernel, with Larq's signature.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Height and width of the window, one int or two.
        strides: Steps of the window, one int or one for each axis.
        padding: `"valid"` or `"same"`.
        pad_values: Value of positions that `padding="same"` adds, after the inputs are
            quantized: 0, 1 or -1.
        data_format: `"channels_last"` or `"channels_first"`; None for Keras' setting.
        dilation_rate: Distance of the window's positions, one int or one for each axis.
        groups: Number of parts that the channels are divided into; each has its own
            filters.
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
        >>> layer = lq.layers.QuantConv2D(
        ...     4, 3, padding="same", pad_values=1, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 8, 2), "float32")).shape)
        (1, 8, 8, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        pad_values=0.0,
        data_format=None,
        dilation_rate=(1, 1),
        groups=1,
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
class QuantConv3D(LarqLayer, layers.QuantConv3D):
    """3D convolution that quantizes inputs and kernel, with Larq's signature.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Depth, height and width of the window, one int or three.
        strides: Steps of the window, one int or one for each axis.
        padding: `"valid"` or `"same"`.
        pad_values: Value of positions that `padding="same"` adds, after the inputs are
            quantized: 0, 1 or -1.
        data_format: `"channels_last"` or `"channels_first"`; None for Keras' setting.
        dilation_rate: Distance of the window's positions, one int or one for each axis.
        groups: Number of parts that the channels are divided into; each has its own
            filters.
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
        >>> layer = lq.layers.QuantConv3D(
        ...     4, 3, padding="same", pad_values=1, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 4, 8, 8, 2), "float32")).shape)
        (1, 4, 8, 8, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=(1, 1, 1),
        padding="valid",
        pad_values=0.0,
        data_format=None,
        dilation_rate=(1, 1, 1),
        groups=1,
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

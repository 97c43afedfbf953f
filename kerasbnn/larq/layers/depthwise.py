"""Larq's depthwise convolution."""

from kerasbnn import layers
from kerasbnn.larq.layers.base import LarqLayer, named
from kerasbnn.larq.registration import register


@register
class QuantDepthwiseConv2D(LarqLayer, layers.QuantDepthwiseConv2D):
    """2D depthwise convolution of quantized inputs and kernel, as in Larq.

    Args:
        kernel_size: Height and width of the window, one int or two.
        strides: Steps of the window, one int or one for each axis.
        padding: `"valid"` or `"same"`.
        pad_values: Value of positions that `padding="same"` adds, after the inputs are
            quantized: 0, 1 or -1.
        depth_multiplier: Number of output channels for each input channel.
        data_format: `"channels_last"` or `"channels_first"`; None for Keras' setting.
        dilation_rate: Distance of the window's positions, one int or one for each axis.
        activation: Name or function; a quantizer's name will do.
        use_bias: Whether to add a bias.
        input_quantizer: Quantizer of the inputs, or None.
        depthwise_quantizer: Quantizer of the depthwise kernel, or None.
        depthwise_initializer: As in Keras.
        bias_initializer: As in Keras.
        depthwise_regularizer: As in Keras.
        bias_regularizer: As in Keras.
        activity_regularizer: As in Keras.
        depthwise_constraint: As in Keras; `"weight_clip"` clips to [-1, 1].
        bias_constraint: As in Keras.
        **kwargs: Arguments of `keras.layers.Layer`, and `metrics=["flip_ratio"]`.

    Raises:
        ValueError: An argument is out of range or unknown.

    Example:
        >>> import numpy as np
        >>> import kerasbnn.larq as lq
        >>> layer = lq.layers.QuantDepthwiseConv2D(
        ...     3, padding="same", pad_values=-1, input_quantizer="ste_sign",
        ...     depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 8, 2), "float32")).shape)
        (1, 8, 8, 2)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

    def __init__(
        self,
        kernel_size,
        strides=(1, 1),
        padding="valid",
        pad_values=0.0,
        depth_multiplier=1,
        data_format=None,
        dilation_rate=(1, 1),
        activation=None,
        use_bias=True,
        input_quantizer=None,
        depthwise_quantizer=None,
        depthwise_initializer="glorot_uniform",
        bias_initializer="zeros",
        depthwise_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        depthwise_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**named(locals()))

    @property
    def depthwise_kernel(self):
        """The kernel, by the name that it has in Keras 2."""
        return self.kernel

"""Larq's separable convolutions."""

import keras
from keras import ops

from kerasbnn import layers
from kerasbnn.larq.layers.base import LarqLayer, named
from kerasbnn.larq.registration import register
from kerasbnn.larq.utils import patch_object


class CausalSeparableConv1D(keras.layers.SeparableConv1D):
    """Keras' separable convolution, with the causal padding that Keras 3 lacks.

    Args:
        *args: Positional arguments of `keras.layers.SeparableConv1D`.
        padding: `"valid"`, `"same"` or `"causal"`.
        **kwargs: Arguments of `keras.layers.SeparableConv1D`.
    """

    def __init__(self, *args, padding="valid", **kwargs):
        is_causal = str(padding).lower() == "causal"
        super().__init__(*args, padding="valid" if is_causal else padding, **kwargs)
        if is_causal:
            self.padding = "causal"

    def pad_before(self, inputs, value=0):
        """Put as many positions before the inputs as the window reaches back.

        Args:
            inputs: Tensor of the layer's input shape.
            value: What to put there.

        Returns:
            The longer tensor.
        """
        reach = (self.kernel_size[0] - 1) * self.dilation_rate[0]
        widths = [(0, 0), (0, 0), (0, 0)]
        widths[1 if self.data_format == "channels_last" else 2] = (reach, 0)
        return ops.pad(inputs, widths, constant_values=value)

    def call(self, inputs):
        if self.padding != "causal":
            return super().call(inputs)
        padded = self.pad_before(inputs)
        with patch_object(self, "padding", "valid"):
            return super().call(padded)


@register
class QuantSeparableConv1D(
    LarqLayer, layers.QuantSeparableConv1D, CausalSeparableConv1D
):
    """1D separable convolution of quantized inputs and kernels, as in Larq.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Width of the window.
        strides: Steps of the window, one int or one for each axis.
        padding: `"valid"`, `"same"` or `"causal"`.
        pad_values: Value of positions that `padding="same"` adds, after the inputs are
            quantized: 0, 1 or -1.
        data_format: `"channels_last"` or `"channels_first"`; None for Keras' setting.
        dilation_rate: Distance of the window's positions, one int or one for each axis.
        depth_multiplier: Number of output channels for each input channel.
        activation: Name or function; a quantizer's name will do.
        use_bias: Whether to add a bias.
        input_quantizer: Quantizer of the inputs, or None.
        depthwise_quantizer: Quantizer of the depthwise kernel, or None.
        pointwise_quantizer: Quantizer of the pointwise kernel, or None.
        depthwise_initializer: As in Keras.
        pointwise_initializer: As in Keras.
        bias_initializer: As in Keras.
        depthwise_regularizer: As in Keras.
        pointwise_regularizer: As in Keras.
        bias_regularizer: As in Keras.
        activity_regularizer: As in Keras.
        depthwise_constraint: As in Keras; `"weight_clip"` clips to [-1, 1].
        pointwise_constraint: As in Keras; `"weight_clip"` clips to [-1, 1].
        bias_constraint: As in Keras.
        **kwargs: Arguments of `keras.layers.Layer`, and `metrics=["flip_ratio"]`.

    Raises:
        ValueError: An argument is out of range or unknown.

    Example:
        >>> import numpy as np
        >>> import kerasbnn.larq as lq
        >>> layer = lq.layers.QuantSeparableConv1D(
        ...     4, 3, input_quantizer="ste_sign",
        ...     depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip",
        ...     pointwise_quantizer="ste_sign", pointwise_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 2), "float32")).shape)
        (1, 6, 4)

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
        data_format=None,
        dilation_rate=1,
        depth_multiplier=1,
        activation=None,
        use_bias=True,
        input_quantizer=None,
        depthwise_quantizer=None,
        pointwise_quantizer=None,
        depthwise_initializer="glorot_uniform",
        pointwise_initializer="glorot_uniform",
        bias_initializer="zeros",
        depthwise_regularizer=None,
        pointwise_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        depthwise_constraint=None,
        pointwise_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**named(locals()))

    def call(self, inputs, training=None):
        if self.padding != "causal":
            return super().call(inputs, training)
        padded = self.pad_before(self.quantize_inputs(inputs), self.pad_values)
        outputs = ops.separable_conv(
            padded,
            self.quantize_kernel("depthwise_kernel", training),
            self.quantize_kernel("pointwise_kernel", training),
            strides=self.strides,
            padding="valid",
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.add_bias_and_activate(outputs)


@register
class QuantSeparableConv2D(LarqLayer, layers.QuantSeparableConv2D):
    """2D separable convolution of quantized inputs and kernels, as in Larq.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Height and width of the window, one int or two.
        strides: Steps of the window, one int or one for each axis.
        padding: `"valid"` or `"same"`.
        pad_values: Value of positions that `padding="same"` adds, after the inputs are
            quantized: 0, 1 or -1.
        data_format: `"channels_last"` or `"channels_first"`; None for Keras' setting.
        dilation_rate: Distance of the window's positions, one int or one for each axis.
        depth_multiplier: Number of output channels for each input channel.
        activation: Name or function; a quantizer's name will do.
        use_bias: Whether to add a bias.
        input_quantizer: Quantizer of the inputs, or None.
        depthwise_quantizer: Quantizer of the depthwise kernel, or None.
        pointwise_quantizer: Quantizer of the pointwise kernel, or None.
        depthwise_initializer: As in Keras.
        pointwise_initializer: As in Keras.
        bias_initializer: As in Keras.
        depthwise_regularizer: As in Keras.
        pointwise_regularizer: As in Keras.
        bias_regularizer: As in Keras.
        activity_regularizer: As in Keras.
        depthwise_constraint: As in Keras; `"weight_clip"` clips to [-1, 1].
        pointwise_constraint: As in Keras; `"weight_clip"` clips to [-1, 1].
        bias_constraint: As in Keras.
        **kwargs: Arguments of `keras.layers.Layer`, and `metrics=["flip_ratio"]`.

    Raises:
        ValueError: An argument is out of range or unknown.

    Example:
        >>> import numpy as np
        >>> import kerasbnn.larq as lq
        >>> layer = lq.layers.QuantSeparableConv2D(
        ...     4, 3, input_quantizer="ste_sign",
        ...     depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip",
        ...     pointwise_quantizer="ste_sign", pointwise_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 8, 2), "float32")).shape)
        (1, 6, 6, 4)

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
        depth_multiplier=1,
        activation=None,
        use_bias=True,
        input_quantizer=None,
        depthwise_quantizer=None,
        pointwise_quantizer=None,
        depthwise_initializer="glorot_uniform",
        pointwise_initializer="glorot_uniform",
        bias_initializer="zeros",
        depthwise_regularizer=None,
        pointwise_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        depthwise_constraint=None,
        pointwise_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**named(locals()))

"""Quantized depthwise convolutions."""

import keras
from keras import ops

from kerasbnn._registration import register
from kerasbnn.layers.base import KernelRole
from kerasbnn.layers.conv import PaddedLayer
from kerasbnn.layers.padding import pad_spatially


class QuantizedDepthwiseConv(PaddedLayer):
    """The forward pass that the two depthwise convolutions share."""

    kernel_roles = (
        # An output channel is one pair of input channel and multiplier.
        KernelRole("kernel", "depthwise_quantizer", "depthwise_constraint", (-2, -1)),
    )

    def call(self, inputs, training=None):
        inputs, padding = pad_spatially(self.quantize_inputs(inputs), self)
        outputs = ops.depthwise_conv(
            inputs,
            self.quantize_kernel(training=training),
            strides=self.strides,
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.add_bias_and_activate(outputs)


@register
class QuantDepthwiseConv1D(QuantizedDepthwiseConv, keras.layers.DepthwiseConv1D):
    """1D depthwise convolution that quantizes its inputs and its kernel.

    With both quantizers None it is `keras.layers.DepthwiseConv1D`, bit for bit.

    Args:
        kernel_size: Width of the window.
        *args: Further positional arguments of `keras.layers.DepthwiseConv1D`.
        input_quantizer: Quantizer of the inputs, or None.
        depthwise_quantizer: Quantizer of the kernel, or None.
        pad_values: Value of positions that `padding="same"` adds, after the inputs are
            quantized: 0, 1 or -1.
        **kwargs: Arguments of `keras.layers.DepthwiseConv1D`, and
            `metrics=["flip_ratio"]`.

    Raises:
        ValueError: `pad_values` is another number, or a quantizer is not usable.

    Input shape: `(batch, steps, channels)`, or channels first.
    Output shape: `(batch, new_steps, channels * depth_multiplier)`, or channels first.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantDepthwiseConv1D
        >>> layer = QuantDepthwiseConv1D(
        ...     3, padding="same", pad_values=-1, input_quantizer="ste_sign",
        ...     depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 2), "float32")).shape)
        (1, 8, 2)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """


@register
class QuantDepthwiseConv2D(QuantizedDepthwiseConv, keras.layers.DepthwiseConv2D):
    """2D depthwise convolution that quantizes its inputs and its kernel.

    With both quantizers None it is `keras.layers.DepthwiseConv2D`, bit for bit.

    Args:
        kernel_size: Height and width of the window, one int or two.
        *args: Further positional arguments of `keras.layers.DepthwiseConv2D`.
        input_quantizer: Quantizer of the inputs, or None.
        depthwise_quantizer: Quantizer of the kernel, or None.
        pad_values: Value of positions that `padding="same"` adds, after the inputs are
            quantized: 0, 1 or -1.
        **kwargs: Arguments of `keras.layers.DepthwiseConv2D`, and
            `metrics=["flip_ratio"]`.

    Raises:
        ValueError: `pad_values` is another number, or a quantizer is not usable.

    Input shape: `(batch, height, width, channels)`, or channels first.
    Output shape: `(batch, new_height, new_width, channels * depth_multiplier)`, or
    channels first.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantDepthwiseConv2D
        >>> layer = QuantDepthwiseConv2D(
        ...     3, padding="same", pad_values=-1, input_quantizer="ste_sign",
        ...     depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 8, 2), "float32")).shape)
        (1, 8, 8, 2)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

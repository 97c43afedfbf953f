"""Quantized separable convolutions."""

import keras
from keras import ops

from kerasbnn._registration import register
from kerasbnn.layers.base import KernelRole
from kerasbnn.layers.conv import PaddedLayer
from kerasbnn.layers.padding import pad_spatially


class QuantizedSeparableConv(PaddedLayer):
    """The forward pass that the two separable convolutions share."""

    kernel_roles = (
        KernelRole(
            "depthwise_kernel", "depthwise_quantizer", "depthwise_constraint", (-2, -1)
        ),
        KernelRole("pointwise_kernel", "pointwise_quantizer", "pointwise_constraint"),
    )

    def call(self, inputs, training=None):
        inputs, padding = pad_spatially(self.quantize_inputs(inputs), self)
        outputs = ops.separable_conv(
            inputs,
            self.quantize_kernel("depthwise_kernel", training),
            self.quantize_kernel("pointwise_kernel", training),
            strides=self.strides,
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.add_bias_and_activate(outputs)


@register
class QuantSeparableConv1D(QuantizedSeparableConv, keras.layers.SeparableConv1D):
    """1D separable convolution that quantizes its inputs and its two kernels.

    The inputs of the pointwise step are what the depthwise step yields, not quantized
    again. With all quantizers None it is `keras.layers.SeparableConv1D`, bit for bit.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Width of the window.
        *args: Further positional arguments of `keras.layers.SeparableConv1D`.
        input_quantizer: Quantizer of the inputs, or None.
        depthwise_quantizer: Quantizer of the depthwise kernel, or None.
        pointwise_quantizer: Quantizer of the pointwise kernel, or None.
        pad_values: Value of positions that `padding="same"` adds, after the inputs are
            quantized: 0, 1 or -1.
        **kwargs: Arguments of `keras.layers.SeparableConv1D`, and
            `metrics=["flip_ratio"]`.

    Raises:
        ValueError: `pad_values` is another number, or a quantizer is not usable.

    Input shape: `(batch, steps, channels)`, or channels first.
    Output shape: `(batch, new_steps, filters)`, or channels first.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantSeparableConv1D
        >>> layer = QuantSeparableConv1D(
        ...     4, 3, input_quantizer="ste_sign",
        ...     depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip",
        ...     pointwise_quantizer="ste_sign", pointwise_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 2), "float32")).shape)
        (1, 6, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """


@register
class QuantSeparableConv2D(QuantizedSeparableConv, keras.layers.SeparableConv2D):
    """2D separable convolution that quantizes its inputs and its two kernels.

    The inputs of the pointwise step are what the depthwise step yields, not quantized
    again. With all quantizers None it is `keras.layers.SeparableConv2D`, bit for bit.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Height and width of the window, one int or two.
        *args: Further positional arguments of `keras.layers.SeparableConv2D`.
        input_quantizer: Quantizer of the inputs, or None.
        depthwise_quantizer: Quantizer of the depthwise kernel, or None.
        pointwise_quantizer: Quantizer of the pointwise kernel, or None.
        pad_values: Value of positions that `padding="same"` adds, after the inputs are
            quantized: 0, 1 or -1.
        **kwargs: Arguments of `keras.layers.SeparableConv2D`, and
            `metrics=["flip_ratio"]`.

    Raises:
        ValueError: `pad_values` is another number, or a quantizer is not usable.

    Input shape: `(batch, height, width, channels)`, or channels first.
    Output shape: `(batch, new_height, new_width, filters)`, or channels first.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantSeparableConv2D
        >>> layer = QuantSeparableConv2D(
        ...     4, 3, input_quantizer="ste_sign",
        ...     depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip",
        ...     pointwise_quantizer="ste_sign", pointwise_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 8, 2), "float32")).shape)
        (1, 6, 6, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

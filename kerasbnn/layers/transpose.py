"""Quantized transposed convolutions."""

import keras
from keras import ops

from kerasbnn._registration import register
from kerasbnn.layers.base import KernelRole, QuantizedLayer


class QuantizedConvTranspose(QuantizedLayer):
    """The forward pass that the three transposed convolutions share."""

    kernel_roles = (
        # Keras stores these kernels as (..., output channels, input channels).
        KernelRole("kernel", "kernel_quantizer", "kernel_constraint", (-2,)),
    )

    def call(self, inputs, training=None):
        outputs = ops.conv_transpose(
            self.quantize_inputs(inputs),
            self.quantize_kernel(training=training),
            strides=list(self.strides),
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.add_bias_and_activate(outputs)


@register
class QuantConv1DTranspose(QuantizedConvTranspose, keras.layers.Conv1DTranspose):
    """1D transposed convolution that quantizes its inputs and its kernel.

    With both quantizers None it is `keras.layers.Conv1DTranspose`, bit for bit.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Width of the window.
        *args: Further positional arguments of `keras.layers.Conv1DTranspose`.
        input_quantizer: Quantizer of the inputs, or None.
        kernel_quantizer: Quantizer of the kernel, or None.
        **kwargs: Arguments of `keras.layers.Conv1DTranspose`, and
            `metrics=["flip_ratio"]`.

    Raises:
        ValueError: A quantizer is not usable.

    Input shape: `(batch, steps, channels)`, or channels first.
    Output shape: `(batch, new_steps, filters)`, or channels first.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantConv1DTranspose
        >>> layer = QuantConv1DTranspose(
        ...     4, 3, input_quantizer="ste_sign", kernel_quantizer="ste_sign",
        ...     kernel_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 2), "float32")).shape)
        (1, 10, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """


@register
class QuantConv2DTranspose(QuantizedConvTranspose, keras.layers.Conv2DTranspose):
    """2D transposed convolution that quantizes its inputs and its kernel.

    With both quantizers None it is `keras.layers.Conv2DTranspose`, bit for bit.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Height and width of the window, one int or two.
        *args: Further positional arguments of `keras.layers.Conv2DTranspose`.
        input_quantizer: Quantizer of the inputs, or None.
        kernel_quantizer: Quantizer of the kernel, or None.
        **kwargs: Arguments of `keras.layers.Conv2DTranspose`, and
            `metrics=["flip_ratio"]`.

    Raises:
        ValueError: A quantizer is not usable.

    Input shape: `(batch, height, width, channels)`, or channels first.
    Output shape: `(batch, new_height, new_width, filters)`, or channels first.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantConv2DTranspose
        >>> layer = QuantConv2DTranspose(
        ...     4, 3, strides=2, padding="same", input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 8, 2), "float32")).shape)
        (1, 16, 16, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """


@register
class QuantConv3DTranspose(QuantizedConvTranspose, keras.layers.Conv3DTranspose):
    """3D transposed convolution that quantizes its inputs and its kernel.

    With both quantizers None it is `keras.layers.Conv3DTranspose`, bit for bit.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Depth, height and width of the window, one int or three.
        *args: Further positional arguments of `keras.layers.Conv3DTranspose`.
        input_quantizer: Quantizer of the inputs, or None.
        kernel_quantizer: Quantizer of the kernel, or None.
        **kwargs: Arguments of `keras.layers.Conv3DTranspose`, and
            `metrics=["flip_ratio"]`.

    Raises:
        ValueError: A quantizer is not usable.

    Input shape: `(batch, depth, height, width, channels)`, or channels first.
    Output shape: `(batch, new_depth, new_height, new_width, filters)`, or channels
    first.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantConv3DTranspose
        >>> layer = QuantConv3DTranspose(
        ...     4, 3, input_quantizer="ste_sign", kernel_quantizer="ste_sign",
        ...     kernel_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 4, 4, 4, 2), "float32")).shape)
        (1, 6, 6, 6, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

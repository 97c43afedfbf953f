"""Quantized convolutions in one, two and three dimensions."""

import keras
from keras import ops

from kerasbnn._registration import register
from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.layers.padding import checked_pad_value, pad_spatially


class PaddedLayer(QuantizedLayer):
    """Mixin: a convolution that can pad with -1 or 1 instead of 0."""

    def __init__(self, *args, pad_values=0, **kwargs):
        self._pad_values_checked = checked_pad_value(pad_values)
        super().__init__(*args, **kwargs)

    @property
    def pad_values(self):
        """The value of padded positions: 0, 1 or -1."""
        return self._pad_values_checked

    def get_config(self):
        return {**super().get_config(), "pad_values": self.pad_values}


class QuantizedConv(PaddedLayer):
    """The forward pass that the three convolutions share."""

    def call(self, inputs, training=None):
        inputs, padding = pad_spatially(self.quantize_inputs(inputs), self)
        if padding == "causal":
            inputs = ops.pad(inputs, self._compute_causal_padding())
            padding = "valid"
        outputs = ops.conv(
            inputs,
            self.quantize_kernel(training=training),
            strides=list(self.strides),
            padding=padding,
            dilation_rate=self.dilation_rate,
            data_format=self.data_format,
        )
        return self.add_bias_and_activate(outputs)


@register
class QuantConv1D(QuantizedConv, keras.layers.Conv1D):
    """1D convolution that quantizes its inputs and its kernel.

    With both quantizers None it is `keras.layers.Conv1D`, bit for bit.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Width of the window.
        *args: Further positional arguments of `keras.layers.Conv1D`.
        input_quantizer: Quantizer of the inputs, or None.
        kernel_quantizer: Quantizer of the kernel, or None.
        pad_values: Value of positions that `padding="same"` or `"causal"` adds, after
            the inputs are quantized: 0, 1 or -1.
        **kwargs: Arguments of `keras.layers.Conv1D`, and `metrics=["flip_ratio"]`.

    Raises:
        ValueError: `pad_values` is another number, or a quantizer is not usable.

    Input shape: `(batch, steps, channels)`, or channels first.
    Output shape: `(batch, new_steps, filters)`, or channels first.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantConv1D
        >>> layer = QuantConv1D(
        ...     4, 3, padding="same", pad_values=1, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 2), "float32")).shape)
        (1, 8, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """


@register
class QuantConv2D(QuantizedConv, keras.layers.Conv2D):
    """2D convolution that quantizes its inputs and its kernel.

    With both quantizers None it is `keras.layers.Conv2D`, bit for bit.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Height and width of the window, one int or two.
        *args: Further positional arguments of `keras.layers.Conv2D`.
        input_quantizer: Quantizer of the inputs, or None.
        kernel_quantizer: Quantizer of the kernel, or None.
        pad_values: Value of positions that `padding="same"` adds, after the inputs are
            quantized: 0, 1 or -1.
        **kwargs: Arguments of `keras.layers.Conv2D`, and `metrics=["flip_ratio"]`.

    Raises:
        ValueError: `pad_values` is another number, or a quantizer is not usable.

    Input shape: `(batch, height, width, channels)`, or channels first.
    Output shape: `(batch, new_height, new_width, filters)`, or channels first.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantConv2D
        >>> layer = QuantConv2D(
        ...     4, 3, padding="same", pad_values=1, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 8, 8, 2), "float32")).shape)
        (1, 8, 8, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """


@register
class QuantConv3D(QuantizedConv, keras.layers.Conv3D):
    """3D convolution that quantizes its inputs and its kernel.

    With both quantizers None it is `keras.layers.Conv3D`, bit for bit.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Depth, height and width of the window, one int or three.
        *args: Further positional arguments of `keras.layers.Conv3D`.
        input_quantizer: Quantizer of the inputs, or None.
        kernel_quantizer: Quantizer of the kernel, or None.
        pad_values: Value of positions that `padding="same"` adds, after the inputs are
            quantized: 0, 1 or -1.
        **kwargs: Arguments of `keras.layers.Conv3D`, and `metrics=["flip_ratio"]`.

    Raises:
        ValueError: `pad_values` is another number, or a quantizer is not usable.

    Input shape: `(batch, depth, height, width, channels)`, or channels first.
    Output shape: `(batch, new_depth, new_height, new_width, filters)`, or channels
    first.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantConv3D
        >>> layer = QuantConv3D(
        ...     4, 3, padding="same", pad_values=1, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ... )
        >>> tuple(layer(np.ones((1, 4, 8, 8, 2), "float32")).shape)
        (1, 4, 8, 8, 4)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

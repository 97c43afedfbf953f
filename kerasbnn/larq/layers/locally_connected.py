"""Larq's locally connected layers."""

from kerasbnn.larq.layers.base import LarqLayer, named
from kerasbnn.larq.layers.local_connections import LocallyConnected
from kerasbnn.larq.registration import register


class QuantizedLocallyConnected(LarqLayer, LocallyConnected):
    """The forward pass that the two layers share."""

    def call(self, inputs, training=None):
        kernel = self.quantize_kernel(training=training)
        return self.connect(self.quantize_inputs(inputs), kernel)


@register
class QuantLocallyConnected1D(QuantizedLocallyConnected):
    """1D layer with other weights at every position; quantizes inputs and kernel.

    Keras 3 has no such layer, so this one is made of operations of Keras, for all
    backends. A file of `kerasbnn.convert` has it as float operations.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Width of the window.
        strides: Steps of the window, one int or one for each axis.
        padding: `"valid"`, or `"same"` for implementations 2 and 3.
        data_format: `"channels_last"` or `"channels_first"`; None for Keras' setting.
        activation: Name or function; a quantizer's name will do.
        use_bias: Whether to add a bias, one number for each position and filter.
        input_quantizer: Quantizer of the inputs, or None.
        kernel_quantizer: Quantizer of the kernel, or None.
        kernel_initializer: As in Keras.
        bias_initializer: As in Keras.
        kernel_regularizer: As in Keras.
        bias_regularizer: As in Keras.
        activity_regularizer: As in Keras.
        kernel_constraint: As in Keras; `"weight_clip"` clips to [-1, 1].
        bias_constraint: As in Keras.
        implementation: How the kernel is stored, as in Keras 2: 1, each window's
            weights; 2, a weight for every pair of an input and an output, of which the
            unconnected ones are not used; 3, a vector of the connected ones.
        **kwargs: Arguments of `keras.layers.Layer`, and `metrics=["flip_ratio"]`.

    Raises:
        ValueError: An argument is out of range or unknown, or a size of the inputs is
            not known.

    Example:
        >>> import numpy as np
        >>> import kerasbnn.larq as lq
        >>> layer = lq.layers.QuantLocallyConnected1D(
        ...     4, 3, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
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
        data_format=None,
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
        implementation=1,
        **kwargs,
    ):
        super().__init__(rank=1, **named(locals()))


@register
class QuantLocallyConnected2D(QuantizedLocallyConnected):
    """2D layer with other weights at every position; quantizes inputs and kernel.

    Keras 3 has no such layer, so this one is made of operations of Keras, for all
    backends. A file of `kerasbnn.convert` has it as float operations.

    Args:
        filters: Number of output channels, a positive integer.
        kernel_size: Height and width of the window, one int or two.
        strides: Steps of the window, one int or one for each axis.
        padding: `"valid"`, or `"same"` for implementations 2 and 3.
        data_format: `"channels_last"` or `"channels_first"`; None for Keras' setting.
        activation: Name or function; a quantizer's name will do.
        use_bias: Whether to add a bias, one number for each position and filter.
        input_quantizer: Quantizer of the inputs, or None.
        kernel_quantizer: Quantizer of the kernel, or None.
        kernel_initializer: As in Keras.
        bias_initializer: As in Keras.
        kernel_regularizer: As in Keras.
        bias_regularizer: As in Keras.
        activity_regularizer: As in Keras.
        kernel_constraint: As in Keras; `"weight_clip"` clips to [-1, 1].
        bias_constraint: As in Keras.
        implementation: How the kernel is stored, as in Keras 2: 1, each window's
            weights; 2, a weight for every pair of an input and an output, of which the
            unconnected ones are not used; 3, a vector of the connected ones.
        **kwargs: Arguments of `keras.layers.Layer`, and `metrics=["flip_ratio"]`.

    Raises:
        ValueError: An argument is out of range or unknown, or a size of the inputs is
            not known.

    Example:
        >>> import numpy as np
        >>> import kerasbnn.larq as lq
        >>> layer = lq.layers.QuantLocallyConnected2D(
        ...     4, 3, input_quantizer="ste_sign",
        ...     kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
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
        data_format=None,
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
        implementation=1,
        **kwargs,
    ):
        super().__init__(rank=2, **named(locals()))

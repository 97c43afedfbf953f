"""How many multiply-accumulates a layer does."""

import math

import keras

from kerasbnn.models.bit_widths import keras_layers
from kerasbnn.quantizers import Quantizer

CONVOLUTIONS = keras_layers("Conv1D", "Conv2D", "Conv3D")
DEPTHWISE = keras_layers("DepthwiseConv1D", "DepthwiseConv2D")
SEPARABLE = keras_layers("SeparableConv1D", "SeparableConv2D")
TRANSPOSED = keras_layers("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")

# Layers that have no products of a kernel with inputs. What they do per element, such
# as to scale it, is not counted.
WITHOUT_PRODUCTS = (
    Quantizer,
    *keras_layers(
        *("Activation", "ReLU", "LeakyReLU", "PReLU", "ELU", "Softmax", "Identity"),
        *("BatchNormalization", "LayerNormalization", "GroupNormalization"),
        *("UnitNormalization", "RMSNormalization", "Normalization", "Rescaling"),
        *(
            "Add",
            "Subtract",
            "Multiply",
            "Average",
            "Maximum",
            "Minimum",
            "Concatenate",
        ),
        *("Flatten", "Reshape", "Permute", "RepeatVector", "Masking", "Embedding"),
        *("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
        *("ActivityRegularization", "InputLayer", "Resizing", "CenterCrop"),
        *(name for name in dir(keras.layers) if name.startswith("Random")),
        *(
            f"{kind}{rank}D"
            for rank in (1, 2, 3)
            for kind in (
                *("MaxPooling", "AveragePooling", "SpatialDropout", "UpSampling"),
                *(
                    "GlobalMaxPooling",
                    "GlobalAveragePooling",
                    "Cropping",
                    "ZeroPadding",
                ),
                *("AdaptiveMaxPooling", "AdaptiveAveragePooling"),
            )
        ),
    ),
)

# Layers that do products which are not counted. Their parts are not listed one by one:
# they run in loops, or not by a call.
NOT_MODELLED = keras_layers(
    *("RNN", "Bidirectional", "Attention", "AdditiveAttention", "Dot"),
    *("MultiHeadAttention", "GroupQueryAttention"),
)


def is_modelled(layer: keras.layers.Layer) -> bool:
    """Tell whether the products of a layer's class can be counted.

    Args:
        layer: Any layer.

    Returns:
        True where `kernel_products` gives numbers for a call.

    Example:
        >>> import keras
        >>> from kerasbnn.models.operation_counts import is_modelled
        >>> is_modelled(keras.layers.Dense(1)), is_modelled(keras.layers.LSTM(1))
        (True, False)
    """
    return has_products(layer) or isinstance(layer, WITHOUT_PRODUCTS)


def has_products(layer: keras.layers.Layer) -> bool:
    """Tell whether a layer multiplies its inputs by kernels, and the count is known.

    Args:
        layer: Any layer.

    Returns:
        True for dense layers and all convolutions.

    Example:
        >>> import keras
        >>> from kerasbnn.models.operation_counts import has_products
        >>> has_products(keras.layers.Dense(1)), has_products(keras.layers.ReLU())
        (True, False)
    """
    return isinstance(
        layer,
        (
            *(*CONVOLUTIONS, *DEPTHWISE, *SEPARABLE, *TRANSPOSED),
            *keras_layers("Dense", "EinsumDense"),
        ),
    )


def kernel_products(layer, input_shape, output_shape) -> dict[str, int] | None:
    """Count the multiply-accumulates of one call, for each kernel of the layer.

    Every tap of a window counts, also where it lies on padding. A transposed
    convolution multiplies each input position by the whole kernel, also where the
    result is cropped.

    Args:
        layer: A built layer.
        input_shape: Shape of its first input, all sizes known.
        output_shape: Shape of its first output, all sizes known.

    Returns:
        Dict from the name of the kernel's attribute to multiply-accumulates; empty for
        a layer without products; None where they are not modelled.

    Example:
        >>> import keras
        >>> from kerasbnn.models.operation_counts import kernel_products
        >>> layer = keras.layers.Conv2D(8, 3)
        >>> layer.build((None, 6, 6, 2))
        >>> # 4 x 4 positions, at each 3 x 3 x 2 inputs for 8 filters
        >>> kernel_products(layer, (1, 6, 6, 2), (1, 4, 4, 8))
        {'kernel': 2304}
    """
    if isinstance(layer, keras.layers.EinsumDense):
        return {"kernel": _einsum_products(layer, output_shape)}
    if isinstance(layer, keras.layers.Dense):
        return {"kernel": math.prod(output_shape[:-1]) * _size(layer.kernel)}
    if isinstance(layer, TRANSPOSED):
        return {"kernel": _positions(layer, input_shape) * _size(layer.kernel)}
    if isinstance(layer, SEPARABLE):
        positions = _positions(layer, output_shape)
        return {
            "depthwise_kernel": positions * _size(layer.depthwise_kernel),
            "pointwise_kernel": positions * _size(layer.pointwise_kernel),
        }
    if isinstance(layer, (*CONVOLUTIONS, *DEPTHWISE)):
        return {"kernel": _positions(layer, output_shape) * _size(layer.kernel)}
    return {} if isinstance(layer, WITHOUT_PRODUCTS) else None


def _size(kernel):
    return math.prod(kernel.shape)


def _positions(layer, shape):
    channel_axis = -1 if layer.data_format == "channels_last" else 1
    return math.prod(shape) // shape[channel_axis]


def _einsum_products(layer, output_shape):
    """Count by the equation: each output sums over what only the kernel runs along."""
    operands, result = layer.equation.replace(" ", "").split("->")
    labels = operands.split(",")[1]
    summed = [
        size
        for label, size in zip(labels, layer.kernel.shape, strict=True)
        if label not in result
    ]
    return math.prod(output_shape) * math.prod(summed)

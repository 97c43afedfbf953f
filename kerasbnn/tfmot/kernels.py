"""Layers of tf_keras whose kernels can be quantized, and their counterparts."""

from dataclasses import dataclass

from kerasbnn import layers


@dataclass(frozen=True)
class Kernel:
    """One kernel of a layer of tf_keras.

    Attributes:
        attribute: The attribute and the variable of tf_keras that hold it.
        counterpart: The attribute of the quantized layer of Keras 3.
        quantizer: That layer's argument for the quantizer.
        channel_axes: Axes along which each position is an output channel.
    """

    attribute: str
    counterpart: str
    quantizer: str
    channel_axes: tuple[int, ...]


def _kernels(quantized, *attributes):
    roles = quantized.kernel_roles
    return quantized, tuple(
        Kernel(attribute, role.kernel, role.quantizer, role.channel_axes)
        for attribute, role in zip(attributes, roles, strict=True)
    )


_DEPTHWISE = ("depthwise_kernel",)
_SEPARABLE = ("depthwise_kernel", "pointwise_kernel")

# By the names that the classes have in tf_keras.
QUANTIZED = {
    "Conv1D": _kernels(layers.QuantConv1D, "kernel"),
    "Conv1DTranspose": _kernels(layers.QuantConv1DTranspose, "kernel"),
    "Conv2D": _kernels(layers.QuantConv2D, "kernel"),
    "Conv2DTranspose": _kernels(layers.QuantConv2DTranspose, "kernel"),
    "Conv3D": _kernels(layers.QuantConv3D, "kernel"),
    "Conv3DTranspose": _kernels(layers.QuantConv3DTranspose, "kernel"),
    "Dense": _kernels(layers.QuantDense, "kernel"),
    "DepthwiseConv1D": _kernels(layers.QuantDepthwiseConv1D, *_DEPTHWISE),
    "DepthwiseConv2D": _kernels(layers.QuantDepthwiseConv2D, *_DEPTHWISE),
    "SeparableConv1D": _kernels(layers.QuantSeparableConv1D, *_SEPARABLE),
    "SeparableConv2D": _kernels(layers.QuantSeparableConv2D, *_SEPARABLE),
}


def kernels_of(layer) -> tuple[Kernel, ...]:
    """Return the kernels of a layer of tf_keras; none for one without.

    Args:
        layer: Any layer; only its class is looked at.

    Example:
        >>> from kerasbnn.tfmot.kernels import QUANTIZED
        >>> quantized, kernels = QUANTIZED["DepthwiseConv2D"]
        >>> quantized.__name__, kernels[0].attribute, kernels[0].counterpart
        ('QuantDepthwiseConv2D', 'depthwise_kernel', 'kernel')
    """
    return QUANTIZED.get(class_name(layer) or "", (None, ()))[1]


def quantized_class(layer):
    """Return the class that quantizes the kernels of a layer, or None."""
    return QUANTIZED.get(class_name(layer) or "", (None, ()))[0]


def class_name(layer) -> str | None:
    """Return the name of a layer's class where it is one of tf_keras, or None."""
    cls = type(layer)
    return cls.__name__ if cls.__module__.partition(".")[0] == "tf_keras" else None

"""One small case of each of the eleven layers."""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

import kerasbnn
from tests.helpers.gradients import array


@dataclass(frozen=True)
class LayerCase:
    """How to make one layer, and what belongs to it.

    Attributes:
        name: Name of the class in kerasbnn; without "Quant" that of Keras.
        arguments: Arguments that both classes take.
        input_shape: A batch of inputs, channels last.
        kernels: For each kernel: its attribute, quantizer and constraint arguments, and
            the axes of its output channels.
    """

    name: str
    arguments: dict[str, Any]
    input_shape: tuple[int, ...]
    kernels: tuple = field(
        default=(("kernel", "kernel_quantizer", "kernel_constraint", (-1,)),)
    )

    @property
    def layer_class(self):
        return getattr(kerasbnn, self.name)

    @property
    def keras_class(self):
        return getattr(keras.layers, self.name.removeprefix("Quant"))

    def quantizer_arguments(self, kernel_quantizer, input_quantizer=None):
        arguments: dict[str, Any] = {"input_quantizer": input_quantizer}
        for _, quantizer, constraint, _ in self.kernels:
            # A dict makes a new quantizer for each kernel.
            arguments[quantizer] = kernel_quantizer
            arguments[constraint] = "weight_clip"
        return arguments

    def make(self, kernel_quantizer="ste_sign", input_quantizer=None, **arguments):
        """Make the layer with these quantizers and a clip constraint."""
        return self.layer_class(
            **{
                **self.arguments,
                **self.quantizer_arguments(kernel_quantizer, input_quantizer),
                **arguments,
            }
        )

    def latents(self, layer):
        """The latent kernels, as numpy arrays."""
        return [
            np.asarray(keras.ops.convert_to_numpy(getattr(layer, kernel).value))
            for kernel, *_ in self.kernels
        ]

    def probe(self, layer):
        """Read each kernel off the layer's outputs for one-hot inputs.

        The layer is used as a whole, through its call; its kernel must be as large as
        its inputs and its bias off. A separable layer yields the products of its two
        kernels.
        """
        shape = layer_input_shape(self)
        count = int(np.prod(shape))
        one_hot = np.eye(count, dtype="float32").reshape(count, *shape)
        return array(layer(one_hot))


def layer_input_shape(case):
    """Inputs of one window, so that a one-hot input meets each weight once."""
    rank = len(case.input_shape) - 2
    if rank == 0 or "Transpose" in case.name:
        spatial = (1,) * rank
    else:
        spatial = tuple(case.arguments["kernel_size"])
    return (*spatial, case.input_shape[-1])


DEPTHWISE = (("kernel", "depthwise_quantizer", "depthwise_constraint", (-2, -1)),)
SEPARABLE = (
    ("depthwise_kernel", "depthwise_quantizer", "depthwise_constraint", (-2, -1)),
    ("pointwise_kernel", "pointwise_quantizer", "pointwise_constraint", (-1,)),
)
TRANSPOSED = (("kernel", "kernel_quantizer", "kernel_constraint", (-2,)),)

CASES = [
    LayerCase("QuantDense", {"units": 5}, (2, 7)),
    LayerCase("QuantConv1D", {"filters": 4, "kernel_size": (3,)}, (2, 8, 3)),
    LayerCase("QuantConv2D", {"filters": 4, "kernel_size": (3, 2)}, (2, 7, 6, 3)),
    LayerCase("QuantConv3D", {"filters": 3, "kernel_size": (2, 3, 2)}, (2, 4, 5, 4, 2)),
    LayerCase(
        "QuantDepthwiseConv1D",
        {"kernel_size": (3,), "depth_multiplier": 2},
        (2, 8, 3),
        DEPTHWISE,
    ),
    LayerCase(
        "QuantDepthwiseConv2D",
        {"kernel_size": (3, 2), "depth_multiplier": 2},
        (2, 7, 6, 3),
        DEPTHWISE,
    ),
    LayerCase(
        "QuantSeparableConv1D",
        {"filters": 4, "kernel_size": (3,)},
        (2, 8, 3),
        SEPARABLE,
    ),
    LayerCase(
        "QuantSeparableConv2D",
        {"filters": 4, "kernel_size": (3, 2)},
        (2, 7, 6, 3),
        SEPARABLE,
    ),
    LayerCase(
        "QuantConv1DTranspose",
        {"filters": 4, "kernel_size": (3,)},
        (2, 8, 3),
        TRANSPOSED,
    ),
    LayerCase(
        "QuantConv2DTranspose",
        {"filters": 4, "kernel_size": (3, 2)},
        (2, 5, 6, 3),
        TRANSPOSED,
    ),
    LayerCase(
        "QuantConv3DTranspose",
        {"filters": 3, "kernel_size": (2, 3, 2)},
        (2, 3, 4, 3, 2),
        TRANSPOSED,
    ),
]
BY_NAME = {case.name: case for case in CASES}

"""Keras layers that quantize their inputs and kernels in the forward pass."""

from kerasbnn.layers.conv import QuantConv1D, QuantConv2D, QuantConv3D
from kerasbnn.layers.dense import QuantDense
from kerasbnn.layers.depthwise import QuantDepthwiseConv1D, QuantDepthwiseConv2D
from kerasbnn.layers.generalized_binarization import GeneralizedBinarization
from kerasbnn.layers.separable import QuantSeparableConv1D, QuantSeparableConv2D
from kerasbnn.layers.transpose import (
    QuantConv1DTranspose,
    QuantConv2DTranspose,
    QuantConv3DTranspose,
)

__all__ = [
    "GeneralizedBinarization",
    "QuantConv1D",
    "QuantConv1DTranspose",
    "QuantConv2D",
    "QuantConv2DTranspose",
    "QuantConv3D",
    "QuantConv3DTranspose",
    "QuantDense",
    "QuantDepthwiseConv1D",
    "QuantDepthwiseConv2D",
    "QuantSeparableConv1D",
    "QuantSeparableConv2D",
]

"""Larq's layers: kerasbnn's own, with Larq's signatures, scopes and quantizers."""

from kerasbnn.larq.layers.conv import QuantConv1D, QuantConv2D, QuantConv3D
from kerasbnn.larq.layers.dense import QuantDense
from kerasbnn.larq.layers.depthwise import QuantDepthwiseConv2D
from kerasbnn.larq.layers.locally_connected import (
    QuantLocallyConnected1D,
    QuantLocallyConnected2D,
)
from kerasbnn.larq.layers.separable import QuantSeparableConv1D, QuantSeparableConv2D
from kerasbnn.larq.layers.transpose import QuantConv2DTranspose, QuantConv3DTranspose

__all__ = [
    "QuantConv1D",
    "QuantConv2D",
    "QuantConv2DTranspose",
    "QuantConv3D",
    "QuantConv3DTranspose",
    "QuantDense",
    "QuantDepthwiseConv2D",
    "QuantLocallyConnected1D",
    "QuantLocallyConnected2D",
    "QuantSeparableConv1D",
    "QuantSeparableConv2D",
]

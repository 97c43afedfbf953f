"""Optimizers of binary weights, alone or beside one for the other weights."""

from kerasbnn.optimizers.bop import Bop, is_binary_variable
from kerasbnn.optimizers.multi import CaseOptimizer, MultiOptimizer
from kerasbnn.optimizers.scaled_adam import ScaledAdam, glorot_scale

__all__ = [
    "Bop",
    "CaseOptimizer",
    "MultiOptimizer",
    "ScaledAdam",
    "glorot_scale",
    "is_binary_variable",
]

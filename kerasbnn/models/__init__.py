"""What a whole model weighs and does, and what it computes with."""

from kerasbnn.models.batch_normalization import refit_batchnorm
from kerasbnn.models.binary_weights import quantized_scope, quantized_weights
from kerasbnn.models.summarizing import summary
from kerasbnn.models.swap_table import SwapReport, SwapRow
from kerasbnn.models.swap_testing import binarization_cost, swap_test
from kerasbnn.models.weight_swap import binarized_scope, continuous_scope

__all__ = [
    "SwapReport",
    "SwapRow",
    "binarization_cost",
    "binarized_scope",
    "continuous_scope",
    "quantized_scope",
    "quantized_weights",
    "refit_batchnorm",
    "summary",
    "swap_test",
]

"""What a whole model weighs and does, and what it computes with."""

from kerasbnn.models.batch_normalization import refit_batchnorm
from kerasbnn.models.binary_weights import quantized_scope, quantized_weights
from kerasbnn.models.summarizing import summary

__all__ = ["quantized_scope", "quantized_weights", "refit_batchnorm", "summary"]

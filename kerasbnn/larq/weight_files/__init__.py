"""Weights of files that Larq on tf_keras has saved, for models of Keras 3."""

from kerasbnn.larq.weight_files.loading import load_weights
from kerasbnn.larq.weight_files.report import LayerMatch, LoadedWeights

__all__ = ["LayerMatch", "LoadedWeights", "load_weights"]

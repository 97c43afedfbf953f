"""Larq's module layout on Keras 3, and what brings Larq's files along."""

from kerasbnn.larq.weight_files import LayerMatch, LoadedWeights, load_weights

__all__ = ["LayerMatch", "LoadedWeights", "load_weights"]

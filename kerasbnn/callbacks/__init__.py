"""Callbacks for training with quantizers."""

from kerasbnn.callbacks.geometry_logger import GeometryLogger
from kerasbnn.callbacks.quantizer_schedule import QuantizerSchedule, irnet_temperature

__all__ = ["GeometryLogger", "QuantizerSchedule", "irnet_temperature"]

"""Callbacks for training with quantizers."""

from kerasbnn.callbacks.geometry_logger import GeometryLogger
from kerasbnn.callbacks.hyperparameter_scheduler import HyperparameterScheduler
from kerasbnn.callbacks.quantizer_schedule import QuantizerSchedule, irnet_temperature

__all__ = [
    "GeometryLogger",
    "HyperparameterScheduler",
    "QuantizerSchedule",
    "irnet_temperature",
]

"""Puts rows of requests that wait at the same time together, where that is faster."""

from .batcher import Batcher
from .calibration import calibrate
from .plan import BatchingPlan

__all__ = ["Batcher", "BatchingPlan", "calibrate"]

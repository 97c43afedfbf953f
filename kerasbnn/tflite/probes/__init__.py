"""Writes a second file that measures the geometry of a model's layers."""

from kerasbnn.tflite.probes.report import ProbedKernel, ProbeReport
from kerasbnn.tflite.probes.writer import probe

__all__ = ["ProbeReport", "ProbedKernel", "probe"]

"""Converts Keras models to .tflite files, for predictions and for diagnostics."""

from kerasbnn.tflite.converter import convert
from kerasbnn.tflite.errors import ConversionError
from kerasbnn.tflite.probes import ProbedKernel, ProbeReport, probe
from kerasbnn.tflite.report import ConversionReport, ConvertedLayer, Verification

__all__ = [
    "ConversionError",
    "ConversionReport",
    "ConvertedLayer",
    "ProbeReport",
    "ProbedKernel",
    "Verification",
    "convert",
    "probe",
]

"""Converts Keras models to .tflite files with packed binary weights."""

from kerasbnn.tflite.converter import convert
from kerasbnn.tflite.errors import ConversionError
from kerasbnn.tflite.report import ConversionReport, ConvertedLayer, Verification

__all__ = [
    "ConversionError",
    "ConversionReport",
    "ConvertedLayer",
    "Verification",
    "convert",
]

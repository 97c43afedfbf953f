"""Writes SavedModels that Larq Compute Engine converts to packed binary layers.

Larq Compute Engine recognises signs and binary convolutions by their form, and takes
some for binary that are not. So each layer is written in a form of which it makes what
Keras computes: binary layers as convolutions of signs, all else in forms that it leaves
alone. Its conversion was read and run in version 0.16.
"""

from kerasbnn.tflite.compute_engine.exporter import (
    check_replaceable,
    convert_for_compute_engine,
)

__all__ = ["check_replaceable", "convert_for_compute_engine"]

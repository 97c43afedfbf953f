"""Train, understand and ship 1-bit neural networks in Keras 3.

Every name loads its module on first use, so that the parts that need neither Keras nor
a backend, such as `kerasbnn.geometry`, never load them.
"""

import importlib
import sys
from pkgutil import iter_modules
from typing import TYPE_CHECKING

import wrapt

from kerasbnn._version import __version__

if TYPE_CHECKING:
    from kerasbnn import (
        applications,
        callbacks,
        constraints,
        geometry,
        larq,
        layers,
        metrics,
        models,
        optimizers,
        probing,
        quantizers,
        recipes,
        runtime,
        tflite,
        tfmot,
    )
    from kerasbnn.auditing import audit
    from kerasbnn.benchmarking import benchmark
    from kerasbnn.binarizing import binarize
    from kerasbnn.exporting import export
    from kerasbnn.layers import (
        QuantConv1D,
        QuantConv1DTranspose,
        QuantConv2D,
        QuantConv2DTranspose,
        QuantConv3D,
        QuantConv3DTranspose,
        QuantDense,
        QuantDepthwiseConv1D,
        QuantDepthwiseConv2D,
        QuantSeparableConv1D,
        QuantSeparableConv2D,
    )
    from kerasbnn.runtime import Interpreter
    from kerasbnn.tflite import convert

__all__ = [
    "Interpreter",
    "QuantConv1D",
    "QuantConv1DTranspose",
    "QuantConv2D",
    "QuantConv2DTranspose",
    "QuantConv3D",
    "QuantConv3DTranspose",
    "QuantDense",
    "QuantDepthwiseConv1D",
    "QuantDepthwiseConv2D",
    "QuantSeparableConv1D",
    "QuantSeparableConv2D",
    "__version__",
    "applications",
    "audit",
    "benchmark",
    "binarize",
    "callbacks",
    "constraints",
    "convert",
    "export",
    "geometry",
    "larq",
    "layers",
    "metrics",
    "models",
    "optimizers",
    "probing",
    "quantizers",
    "recipes",
    "runtime",
    "tflite",
    "tfmot",
]

# What is neither a module nor a layer, and the module that it comes from.
_FUNCTIONS = {
    "Interpreter": "runtime",
    "audit": "auditing",
    "benchmark": "benchmarking",
    "binarize": "binarizing",
    "convert": "tflite",
    "export": "exporting",
}
_MODULES = [
    name
    for name in __all__
    if name.islower() and name not in ("__version__", *_FUNCTIONS)
]
_REGISTERING = (
    "layers",
    "metrics",
    "optimizers",
    "recipes",
    "tfmot.scaled_ternary",
    "tfmot.translated_quantizers",
)
_BACKENDS = ("tensorflow", "jax", "torch")
_CONVERTERS = ("ai_edge_litert", "flatbuffers")


def __getattr__(name):
    if name not in __all__:
        raise AttributeError(f"module 'kerasbnn' has no attribute {name!r}")
    try:
        if name in _MODULES:
            return importlib.import_module(f"kerasbnn.{name}")
        home = _FUNCTIONS.get(name, "layers")
        return getattr(importlib.import_module(f"kerasbnn.{home}"), name)
    except ModuleNotFoundError as error:
        if error.name in _CONVERTERS:
            raise ImportError(
                f"kerasbnn.{name} needs {error.name!r}, which is not installed. Run: "
                'pip install "kerasbnn[tflite]".'
            ) from error
        if error.name not in ("keras", *_BACKENDS):
            raise
        raise ImportError(
            f"kerasbnn.{name} needs Keras and a backend for it, but {error.name!r} is "
            'not installed. Run: pip install "kerasbnn[tensorflow]" (or [jax], or '
            "[torch], with the environment variable KERAS_BACKEND set to match)."
        ) from error


def __dir__():
    return sorted(__all__)


def _register_classes(module):
    """Import what registers classes with Keras, so that `load_model` knows them."""
    if "keras" not in sys.modules:
        return
    for name, other in list(sys.modules.items()):
        # A module of ours that is in the middle of its imports cannot serve the others
        # yet. This function runs again when it is done.
        is_partial = getattr(getattr(other, "__spec__", None), "_initializing", False)
        if name.startswith("kerasbnn.") and is_partial and other is not module:
            return
    for name in _REGISTERING:
        importlib.import_module(f"kerasbnn.{name}")


# As soon as Keras is there, whoever imports it and whether before or after us.
for _name in ("keras", *(f"kerasbnn.{found.name}" for found in iter_modules(__path__))):
    wrapt.when_imported(_name)(_register_classes)

"""Larq's names on Keras 3: `import kerasbnn.larq as lq` runs code written for Larq.

The modules are those of Larq 0.14, made of kerasbnn's layers, quantizers and
optimizers. Importing this one makes Larq's names known to Keras, so that
`keras.models.load_model` finds its classes.
"""

from kerasbnn.larq import (
    activations,
    callbacks,
    constraints,
    context,
    layers,
    math,
    metrics,
    models,
    optimizers,
    quantizers,
    utils,
)
from kerasbnn.larq.aliases import custom_objects, register_aliases
from kerasbnn.larq.weight_files import LayerMatch, LoadedWeights, load_weights

# The Larq whose interface this is; code may ask for one that is new enough.
__version__ = "0.14.0"

__all__ = [
    "LayerMatch",
    "LoadedWeights",
    "activations",
    "callbacks",
    "constraints",
    "context",
    "custom_objects",
    "layers",
    "load_weights",
    "math",
    "metrics",
    "models",
    "optimizers",
    "quantizers",
    "utils",
]

register_aliases()

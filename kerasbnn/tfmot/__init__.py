"""The bridge to tensorflow-model-optimization (TFMOT).

Its 8-bit quantizers as quantizers of `Quant*` layers need no TFMOT. What annotates and
loads models of tf_keras imports it, leaving `tf.keras` and the environment as they are.
Every name loads its module on first use.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerasbnn.tfmot.annotating import (
        BinaryQuantizeConfig,
        BinaryQuantizeScheme,
        WeightClip,
    )
    from kerasbnn.tfmot.carrying_over import from_tfmot
    from kerasbnn.tfmot.errors import TranslationError
    from kerasbnn.tfmot.model_files import load_model
    from kerasbnn.tfmot.range_quantizers import (
        AllValuesQuantizer,
        LastValueQuantizer,
        MovingAverageQuantizer,
    )
    from kerasbnn.tfmot.tf_keras_quantizers import BinaryQuantizer, TernaryQuantizer

__all__ = [
    "AllValuesQuantizer",
    "BinaryQuantizeConfig",
    "BinaryQuantizeScheme",
    "BinaryQuantizer",
    "LastValueQuantizer",
    "MovingAverageQuantizer",
    "TernaryQuantizer",
    "TranslationError",
    "WeightClip",
    "from_tfmot",
    "load_model",
]

_HOMES = {
    "AllValuesQuantizer": "range_quantizers",
    "BinaryQuantizeConfig": "annotating",
    "BinaryQuantizeScheme": "annotating",
    "BinaryQuantizer": "tf_keras_quantizers",
    "LastValueQuantizer": "range_quantizers",
    "MovingAverageQuantizer": "range_quantizers",
    "TernaryQuantizer": "tf_keras_quantizers",
    "TranslationError": "errors",
    "WeightClip": "annotating",
    "from_tfmot": "carrying_over",
    "load_model": "model_files",
}


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'kerasbnn.tfmot' has no attribute {name!r}")
    return getattr(importlib.import_module(f"kerasbnn.tfmot.{_HOMES[name]}"), name)


def __dir__():
    return sorted(__all__)

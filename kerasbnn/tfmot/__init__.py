"""The bridge to tensorflow-model-optimization (TFMOT).

Its 8-bit quantizers as quantizers of `Quant*` layers need no TFMOT. Every name loads
its module on first use.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerasbnn.tfmot.range_quantizers import (
        AllValuesQuantizer,
        LastValueQuantizer,
        MovingAverageQuantizer,
    )

__all__ = ["AllValuesQuantizer", "LastValueQuantizer", "MovingAverageQuantizer"]

_HOMES = {
    "AllValuesQuantizer": "range_quantizers",
    "LastValueQuantizer": "range_quantizers",
    "MovingAverageQuantizer": "range_quantizers",
}


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'kerasbnn.tfmot' has no attribute {name!r}")
    return getattr(importlib.import_module(f"kerasbnn.tfmot.{_HOMES[name]}"), name)


def __dir__():
    return sorted(__all__)

"""Serves converted models over REST, with the geometry of live requests.

Installed as `kerasbnn.serve`. It needs the extra `serve`; never Keras, nor
TensorFlow.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .application import create_app
    from .settings import Settings

__all__ = ["Settings", "create_app"]

_HOMES = {"Settings": "settings", "create_app": "application"}


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'kerasbnn.serve' has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return sorted(__all__)

"""Runs what `kerasbnn.convert` writes; needs numpy and ai-edge-litert only."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kerasbnn.runtime.delegate import delegate_path
    from kerasbnn.runtime.diagnostics import Status, status
    from kerasbnn.runtime.errors import DelegateError, ModelError
    from kerasbnn.runtime.interpreter import Interpreter

__all__ = [
    "DelegateError",
    "Interpreter",
    "ModelError",
    "Status",
    "delegate_path",
    "status",
]

# The converter uses parts of this package where nothing is run.
_HOMES = {
    "DelegateError": "errors",
    "Interpreter": "interpreter",
    "ModelError": "errors",
    "Status": "diagnostics",
    "delegate_path": "delegate",
    "status": "diagnostics",
}


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module 'kerasbnn.runtime' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in (
            "ai_edge_litert",
            "flatbuffers",
        ):
            raise
        raise ImportError(
            f"kerasbnn.runtime.{name} needs LiteRT, but {error.name!r} is not "
            'installed. Run: pip install "kerasbnn[runtime]".'
        ) from error


def __dir__():
    return sorted(__all__)

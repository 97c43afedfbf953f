"""From trained float networks to binary ones."""

from kerasbnn.binarizing.conversion import binarize

__all__ = ["binarize"]

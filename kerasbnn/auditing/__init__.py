"""From a Keras model and some data to the geometry of its layers."""

from kerasbnn.auditing.auditor import audit

__all__ = ["audit"]

"""Writes what a service needs of a model into one folder."""

from kerasbnn.exporting.exporter import export
from kerasbnn.exporting.report import ExportReport

__all__ = ["ExportReport", "export"]

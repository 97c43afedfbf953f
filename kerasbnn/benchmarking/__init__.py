"""Compares a model, packed, with its float32 and int8 twins."""

from kerasbnn.benchmarking.comparison import benchmark
from kerasbnn.benchmarking.report import BenchmarkReport, Contender

__all__ = ["BenchmarkReport", "Contender", "benchmark"]

"""Tests of the bridge to tensorflow-model-optimization."""

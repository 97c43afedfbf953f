"""Keras' own test of a layer: the one place that knows its private path."""

import warnings

from keras.src.testing import TestCase


class _Harness(TestCase):
    def runTest(self):
        """Unused: unittest asks for it to make an instance."""


def run_layer_test(layer_class, arguments, **kwargs):
    """Run Keras' checks: config, shapes, symbolic and eager call, a step of `fit`.

    Args:
        layer_class: Class of the layer.
        arguments: Its arguments.
        **kwargs: Arguments of Keras' `run_layer_test`.
    """
    harness = _Harness()
    harness.setUp()
    try:
        with warnings.catch_warnings():
            # Of the generator that the harness itself hands to `fit`.
            warnings.filterwarnings("ignore", message="`shuffle=True` was passed")
            harness.run_layer_test(layer_class, arguments, **kwargs)
    finally:
        harness.doCleanups()

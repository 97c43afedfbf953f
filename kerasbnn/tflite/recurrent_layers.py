"""Recurrent layers step by step, which TensorFlow's converter asks for."""

import contextlib
from collections.abc import Iterator

import keras

from kerasbnn.models.layer_paths import named_layers


@contextlib.contextmanager
def unrolled(model: keras.Model) -> Iterator[None]:
    """Let recurrent layers compute all steps without a loop.

    Of a loop over steps the converter wants to know the batch size.

    Args:
        model: The model that will be traced inside.

    Yields:
        Nothing; afterwards the layers are as they were.
    """
    layers = [layer for _, layer in named_layers(model) if _has_loop(layer)]
    for layer in layers:
        layer.unroll = True
    try:
        yield
    finally:
        for layer in layers:
            layer.unroll = False


def _has_loop(layer):
    return isinstance(layer, keras.layers.RNN) and not layer.unroll

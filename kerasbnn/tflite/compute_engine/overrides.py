"""Lets layers compute with other kernels and inputs for a while."""

import contextlib
from collections.abc import Iterator

import keras
from keras import ops

from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.layer_paths import named_layers


@contextlib.contextmanager
def replaced_methods(layer: keras.layers.Layer, **methods) -> Iterator[None]:
    """Let a layer have other methods.

    Args:
        layer: The layer.
        **methods: Functions by the names of the methods, without `self`.

    Yields:
        Nothing; afterwards the layer is as it was.
    """
    # Not as attributes to Keras, which locks those of built layers.
    before = {name: vars(layer)[name] for name in methods if name in vars(layer)}
    vars(layer).update(methods)
    try:
        yield
    finally:
        for name in methods:
            del vars(layer)[name]
        vars(layer).update(before)


@contextlib.contextmanager
def constant_kernels(model: keras.Model, kernels: dict) -> Iterator[None]:
    """Let quantized layers compute with constants, not with quantizers of kernels.

    Args:
        model: The model.
        kernels: Array of each kernel, by the `id` of the layer and the kernel's name.

    Yields:
        Nothing; afterwards the layers are as they were.
    """
    with contextlib.ExitStack() as stack:
        for _, layer in named_layers(model):
            if isinstance(layer, QuantizedLayer) and layer.built:
                mine = {
                    role.kernel: kernels[id(layer), role.kernel]
                    for role in layer.kernel_roles
                }
                stack.enter_context(
                    replaced_methods(
                        layer, quantize_kernel=constant_kernel(layer, mine)
                    )
                )
        yield


def constant_kernel(layer: keras.layers.Layer, kernels: dict):
    """Return a method `quantize_kernel` that returns constants.

    Args:
        layer: The layer.
        kernels: Array of each kernel by its name.

    Returns:
        The method.
    """

    def quantize_kernel(kernel="kernel", training=False):
        del training
        return ops.convert_to_tensor(kernels[kernel], layer.compute_dtype)

    return quantize_kernel

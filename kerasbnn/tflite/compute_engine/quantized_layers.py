"""Writes quantized layers: binary ones packed, others with what is known of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasbnn.layers import QuantConv1D, QuantConv2D, QuantDense
from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.layer_paths import named_layers
from kerasbnn.quantizers import RSign
from kerasbnn.tflite.compute_engine.binary_layers import (
    Window,
    binary_convolution,
    packed_bytes,
    reason_against_groups,
    same_pads,
)
from kerasbnn.tflite.compute_engine.chains import Chain
from kerasbnn.tflite.compute_engine.overrides import constant_kernel, replaced_methods
from kerasbnn.tflite.compute_engine.signs import Signs
from kerasbnn.tflite.packable_kernels import PackableKernel, packable_kernel
from kerasbnn.tflite.sign_quantizers import is_sign

# How much larger a kernel may be so that a dense layer reads an image as it is, and so
# the bits of the layer before it.
_LARGEST_GROWTH = 1.25


@dataclass(frozen=True, eq=False)
class BinaryCall:
    """A call of a layer that became a binary convolution.

    Attributes:
        path: Path of the layer.
        dots: Tensor of the dot products.
        kernel_shape: Height, width, channels in a group, filters.
        convolutions: Number of convolutions: one, or one for each group.
        zero_padded: Whether zeros are padded, which keeps the outputs floats.
    """

    path: str
    dots: Any
    kernel_shape: tuple[int, ...]
    convolutions: int
    zero_padded: bool


class QuantizedLayers:
    """Writes the calls of quantized layers.

    Args:
        model: The model.
        signs: What is known of the tensors.

    Attributes:
        paths: Path of each layer by its `id`.
        kernels: Quantized kernels, by the `id` of the layer and the kernel's name.
        binary: The calls that became binary convolutions.
        left_float: Why a layer is not packed, by its path.
    """

    def __init__(self, model: keras.Model, signs: Signs):
        self.signs = signs
        self.paths = {id(layer): path for path, layer in named_layers(model)}
        self.kernels = {
            (id(layer), role.kernel): _eagerly(
                lambda layer=layer, role=role: layer.quantize_kernel(role.kernel)
            )
            for _, layer in named_layers(model)
            if isinstance(layer, QuantizedLayer) and layer.built
            for role in layer.kernel_roles
        }
        self.binary: list[BinaryCall] = []
        self.left_float: dict[str, str] = {}
        self._rules: list[tuple[type, Callable]] = [
            (QuantDense, self._dense),
            (QuantConv1D, self._conv),
            (QuantConv2D, self._conv),
        ]

    def call(self, layer, x, proceed):
        """Write a call of a layer.

        Args:
            layer: The layer.
            x: Its inputs.
            proceed: Function of the inputs that calls the layer.

        Returns:
            Its outputs, or None where the call is to proceed.
        """
        if id(layer) not in self.paths:
            return None
        path = self.paths[id(layer)]
        source = self._signs_of_inputs(layer, x)
        if source is None and layer.input_quantizer is not None:
            self.signs.stepped.append(x)
        reason, kernel = self._reason_against(layer, x, source)
        if reason is None and isinstance(kernel, PackableKernel):
            before = self.signs.before_sign(source)
            self.signs.decided.append((path, before))
            rule = next(rule for kind, rule in self._rules if isinstance(layer, kind))
            return _activated(layer, rule(layer, source, before, kernel))
        self.left_float[path] = reason or str(kernel)
        if source is None or layer.compute_dtype != "float32":
            return None
        self.signs.decided.append((path, self.signs.before_sign(source)))
        return self._float(layer, self._plain(layer, source), proceed)

    def shifted(self, quantizer, x):
        """Add what a quantizer adds before it takes the sign.

        Args:
            quantizer: The quantizer.
            x: Its inputs, with channels last.

        Returns:
            What it takes the sign of.
        """
        if not isinstance(quantizer, RSign):
            return x
        shift = _eagerly(lambda: quantizer.shift).reshape(-1)
        return self.signs.scaled_and_shifted(x, None, shift)

    # ---- inputs ---------------------------------------------------------------------

    def _signs_of_inputs(self, layer, x):
        """Return the tensor whose signs a layer computes with, or None.

        It has channels last, also where those of the layer are first.
        """
        quantizer = layer.input_quantizer
        if quantizer is None:
            if not self.signs.are_signs(x):
                return None
        elif not (isinstance(quantizer, RSign) or is_sign(quantizer)):
            return None
        if _is_channels_first(layer):
            x = ops.moveaxis(x, 1, -1)
        return self.shifted(quantizer, x)

    def _plain(self, layer, source):
        signs = self.signs.plain(source)
        if _is_channels_first(layer):
            return ops.moveaxis(signs, -1, 1)
        return signs

    def _reason_against(self, layer, x, source):
        """Return why a layer is not packed, or None and its kernel."""
        if layer.compute_dtype != "float32":
            return f"it computes in {layer.compute_dtype}", None
        if not any(getattr(layer, role.quantizer) for role in layer.kernel_roles):
            return "its kernel has no quantizer", None
        if not any(isinstance(layer, kind) for kind, _ in self._rules):
            name = type(layer).__name__
            return f"Larq Compute Engine has no binary form of {name}", None
        kernel = packable_kernel(self.kernels[id(layer), "kernel"])
        if isinstance(kernel, str):
            return kernel, None
        if kernel.bits > 1:
            return "Larq Compute Engine has no form for kernels with zeros", None
        if source is None:
            return "its inputs are not signs", None
        if None in x.shape[1:]:
            return "the shape of its inputs is not known", None
        reason = None
        if isinstance(layer, (QuantConv1D, QuantConv2D)):
            reason = reason_against_groups(layer.groups, source.shape[-1])
            if layer.padding == "causal" and layer.pad_values == 0:
                if layer.kernel_size[0] > 1:
                    reason = "it pads zeros on one side; `pad_values=1` would be packed"
        return reason, kernel

    # ---- packed ---------------------------------------------------------------------

    def _dense(self, layer, x, before, kernel):
        weights = kernel.signs
        features, units = weights.shape
        shape = tuple(before.values.shape[1:])
        sizes = tuple(int(size) for size in x.shape[1:-1])
        # An image before it was flattened.
        is_image = len(shape) == 3 and len(x.shape) == 2
        flat_bytes = packed_bytes((1, 1, features, units))
        if is_image and packed_bytes((*shape, units)) <= _LARGEST_GROWTH * flat_bytes:
            weights = weights.reshape(*shape, units)
        else:
            image = (-1, math.prod(sizes), 1, features)
            if shape != image[1:]:
                before = before.unflipped().mapped(lambda v: ops.reshape(v, image))
            weights = weights.reshape(1, 1, features, units)
        dots = binary_convolution(before, weights, Window())
        self.binary.append(
            BinaryCall(self.paths[id(layer)], dots, weights.shape, 1, False)
        )
        outputs = self._finished(layer, dots, dots, kernel.scale, features)
        return self.signs.reshaped(outputs, (-1, *sizes, units))

    def _conv(self, layer, x, before, kernel):
        weights, sizes = kernel.signs, tuple(x.shape[1:-1])
        strides, dilations = tuple(layer.strides), tuple(layer.dilation_rate)
        pads = _pads(layer, sizes)
        if layer.rank == 1:
            weights = weights.reshape(1, *weights.shape)
            strides, dilations, sizes = (1, *strides), (1, *dilations), (1, *sizes)
            pads = None if pads is None else ((0, 0), *pads)
        image = (-1, *sizes, x.shape[-1])
        if tuple(before.values.shape[1:]) != image[1:]:
            before = before.unflipped().mapped(lambda v: ops.reshape(v, image))
        window = Window(
            strides, dilations, pads, int(layer.pad_values) or 1, layer.groups
        )
        dots = binary_convolution(before, weights, window)
        self.binary.append(
            BinaryCall(
                self.paths[id(layer)], dots, weights.shape, layer.groups, pads is None
            )
        )
        fan_in = weights[..., 0].size
        outputs = self._finished(layer, dots, dots, kernel.scale, fan_in)
        if layer.rank == 1:
            outputs = self.signs.reshaped(outputs, (-1, *dots.shape[2:]))
        return ops.moveaxis(outputs, -1, 1) if _is_channels_first(layer) else outputs

    # ---- in floats ------------------------------------------------------------------

    def _float(self, layer, signs, proceed):
        """Call a layer on signs, apart from what follows its dot products."""
        parts = self._whole_numbers(layer)
        if parts is None:
            with replaced_methods(layer, quantize_inputs=_unchanged):
                return proceed(signs)
        kernels, fan_in = {}, 1
        for role in layer.kernel_roles:
            shape = self.kernels[id(layer), role.kernel].shape
            values = parts[role.kernel].signs.reshape(shape)
            kernels[role.kernel] = values.astype(np.float32)
            channels = math.prod(shape[axis] for axis in role.channel_axes)
            fan_in *= math.prod(shape) // channels
        with replaced_methods(
            layer,
            quantize_inputs=_unchanged,
            quantize_kernel=constant_kernel(layer, kernels),
            add_bias_and_activate=_unchanged,
        ):
            dots = proceed(signs)
        shape = tuple(dots.shape[1:])
        image = None
        if len(shape) <= 3 and None not in shape:
            # Poolings take images.
            image = ops.reshape(dots, (-1, *(1,) * (3 - len(shape)), *shape))
        scale = parts[layer.kernel_roles[-1].kernel].scale
        return _activated(layer, self._finished(layer, dots, image, scale, fan_in))

    def _whole_numbers(self, layer) -> dict[str, PackableKernel] | None:
        """Return kernels of whole numbers, with magnitudes of outputs, or None."""
        if _is_channels_first(layer):
            return None
        parts = {}
        for role in layer.kernel_roles:
            values = self.kernels[id(layer), role.kernel]
            kernel = packable_kernel(values)
            if getattr(layer, role.quantizer) is None or isinstance(kernel, str):
                return None
            if kernel.scale is not None and (
                role.channel_axes != (-1,) or role is not layer.kernel_roles[-1]
            ):
                # Not one magnitude for each output.
                return None
            parts[role.kernel] = kernel
        return parts

    def _finished(self, layer, outputs, dots, scale, fan_in):
        """Write what a layer does with its dot products, but for the activation.

        Args:
            layer: The layer.
            outputs: The dot products.
            dots: The same as images, or None.
            scale: Magnitudes of the kernel, or None.
            fan_in: Number of terms of a dot product.

        Returns:
            The outputs.
        """
        if dots is not None:
            chain = Chain(dots, dots.shape[-1], fan_in, self.paths[id(layer)])
            self.signs.set_chain(outputs, chain)
        self.signs.note_never_minus_zero(outputs)
        bias = None if layer.bias is None else _eagerly(lambda: layer.bias)
        if scale is None and bias is None:
            return outputs
        return self.signs.scaled_and_shifted(outputs, scale, bias)


def _unchanged(x):
    return x


def _activated(layer, outputs):
    activation = getattr(layer, "activation", None)
    if activation is None or activation is keras.activations.linear:
        return outputs
    return activation(outputs)


def _pads(layer, sizes):
    """Return what a convolution pads on each axis, or None for zeros around."""
    if layer.padding == "valid":
        return ((0, 0),) * layer.rank
    if layer.padding == "causal":
        return (((layer.kernel_size[0] - 1) * layer.dilation_rate[0], 0),)
    axes = zip(
        sizes, layer.kernel_size, layer.strides, layer.dilation_rate, strict=True
    )
    pads = tuple(same_pads(*axis) for axis in axes)
    is_padded = any(before or after for before, after in pads)
    return None if layer.pad_values == 0 and is_padded else pads


def _is_channels_first(layer):
    return getattr(layer, "data_format", None) == "channels_first"


def _eagerly(function) -> np.ndarray:
    """Read values while a graph is being traced."""
    import tensorflow as tf

    with tf.init_scope():
        return np.array(ops.convert_to_numpy(function()), np.float32)

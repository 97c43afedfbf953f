"""Answers the calls of layers, while a model is traced, in forms for Compute Engine."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from kerasbnn.layers import QuantConv1D, QuantConv2D, QuantDense
from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.call_tracing import intercept_calls
from kerasbnn.models.layer_paths import named_layers
from kerasbnn.quantizers import Quantizer, RSign
from kerasbnn.tflite.compute_engine.binary_layers import (
    Window,
    binary_convolution,
    packed_bytes,
    reason_against_groups,
    same_pads,
)
from kerasbnn.tflite.compute_engine.chains import Chain
from kerasbnn.tflite.compute_engine.operations import scaled_and_shifted
from kerasbnn.tflite.compute_engine.signs import Signs
from kerasbnn.tflite.lowering import batch_normalization_terms
from kerasbnn.tflite.packable_kernels import PackableKernel, packable_kernel
from kerasbnn.tflite.sign_quantizers import is_sign


@dataclass(frozen=True, eq=False)
class Binary:
    """A call of a layer that became a binary convolution.

    Attributes:
        path: Path of the layer.
        dots: Tensor of the dot products.
        weights: Number of weights.
        bytes: Bytes of the packed weights.
        convolutions: Number of convolutions: one, or one for each group.
        zero_padded: Whether zeros are padded, which keeps the outputs floats.
        channels: Number of output channels.
    """

    path: str
    dots: object
    weights: int
    bytes: int
    convolutions: int
    zero_padded: bool
    channels: int


@contextlib.contextmanager
def lowered_calls(model: keras.Model) -> Iterator["Lowering"]:
    """Write the layers of a model, in this thread, in forms for Compute Engine.

    Args:
        model: The model that will be traced by TensorFlow inside.

    Yields:
        What is known of the layers, which fills up with every call.
    """
    lowering = Lowering(model)
    with constant_kernels(model, lowering.kernels), intercept_calls(lowering.handle):
        yield lowering
    for path, layer in named_layers(model):
        is_called = path in {one.path for one in lowering.binary}
        if isinstance(layer, QuantizedLayer) and not is_called:
            lowering.left_float.setdefault(
                path, "it is not called by itself but run inside another layer"
            )


@contextlib.contextmanager
def constant_kernels(model: keras.Model, kernels: dict) -> Iterator[None]:
    """Let quantized layers compute with constants, not with quantizers of kernels.

    Args:
        model: The model.
        kernels: Array of each kernel, by the `id` of the layer and the kernel's name.

    Yields:
        Nothing; afterwards the layers are as they were.
    """
    changed = []
    for _, layer in named_layers(model):
        if isinstance(layer, QuantizedLayer) and layer.built:
            # Not an attribute to Keras, which locks those of built layers.
            vars(layer)["quantize_kernel"] = _constant_kernel(layer, kernels)
            changed.append(layer)
    try:
        yield
    finally:
        for layer in changed:
            del vars(layer)["quantize_kernel"]


def _constant_kernel(layer, kernels):
    def quantize_kernel(kernel="kernel", training=False):
        del training
        values = kernels[id(layer), kernel]
        return ops.convert_to_tensor(values, layer.compute_dtype)

    return quantize_kernel


class Lowering:
    """Answers the calls of layers.

    Attributes:
        signs: What is known of the tensors.
        binary: The calls that became binary convolutions.
        left_float: Why a quantized layer is not packed, by its path.
        taken_in: Outputs of each batch normalization; where the model needs none of
            them, it is part of a threshold.
        follows: Path of the binary layer that a batch normalization follows.
        kernels: Quantized kernels, by the `id` of the layer and the kernel's name.
    """

    def __init__(self, model: keras.Model):
        self.signs = Signs()
        self.binary: list[Binary] = []
        self.left_float: dict[str, str] = {}
        self.taken_in: dict[str, list] = {}
        self.follows: dict[str, str] = {}
        self.paths = {id(layer): path for path, layer in named_layers(model)}
        self.kernels = {
            (id(layer), role.kernel): _values(layer, role.kernel)
            for _, layer in named_layers(model)
            if isinstance(layer, QuantizedLayer) and layer.built
            for role in layer.kernel_roles
        }
        self._rules: list[tuple[type, Callable]] = [
            (QuantDense, self._dense),
            (QuantConv1D, self._conv),
            (QuantConv2D, self._conv),
        ]

    def handle(self, layer, proceed, args, kwargs):
        """Write a call in a form of its own, or let it proceed."""
        x = args[0] if args else kwargs.get("inputs")
        if isinstance(layer, keras.layers.Add):
            outputs = proceed(*args, **kwargs)
            if any(self.signs.is_never_minus_zero(y) for y in x):
                self.signs.note_never_minus_zero(outputs)
            return outputs
        if not _is_activation(x):
            return proceed(*args, **kwargs)
        outputs = None
        if isinstance(layer, QuantizedLayer):
            outputs = self._quantized(layer, x, proceed)
        elif isinstance(layer, Quantizer):
            outputs = self._sign_layer(layer, x)
        elif type(layer) is keras.layers.BatchNormalization:
            outputs = self._batch_normalization(layer, x)
        elif type(layer) in _POOLS:
            outputs = self._max_pooling(layer, x, proceed)
        if outputs is not None:
            return outputs
        outputs = proceed(*args, **kwargs)
        self.signs.after(layer, x, outputs)
        return outputs

    # ---- quantized layers -----------------------------------------------------------

    def _quantized(self, layer, x, proceed):
        if id(layer) not in self.paths:
            return None
        path = self.paths[id(layer)]
        quantized = self._signs_of_inputs(layer, x)
        reason, kernel = self._reason_against(layer, x, quantized)
        if reason is None and isinstance(kernel, PackableKernel):
            before = self.signs.before_sign(quantized)
            self.signs.decided.append((path, before))
            rule = next(rule for kind, rule in self._rules if isinstance(layer, kind))
            outputs = rule(layer, quantized, before, kernel)
            activation = getattr(layer, "activation", None)
            if activation is not None and activation is not keras.activations.linear:
                outputs = activation(outputs)
            return outputs
        self.left_float[path] = reason or str(kernel)
        if quantized is None or layer.compute_dtype != "float32":
            return None
        self.signs.decided.append((path, self.signs.before_sign(quantized)))
        return self._with_signs(layer, self._plain(layer, x, quantized), proceed)

    def _plain(self, layer, x, quantized):
        signs = self.signs.plain(quantized)
        if _is_channels_first(layer) and quantized is not x:
            signs = ops.moveaxis(signs, -1, 1)
        return signs

    def _with_signs(self, layer, signs, proceed):
        """Call a layer on signs that it need not take once more."""
        # Keras locks attributes of built layers, and this is none.
        vars(layer)["quantize_inputs"] = lambda inputs: inputs
        try:
            return proceed(signs)
        finally:
            del vars(layer)["quantize_inputs"]

    def _signs_of_inputs(self, layer, x):
        """Return the tensor whose signs a layer computes with, or None.

        It has channels last, also where those of the layer are first.
        """
        quantizer = layer.input_quantizer
        if quantizer is None:
            found = x if self.signs.are_signs(x) else None
        elif isinstance(quantizer, RSign) or is_sign(quantizer):
            found = x
        else:
            return None
        if found is None or not _is_channels_first(layer):
            return self._shifted(quantizer, found)
        last = ops.moveaxis(self.signs.source(found), 1, -1)
        return self._shifted(quantizer, last)

    def _shifted(self, quantizer, x):
        """Add what the quantizer adds before it takes the sign."""
        if x is None or not isinstance(quantizer, RSign):
            return x
        shift = _eagerly(lambda: quantizer.shift).reshape(-1)
        return self._affine(x, None, shift)

    def _reason_against(self, layer, x, quantized):
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
        if quantized is None:
            return "its inputs are not signs", None
        if None in x.shape[1:]:
            return "the shape of its inputs is not known", None
        reason = None
        if isinstance(layer, (QuantConv1D, QuantConv2D)):
            reason = reason_against_groups(layer.groups, quantized.shape[-1])
            if layer.padding == "causal" and layer.pad_values == 0:
                if layer.kernel_size[0] > 1:
                    reason = "it pads zeros on one side; `pad_values=1` would be packed"
        return reason, kernel

    def _dense(self, layer, x, before, kernel):
        values, weights = before.values, kernel.signs
        features, units = weights.shape
        shape = tuple(values.shape[1:])
        # An image before it was flattened; its channels fill their words about as well.
        is_image = len(shape) == 3 and len(x.shape) == 2
        flat_bytes = packed_bytes((1, 1, features, units))
        if is_image and packed_bytes((*shape, units)) <= 1.25 * flat_bytes:
            weights = weights.reshape(*shape, units)
        else:
            # Positions other than the last axis are those of an image.
            before = before.unflipped().mapped(
                lambda v: ops.reshape(v, (-1, int(np.prod(x.shape[1:-1])), 1, features))
            )
            weights = weights.reshape(1, 1, features, units)
        dots = binary_convolution(self.signs, before, weights, Window())
        outputs = self._finished(layer, dots, kernel, features, weights.shape)
        return self._reshaped(outputs, (-1, *x.shape[1:-1], units))

    def _conv(self, layer, x, before, kernel):
        weights = kernel.signs
        strides, dilations = tuple(layer.strides), tuple(layer.dilation_rate)
        sizes, taps = tuple(x.shape[1:-1]), tuple(layer.kernel_size)
        pads = self._pads(layer, sizes)
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
        fan_in = int(np.prod(taps)) * weights.shape[-2]
        dots = binary_convolution(self.signs, before, weights, window)
        outputs = self._finished(
            layer, dots, kernel, fan_in, weights.shape, pads is None, layer.groups
        )
        if layer.rank == 1:
            shape = (-1, *(int(size) for size in dots.shape[2:]))
            outputs = self._reshaped(outputs, shape)
        return ops.moveaxis(outputs, -1, 1) if _is_channels_first(layer) else outputs

    def _pads(self, layer, sizes):
        """Return what is padded, or None for zeros around."""
        if layer.padding == "valid":
            return ((0, 0),) * layer.rank
        if layer.padding == "causal":
            return (((layer.kernel_size[0] - 1) * layer.dilation_rate[0], 0),)
        pads = tuple(
            same_pads(*each)
            for each in zip(
                sizes,
                layer.kernel_size,
                layer.strides,
                layer.dilation_rate,
                strict=True,
            )
        )
        is_padded = any(before or after for before, after in pads)
        return None if layer.pad_values == 0 and is_padded else pads

    def _finished(
        self, layer, dots, kernel, fan_in, shape, zero_padded=False, convolutions=1
    ):
        """Write what a layer does with its dot products; note what they are."""
        channels = shape[-1]
        bias = None if layer.bias is None else _eagerly(lambda: layer.bias)
        self.binary.append(
            Binary(
                path=self.paths[id(layer)],
                dots=dots,
                weights=int(np.prod(shape)),
                bytes=packed_bytes(shape),
                convolutions=convolutions,
                zero_padded=zero_padded,
                channels=channels,
            )
        )
        self.signs.set_chain(dots, Chain(dots, channels, fan_in, self.paths[id(layer)]))
        self.signs.note_never_minus_zero(dots)
        if kernel.scale is None and bias is None:
            return dots
        return self._affine(dots, kernel.scale, bias)

    # ---- other layers ---------------------------------------------------------------

    def _affine(self, x, scale, shift):
        outputs = scaled_and_shifted(x, scale, shift)
        chain = self.signs.chain(x)
        if chain is not None and chain.channels == x.shape[-1]:
            self.signs.set_chain(outputs, chain.with_step(scale, shift))
        if shift is not None:
            self.signs.note_never_minus_zero(outputs)
        return outputs

    def _reshaped(self, x, shape):
        outputs = ops.reshape(x, shape)
        self.signs.note_reshaped(x, outputs)
        return outputs

    def _sign_layer(self, layer, x):
        if isinstance(layer, RSign) and layer.channel_axes == (-1,):
            return self.signs.plain(self._shifted(layer, x))
        return self.signs.plain(x) if is_sign(layer) else None

    def _batch_normalization(self, layer, x):
        if layer.axis not in (-1, len(x.shape) - 1) or layer.compute_dtype != "float32":
            return None
        outputs = self._affine(x, *batch_normalization_terms(layer))
        path = self.paths.get(id(layer), layer.name)
        self.taken_in.setdefault(path, []).append(outputs)
        chain = self.signs.chain(outputs)
        if chain is not None:
            self.follows[path] = chain.path
        return outputs

    def _max_pooling(self, layer, x, proceed):
        if _is_channels_first(layer):
            return None
        outputs = proceed(x)
        source, pooled = self.signs.source(x), outputs
        if source is not x:
            if source.shape != x.shape:
                return outputs
            # The sign of the largest is the largest sign.
            pooled = proceed(source)
        if self.signs.is_never_minus_zero(source):
            self.signs.note_never_minus_zero(pooled)
        chain = self.signs.chain(source)
        if chain is not None and _is_image_of(x, chain.dots):
            pool = tuple(layer.pool_size), tuple(layer.strides)
            if len(pool[0]) == 1:
                pool = (1, *pool[0]), (1, *pool[1])
            self.signs.set_chain(
                pooled, chain.with_pool((*pool, layer.padding.upper()))
            )
        if source is not x:
            self.signs.note_signs(outputs, pooled)
        return outputs


_POOLS = (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D)


def _is_image_of(x, dots):
    """Tell whether a tensor has the shape of dot products, but for a height of 1."""
    shape = tuple(x.shape[1:])
    return tuple(dots.shape[1:]) in (shape, (1, *shape))


def _is_channels_first(layer):
    return getattr(layer, "data_format", None) == "channels_first"


def _is_activation(x):
    """Tell a batch of activations from a kernel or a number."""
    return (
        hasattr(x, "shape")
        and len(x.shape) > 1
        and x.shape[0] is None
        and keras.backend.standardize_dtype(x.dtype) == "float32"
    )


def _values(layer, kernel):
    return _eagerly(lambda: layer.quantize_kernel(kernel))


def _eagerly(function) -> np.ndarray:
    """Read values while a graph is being traced."""
    import tensorflow as tf

    with tf.init_scope():
        return np.array(ops.convert_to_numpy(function()), np.float32)

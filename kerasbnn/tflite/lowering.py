"""Marks the calls of layers during an export; the layers know nothing of it."""

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
from keras import ops

from kerasbnn.layers import (
    QuantConv1D,
    QuantConv2D,
    QuantDense,
    QuantDepthwiseConv1D,
    QuantDepthwiseConv2D,
    QuantSeparableConv1D,
    QuantSeparableConv2D,
)
from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.call_tracing import intercept_calls
from kerasbnn.models.layer_paths import named_layers
from kerasbnn.quantizers import Quantizer, RSign
from kerasbnn.runtime.composites import (
    CONV_2D,
    DENSE,
    DEPTHWISE_CONV_2D,
    FLOAT,
    Composite,
)
from kerasbnn.tflite.marks import Affine, Dot, Marks, Sign
from kerasbnn.tflite.packable_kernels import packable_kernel
from kerasbnn.tflite.range_marks import int8_kernel, ranged_kernels, rounding
from kerasbnn.tflite.sign_quantizers import is_sign
from kerasbnn.tfmot.range_quantizers import RangeQuantizer


@contextlib.contextmanager
def marked_calls(model: keras.Model) -> Iterator[Marks]:
    """Mark, in this thread, what can be packed and what decides signs.

    Args:
        model: The model that will be traced by TensorFlow inside.

    Yields:
        The marks, which fill up with every call of the model.
    """
    marks = Marks()
    lowering = _Lowering(model, marks)
    with intercept_calls(lowering.handle):
        yield marks
    for path, layer in named_layers(model):
        if isinstance(layer, QuantizedLayer) and layer not in lowering.seen:
            marks.left_float.setdefault(
                path, "it is not called by itself but run inside another layer"
            )


class _Lowering:
    """Answers the calls of layers with marks."""

    def __init__(self, model, marks):
        self.marks = marks
        named = list(named_layers(model))
        self.paths = {id(layer): path for path, layer in named}
        self.by_path = dict(named)
        self.seen = set()
        self._ranged = ranged_kernels(named)
        self._int8_kernels = {}
        self._rules: list[tuple[type, Callable]] = [
            (QuantDense, self._dense),
            (QuantConv1D, self._conv),
            (QuantConv2D, self._conv),
            (QuantDepthwiseConv1D, self._depthwise_conv),
            (QuantDepthwiseConv2D, self._depthwise_conv),
            (QuantSeparableConv1D, self._separable_conv),
            (QuantSeparableConv2D, self._separable_conv),
        ]

    def handle(self, layer, proceed, args, kwargs):
        """Emit marks for a call, or let it proceed."""
        x = args[0] if args else kwargs.get("inputs")
        if id(layer) in self._ranged and not _is_activation(x) and not _is_eager():
            outputs = self._int8_kernel(layer)
            return proceed(*args, **kwargs) if outputs is None else outputs
        if not _is_activation(x) or keras.backend.standardize_dtype(x.dtype) != (
            "float32"
        ):
            self._note_skipped(layer)
            return proceed(*args, **kwargs)
        outputs = None
        if isinstance(layer, QuantizedLayer):
            outputs = self._quantized(layer, x)
        elif isinstance(layer, Quantizer):
            outputs = self._quantizer(layer, x, self.paths.get(id(layer)) or layer.name)
        elif type(layer) is keras.layers.BatchNormalization:
            outputs = self._batch_normalization(layer, x)
        return proceed(*args, **kwargs) if outputs is None else outputs

    def _note_skipped(self, layer):
        if isinstance(layer, QuantizedLayer) and layer not in self.seen:
            self.seen.add(layer)
            self._leave(layer, "it computes in another dtype than float32")

    def _leave(self, layer, reason):
        self.marks.left_float[self.paths[id(layer)]] = reason

    def _int8_kernel(self, quantizer):
        if id(quantizer) not in self._int8_kernels:
            place = self._ranged[id(quantizer)]
            self._int8_kernels[id(quantizer)] = _eager(lambda: int8_kernel(*place))
        mark = self._int8_kernels[id(quantizer)]
        # An operation has at least one input.
        return None if mark is None else self.marks.emit(mark, ops.zeros((1,)))

    # ---- quantized layers -----------------------------------------------------------

    def _quantized(self, layer, x):
        if id(layer) not in self.paths:
            return None
        if not any(getattr(layer, role.quantizer) for role in layer.kernel_roles):
            if layer not in self.seen:
                self._leave(layer, "its kernel has no quantizer")
            self.seen.add(layer)
            return None
        self.seen.add(layer)
        reason = self._reason_against(layer)
        rule = self._rule_for(layer)
        if None in x.shape[1:]:
            reason = "the shape of its inputs is not known"
        if reason is None and rule is None:
            reason = f"no packed form of {type(layer).__name__} is known"
        if reason is not None or rule is None:
            self._leave(layer, reason)
            return None
        kernels = []
        for role in layer.kernel_roles:
            values = _eagerly(lambda role=role: layer.quantize_kernel(role.kernel))
            if role.kernel in ("kernel", "depthwise_kernel") and rule in (
                self._depthwise_conv,
                self._separable_conv,
            ):
                # Output channels are pairs of an input channel and a multiplier.
                values = values.reshape(*values.shape[:-2], -1)
            kernel = packable_kernel(values)
            if isinstance(kernel, str):
                self._leave(layer, kernel)
                return None
            kernels.append(kernel)
        # What TensorFlow knows of a shape while it traces, its converter may not find.
        x = ops.reshape(x, (-1, *x.shape[1:]))
        outputs = rule(layer, self._quantized_inputs(layer, x), *kernels)
        activation = getattr(layer, "activation", None)
        if activation is not None and activation is not keras.activations.linear:
            outputs = activation(outputs)
        return outputs

    def _rule_for(self, layer):
        for kind, rule in self._rules:
            if isinstance(layer, kind):
                return rule
        return None

    def _reason_against(self, layer):
        if layer.compute_dtype != "float32":
            return f"it computes in {layer.compute_dtype}"
        return None

    def _quantized_inputs(self, layer, x):
        quantizer = layer.input_quantizer
        if quantizer is None:
            return x
        path = self.paths[id(layer)]
        marked = None
        if layer.input_channel_axes == (-1,) or not isinstance(quantizer, RSign):
            marked = self._quantizer(quantizer, x, path)
        return layer.quantize_inputs(x) if marked is None else marked

    def _quantizer(self, quantizer, x, path: str):
        if type(quantizer) is RSign and quantizer.channel_axes == (-1,):
            shift = _eagerly(lambda: quantizer.shift).reshape(-1)
            if len(shift) == x.shape[-1]:
                affine = Affine(self.paths.get(id(quantizer)) or path, None, shift)
                x = self.marks.emit(affine, x)
                return self.marks.emit(Sign(path), x)
        if isinstance(quantizer, RangeQuantizer) and not _is_eager():
            if quantizer is self.by_path.get(path):
                reason = "it rounds activations to its levels, by operations on floats"
                self._leave(quantizer, reason)
            return self.marks.emit(_eager(lambda: rounding(path, quantizer)), x)
        if is_sign(quantizer):
            return self.marks.emit(Sign(path), x)
        return None

    def _dense(self, layer, x, kernel):
        composite = Composite(
            DENSE, x.shape[-1], layer.units, weight_bits=kernel.bits, input=FLOAT
        )
        flat = x
        if len(x.shape) > 2:
            flat = ops.reshape(x, (-1, x.shape[-1]))
        values = kernel.signs.T
        outputs = self._emit_dot(layer, composite, values, kernel, flat)
        if len(x.shape) > 2:
            outputs = ops.reshape(outputs, (-1, *ops.shape(x)[1:-1], layer.units))
        return outputs

    def _conv(self, layer, x, kernel):
        def emit(x, fields, signs):
            composite = Composite(
                CONV_2D,
                x.shape[-1],
                layer.filters,
                groups=layer.groups,
                weight_bits=kernel.bits,
                input=FLOAT,
                **fields,
            )
            values = signs.transpose(3, 0, 1, 2)
            return self._emit_dot(layer, composite, values, kernel, x)

        return _as_2d(layer, x, kernel.signs, emit)

    def _depthwise_conv(self, layer, x, kernel, pointwise=None):
        del pointwise

        def emit(x, fields, signs):
            composite = Composite(
                DEPTHWISE_CONV_2D,
                x.shape[-1],
                signs.shape[-1],
                weight_bits=kernel.bits,
                input=FLOAT,
                **fields,
            )
            role = layer.kernel_roles[0].kernel
            return self._emit_dot(layer, composite, signs, kernel, x, role)

        return _as_2d(layer, x, kernel.signs, emit)

    def _separable_conv(self, layer, x, depthwise, pointwise):
        x = self._depthwise_conv(layer, x, depthwise)

        def emit(x, fields, signs):
            del fields
            composite = Composite(
                CONV_2D,
                x.shape[-1],
                layer.filters,
                weight_bits=pointwise.bits,
                input=FLOAT,
            )
            values = signs.transpose(3, 0, 1, 2)
            return self._emit_dot(
                layer, composite, values, pointwise, x, "pointwise_kernel"
            )

        return _as_2d(layer, x, pointwise.signs, emit)

    def _emit_dot(self, layer, composite, values, kernel, x, role="kernel"):
        bias = None
        is_last = role == layer.kernel_roles[-1].kernel
        if is_last and layer.bias is not None:
            bias = _eagerly(lambda: layer.bias)
        mark = Dot(
            self.paths[id(layer)],
            role if len(layer.kernel_roles) > 1 else "kernel",
            composite,
            np.ascontiguousarray(values),
            kernel.scale,
            bias,
        )
        return self.marks.emit(mark, x)

    # ---- batch normalization --------------------------------------------------------

    def _batch_normalization(self, layer, x):
        if id(layer) not in self.paths:
            return None
        reason = self._reason_against(layer)
        if layer.axis not in (-1, len(x.shape) - 1):
            reason = f"it normalizes axis {layer.axis}, not the last"
        if reason is not None:
            self._leave(layer, reason)
            return None
        scale, shift = batch_normalization_terms(layer)
        return self.marks.emit(Affine(self.paths[id(layer)], scale, shift), x)


def batch_normalization_terms(layer) -> tuple[np.ndarray, np.ndarray]:
    """Return what Keras on TensorFlow multiplies by and adds at inference.

    Args:
        layer: A built `keras.layers.BatchNormalization`.

    Returns:
        float32 factor and addend `(channels,)`, computed operation by operation as
        TensorFlow does, so that products and sums with them are the same to the bit.
    """
    import tensorflow as tf

    with tf.init_scope():
        # Any device other than the one Keras computes on may round differently.
        inverse = tf.math.rsqrt(layer.moving_variance.value + layer.epsilon)
        if layer.scale:
            inverse *= layer.gamma.value
        if layer.center:
            shift = layer.beta.value - layer.moving_mean.value * inverse
        else:
            shift = -layer.moving_mean.value * inverse
        return inverse.numpy(), shift.numpy()


def _as_2d(layer, x, signs, emit):
    """Emit a convolution of any layout as one of images with channels last.

    Args:
        layer: The convolution.
        x: Its quantized inputs.
        signs: Its kernel, with the spatial axes first.
        emit: Function of the inputs, the fields of a `Composite` and the kernel.

    Returns:
        The outputs in the layer's layout.
    """
    rank = layer.rank
    is_channels_first = layer.data_format == "channels_first"
    if is_channels_first:
        x = ops.moveaxis(x, 1, -1)
    strides, dilations = list(layer.strides), list(layer.dilation_rate)
    taps = list(layer.kernel_size)
    if layer.padding == "causal":
        reach = (taps[0] - 1) * dilations[0]
        x = ops.pad(
            x, [(0, 0), (reach, 0), (0, 0)], constant_values=float(layer.pad_values)
        )
    if rank == 1:
        x = ops.expand_dims(x, 1)
        signs = signs.reshape(1, *signs.shape)
        strides, dilations, taps = [1, *strides], [1, *dilations], [1, *taps]
    fields = {
        "kernel_h": taps[0],
        "kernel_w": taps[1],
        "stride_h": strides[0],
        "stride_w": strides[1],
        "dilation_h": dilations[0],
        "dilation_w": dilations[1],
        "same": int(layer.padding == "same"),
        "pad_value": layer.pad_values if layer.padding == "same" else 0,
    }
    outputs = emit(x, fields, signs)
    if rank == 1:
        outputs = ops.squeeze(outputs, 1)
    if is_channels_first:
        outputs = ops.moveaxis(outputs, -1, 1)
    return outputs


def _is_activation(x):
    """Tell a batch of activations from a kernel or a number."""
    return hasattr(x, "shape") and len(x.shape) > 1 and x.shape[0] is None


def _is_eager():
    import tensorflow as tf

    return tf.executing_eagerly()


def _eager(function):
    """Call a function while a graph is being traced as if there were none."""
    import tensorflow as tf

    with tf.init_scope():
        return function()


def _eagerly(function) -> np.ndarray:
    """Read values while a graph is being traced."""
    return _eager(lambda: np.array(ops.convert_to_numpy(function()), np.float32))

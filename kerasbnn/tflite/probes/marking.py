"""Marks, during an export, what a probe measures."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import ops

# Keras has no public way to read the mask that a tensor carries.
from keras.src.backend import get_keras_mask

from kerasbnn.auditing.kernels import AuditedKernel
from kerasbnn.auditing.operations import EinsumOperation, Operation
from kerasbnn.auditing.windows import Windows
from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.bit_widths import keeps_values
from kerasbnn.models.call_tracing import intercept_calls
from kerasbnn.quantizers import Quantizer
from kerasbnn.quantizers.base import plain
from kerasbnn.tflite.lowering import batch_normalization_terms
from kerasbnn.tflite.marks import emit_operation

OPERATION = "KerasbnnProbe"


@dataclass(frozen=True, eq=False)
class Products:
    """One call of a kernel.

    It takes the inputs and, where that is known, what a quantizer has made them from.

    Attributes:
        kernel: The kernel.
        windows: Its windows over the inputs.
        clip_value: Where the gradient of the quantizer of the inputs ends, or None.
    """

    kernel: AuditedKernel
    windows: Windows
    clip_value: float | None


@dataclass(frozen=True, eq=False)
class Normalized:
    """One call of a batch normalization.

    Attributes:
        layer: The layer.
        scale: float32 factor of each channel.
        shift: float32 addend of each channel.
        kernel: Name of the kernel whose products it normalizes, or None.
    """

    layer: keras.layers.BatchNormalization
    scale: np.ndarray
    shift: np.ndarray
    kernel: str | None


@dataclass
class ProbeMarks:
    """The marks of one export, in the order of the calls.

    Attributes:
        marks: The marks; the number of one is its place.
        skipped: Why a kernel is not measured, by its name.
    """

    marks: list[Products | Normalized] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    def emit(self, mark, inputs, shape):
        """Emit the operation of a mark.

        Args:
            mark: The mark.
            inputs: List of TensorFlow tensors of floats.
            shape: Shape of the output, without the axis of rows.

        Returns:
            Tensor `(rows, *shape)`; its values are of no use.
        """
        import tensorflow as tf

        def stand_in(x, *others):
            total = tf.add_n([tf.reduce_sum(other) for other in (x, *others)])
            rows = tf.shape(x)[0]
            return tf.ensure_shape(tf.fill((rows, *shape), total), (None, *shape))

        number = len(self.marks)
        self.marks.append(mark)
        return emit_operation(OPERATION, number, inputs, stand_in)


@contextlib.contextmanager
def marked_calls(kernels: list[AuditedKernel]) -> Iterator[ProbeMarks]:
    """Mark, in this thread, the calls of kernels and what follows them.

    Args:
        kernels: The kernels to measure, of a model that TensorFlow traces inside.

    Yields:
        The marks, which fill up with every call.
    """
    marks = ProbeMarks()
    with intercept_calls(_Marking(kernels, marks).handle):
        yield marks


class _Marking:
    """Answers the calls of layers with marks."""

    def __init__(self, kernels, marks):
        self.marks = marks
        self.by_layer: dict[int, list[AuditedKernel]] = {}
        for kernel in kernels:
            self.by_layer.setdefault(id(kernel.layer), []).append(kernel)
        # By the id of a tensor: what a quantizer made it from and with what clip, and
        # the kernel whose products it holds. `_alive` keeps ids from being given anew.
        self._raw: dict[int, tuple] = {}
        self._products: dict[int, str] = {}
        self._alive = []

    def handle(self, layer, proceed, args, kwargs):
        """Emit marks for a call, or let it proceed."""
        x = args[0] if args else kwargs.get("inputs")
        if not _is_activation(x):
            return proceed(*args, **kwargs)
        if id(layer) in self.by_layer:
            return self._kernels(layer, x, proceed, args, kwargs)
        if isinstance(layer, keras.layers.TimeDistributed):
            if id(layer.layer) in self.by_layer and None not in x.shape[1:]:
                return self._time_distributed(layer.layer, x, proceed, args, kwargs)
        elif isinstance(layer, keras.layers.BatchNormalization):
            return self._batch_normalization(layer, x, proceed, args, kwargs)
        outputs = proceed(*args, **kwargs)
        if isinstance(layer, Quantizer):
            self._note(self._raw, outputs, (x, _clip_value(layer)))
        elif keeps_values(layer):
            self._follow(x, outputs, lambda raw: proceed(raw, *args[1:], **kwargs))
        return outputs

    def _note(self, known, tensor, value):
        self._alive.append((tensor, value))
        known[id(tensor)] = value

    def _follow(self, x, outputs, again: Callable):
        if id(x) in self._raw:
            raw, clip_value = self._raw[id(x)]
            self._note(self._raw, outputs, (again(raw), clip_value))
        if id(x) in self._products:
            self._note(self._products, outputs, self._products[id(x)])

    # ---- kernels --------------------------------------------------------------------

    def _kernels(self, layer, x, proceed, args, kwargs):
        kernels = self.by_layer[id(layer)]
        reason = _reason_against(layer, x)
        if reason:
            for kernel in kernels:
                self.marks.skipped[kernel.name] = reason
            return proceed(*args, **kwargs)
        return self._measured(layer, kernels, x)

    def _time_distributed(self, layer, x, proceed, args, kwargs):
        kernels = self.by_layer[id(layer)]
        folded = ops.reshape(x, (-1, *x.shape[2:]))
        reason = _reason_against(layer, folded)
        if reason:
            for kernel in kernels:
                self.marks.skipped[kernel.name] = reason
            return proceed(*args, **kwargs)
        outputs = self._measured(layer, kernels, folded)
        return ops.reshape(outputs, (-1, x.shape[1], *outputs.shape[1:]))

    def _measured(self, layer, kernels, given):
        inputs = given
        raw, clip_value = self._raw.get(id(given), (None, None))
        quantizer = getattr(layer, "input_quantizer", None)
        if isinstance(layer, QuantizedLayer) and quantizer is not None:
            given = ops.cast(given, layer.compute_dtype)
            inputs = layer.quantize_inputs(given)
            raw, clip_value = given, _clip_value(quantizer)
        outputs = inputs
        for kernel in kernels:
            operation = kernel.operation
            inputs = operation.prepared(outputs)
            tensors = [inputs] + ([] if raw is None else [operation.prepared(raw)])
            windows = operation.windows(inputs.shape)
            mark = Products(kernel, windows, clip_value)
            shape = (*(axis.outputs for axis in windows.axes), _filters(kernel))
            outputs = self.marks.emit(mark, tensors, shape)
            raw = clip_value = None
        kernel = kernels[-1]
        outputs = _finished(layer, kernel.operation, outputs)
        if kernel.operation.has_axes_of_layer and _is_linear(layer):
            self._note(self._products, outputs, kernel.name)
        return outputs

    # ---- batch normalization --------------------------------------------------------

    def _batch_normalization(self, layer, x, proceed, args, kwargs):
        if not (isinstance(layer.axis, int) and _is_float32(layer)):
            return proceed(*args, **kwargs)
        mask = kwargs.get("mask")
        is_masked = mask is not None or get_keras_mask(x) is not None
        kernel = None if is_masked else self._products.get(id(x))
        if None in x.shape[1:]:
            kernel = None
        scale, shift = batch_normalization_terms(layer)
        x = ops.moveaxis(x, layer.axis, -1)
        mark = Normalized(layer, scale, shift, kernel)
        outputs = self.marks.emit(mark, [x], tuple(x.shape[1:]))
        return ops.moveaxis(outputs, -1, layer.axis)


def _finished(layer, operation: Operation, outputs):
    """Turn products into what the layer returns."""
    outputs = ops.cast(outputs, layer.compute_dtype)
    if isinstance(operation, EinsumOperation):
        outputs = _in_order_of_equation(layer, outputs)
    if layer.bias is not None:
        outputs = outputs + ops.cast(layer.bias, layer.compute_dtype)
    if getattr(layer, "data_format", None) == "channels_first":
        outputs = ops.moveaxis(outputs, -1, 1)
    return outputs if layer.activation is None else layer.activation(outputs)


def _in_order_of_equation(layer, products):
    """Reorder the axes of a matrix product to those of an equation's outputs."""
    inputs, rest = layer.equation.replace(" ", "").split(",")
    kernel, outputs = rest.split("->")
    sizes = dict(zip(kernel, layer.kernel.shape, strict=True))
    kept = [label for label in kernel if label in outputs]
    free = [label for label in inputs if label != "." and label in outputs]
    # Axes that an ellipsis stands for get numbers as labels.
    dots = [str(i) for i in range(len(products.shape) - 1 - len(free))]
    before, _, after = inputs.partition("...")
    labels = [label for label in (*before, *dots, *after) if label in (*free, *dots)]
    labels += kept
    shape = (-1, *products.shape[1:-1], *(sizes[label] for label in kept))
    before, ellipsis, after = outputs.partition("...")
    wanted = [*before, *(dots if ellipsis else []), *after]
    order = [labels.index(label) for label in wanted]
    return ops.transpose(ops.reshape(products, shape), order)


def _filters(kernel):
    operation = kernel.operation
    prepared = operation.prepared_kernel(kernel.continuous)
    groups, _, size = operation.filters(prepared).shape
    return groups * size


def _reason_against(layer, x):
    if type(layer).call.__module__.partition(".")[0] not in ("keras", "kerasbnn"):
        return (
            f"the class {type(layer).__name__} computes in a `call` of its own, which "
            "may do more than its kernel says"
        )
    if None in x.shape[1:]:
        return f"its inputs have open sizes, {tuple(x.shape)}: pass `input_shape`"
    return None


def _clip_value(quantizer):
    """Return where the gradient of a quantizer ends, or None where it does not."""
    if not getattr(quantizer, "starves", False):
        return None
    value = plain(getattr(quantizer, "clip_value", 1.0))
    return None if value is None or not np.isfinite(value) else float(value)


def _is_linear(layer):
    return layer.activation is None or layer.activation is keras.activations.linear


def _is_float32(layer):
    return layer.compute_dtype == "float32"


def _is_activation(x):
    """Tell a batch of activations from a kernel or a number."""
    return hasattr(x, "shape") and len(x.shape) > 1 and x.shape[0] is None

"""Answers the calls of layers, while a model is traced, in forms for Compute Engine."""

import contextlib
from collections.abc import Collection, Iterator

import keras

from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.call_tracing import intercept_calls
from kerasbnn.models.layer_paths import named_layers
from kerasbnn.quantizers import Quantizer, RSign
from kerasbnn.tflite.compute_engine.overrides import constant_kernels
from kerasbnn.tflite.compute_engine.quantized_layers import QuantizedLayers
from kerasbnn.tflite.compute_engine.signs import Signs
from kerasbnn.tflite.lowering import batch_normalization_terms
from kerasbnn.tflite.sign_quantizers import is_sign


@contextlib.contextmanager
def lowered_calls(
    model: keras.Model, apart: Collection[int] = ()
) -> Iterator["Lowering"]:
    """Write the layers of a model, in this thread, in forms for Compute Engine.

    Args:
        model: The model that will be traced by TensorFlow inside.
        apart: As for `Signs`.

    Yields:
        What is known of the layers, which fills up with every call.
    """
    lowering = Lowering(model, apart)
    kernels = lowering.quantized.kernels
    with constant_kernels(model, kernels), intercept_calls(lowering.handle):
        yield lowering
    binary, left_float = lowering.quantized.binary, lowering.quantized.left_float
    for path, layer in named_layers(model):
        is_called = path in {one.path for one in binary}
        if isinstance(layer, QuantizedLayer) and not is_called:
            left_float.setdefault(
                path, "it is not called by itself but run inside another layer"
            )


class Lowering:
    """Answers the calls of layers.

    Args:
        model: The model.
        apart: As for `Signs`.

    Attributes:
        signs: What is known of the tensors.
        quantized: What became of quantized layers.
        normalized: Outputs of each batch normalization; where the model needs none of
            them, it is part of a threshold.
        follows: Path of the layer whose dot products a batch normalization takes.
    """

    def __init__(self, model: keras.Model, apart: Collection[int]):
        self.signs = Signs(apart)
        self.quantized = QuantizedLayers(model, self.signs)
        self.normalized: dict[str, list] = {}
        self.follows: dict[str, str] = {}

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
            outputs = self.quantized.call(layer, x, proceed)
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

    def _sign_layer(self, layer, x):
        if isinstance(layer, RSign) and layer.channel_axes == (-1,):
            return self.signs.plain(self.quantized.shifted(layer, x))
        if is_sign(layer):
            return self.signs.plain(x)
        self.signs.stepped.append(x)
        return None

    def _batch_normalization(self, layer, x):
        if layer.axis not in (-1, len(x.shape) - 1) or layer.compute_dtype != "float32":
            return None
        outputs = self.signs.scaled_and_shifted(x, *batch_normalization_terms(layer))
        path = self.quantized.paths.get(id(layer)) or str(layer.name)
        self.normalized.setdefault(path, []).append(outputs)
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
            size, strides = tuple(layer.pool_size), tuple(layer.strides)
            if len(size) == 1:
                size, strides = (1, *size), (1, *strides)
            longer = chain.with_pool((size, strides, layer.padding.upper()))
            self.signs.set_chain(pooled, longer)
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

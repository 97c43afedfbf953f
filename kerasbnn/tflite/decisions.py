"""The signs that a model decides on, as Keras computes them."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.call_tracing import intercept_calls
from kerasbnn.models.layer_paths import named_layers
from kerasbnn.quantizers import Quantizer, RSign
from kerasbnn.tflite.sign_quantizers import is_sign
from kerasbnn.tflite.tensorflow_export import named_outputs

# How far rounding may move a value, relative to the mean magnitude of its tensor.
_REACH_OF_SIGNS = 1e-4
# Less, for other quantizers may have many steps.
_REACH_OF_STEPS = 1e-5


@dataclass(frozen=True, eq=False)
class Decisions:
    """What one call of a layer takes the signs of.

    Attributes:
        path: Path of the layer.
        values: float32 array `(samples, ...)` before the signs, with channels last.
        ties_before: Whether some other quantizer has had a value at one of its steps
            before, which rounding may move to either side; a Boolean array
            `(samples,)`.
    """

    path: str
    values: np.ndarray
    ties_before: np.ndarray

    @property
    def near_zero(self) -> np.ndarray:
        """Where a value is as near to 0 as rounding may move it, a Boolean array."""
        magnitudes = np.abs(self.values)
        return magnitudes <= _REACH_OF_SIGNS * magnitudes.mean()


def decisions_of_keras(
    model: keras.Model, args, kwargs
) -> tuple[list[Decisions], dict[str, np.ndarray], np.ndarray]:
    """Run a model as Keras does and keep what its layers take the signs of.

    Args:
        model: The model, on the TensorFlow backend.
        args: Positional arguments of the call.
        kwargs: Its keyword arguments.

    Returns:
        The decisions in the order of the calls; the outputs by name; and what
        `ties_before` would be at the end.
    """
    samples = len(keras.tree.flatten((args, kwargs))[0])
    recorder = _Recorder(model, samples)
    with intercept_calls(recorder.keep):
        outputs = model(*args, **kwargs, training=False)
    outputs = named_outputs(model, outputs)
    arrays = {
        name: np.array(ops.convert_to_numpy(value)) for name, value in outputs.items()
    }
    return recorder.found, arrays, recorder.ties


class _Recorder:
    """Keeps what the layers of a model take the signs of."""

    def __init__(self, model, samples):
        self.found: list[Decisions] = []
        self.ties = np.zeros(samples, bool)
        self._is_sign: dict[int, tuple] = {}
        self._paths = {id(layer): path for path, layer in named_layers(model)}
        self._takes_signs = {
            id(layer)
            for _, layer in named_layers(model)
            if isinstance(layer, Quantizer) and is_sign(layer)
        }
        # Tensors of signs, and the values that a layer of its own took the signs of.
        self._signs: dict[int, tuple] = {}
        self._depth = 0

    def keep(self, layer, proceed, args, kwargs):
        """Let a call proceed and keep what it decides."""
        x = args[0] if args else kwargs.get("inputs")
        is_quantized = isinstance(layer, QuantizedLayer) and id(layer) in self._paths
        if is_quantized:
            self.found.append(
                Decisions(self._paths[id(layer)], self._before(layer, x), self.ties)
            )
        quantize = self._steps_of(layer, proceed)
        self._depth += is_quantized
        try:
            if quantize is not None:
                self._keep_ties(quantize, x)
            outputs = proceed(*args, **kwargs)
        finally:
            self._depth -= is_quantized
        if not self._depth and not is_quantized:
            self._remember(layer, x, outputs)
        return outputs

    def _before(self, layer, x):
        quantizer = layer.input_quantizer
        if isinstance(quantizer, RSign):
            shape = [1] * len(x.shape)
            for axis in layer.input_channel_axes:
                shape[axis] = x.shape[axis]
            values = _array(x + ops.reshape(quantizer.shift, shape))
        elif id(x) in self._signs:
            values = self._signs[id(x)][1]
        else:
            values = _array(x)
        if layer.input_channel_axes == (1,):
            values = np.moveaxis(values, 1, -1)
        return values

    def _steps_of(self, layer, proceed):
        """Return the quantizer of activations of a call, if it is not a sign."""
        if isinstance(layer, QuantizedLayer):
            quantizer, quantize = layer.input_quantizer, layer.quantize_inputs
            if quantizer is None or isinstance(quantizer, RSign):
                return None
        elif isinstance(layer, Quantizer) and not self._depth:
            quantizer, quantize = layer, proceed
        else:
            return None
        if id(quantizer) not in self._is_sign:
            self._depth += 1
            # The quantizer too, so that no other gets its number.
            self._is_sign[id(quantizer)] = (quantizer, is_sign(quantizer))
            self._depth -= 1
        return None if self._is_sign[id(quantizer)][1] else quantize

    def _keep_ties(self, quantize, x):
        """Keep in which samples a value is as near to a step as rounding moves it."""
        values = _array(x)
        reach = np.float32(_REACH_OF_STEPS * np.abs(values).mean())
        lower, upper = (
            _array(quantize(ops.convert_to_tensor(moved)))
            for moved in (values - reach, values + reach)
        )
        # What has no steps moves about as far as its inputs.
        is_step = np.abs(upper - lower) > 8 * reach
        if is_step.size and is_step.shape[0] % len(self.ties) == 0:
            self.ties = self.ties | is_step.reshape(len(self.ties), -1).any(axis=1)

    def _remember(self, layer, x, outputs):
        """Follow signs from the layer that takes them to those that read them."""
        if not (hasattr(x, "shape") and hasattr(outputs, "shape")):
            return
        values = None
        if id(layer) in self._takes_signs:
            values = _array(x)
        elif id(x) in self._signs and x.shape != ():
            before, after = _array(x), _array(outputs)
            # Such as dropout, which does nothing here, or another shape.
            if np.array_equal(before.reshape(-1), after.reshape(-1)):
                values = self._signs[id(x)][1].reshape(after.shape)
        if values is not None:
            # The tensor too, so that no other gets its number.
            self._signs[id(outputs)] = (outputs, values)


def _array(x):
    # A copy: on some devices the array shares the tensor's memory.
    return np.array(ops.convert_to_numpy(x), np.float32)

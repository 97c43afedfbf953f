"""The signs that a model decides on, as Keras computes them."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.call_tracing import intercept_calls
from kerasbnn.models.layer_paths import named_layers
from kerasbnn.quantizers import RSign
from kerasbnn.tflite.tensorflow_export import named_outputs


@dataclass(frozen=True, eq=False)
class Decisions:
    """What one call of a layer takes the signs of.

    Attributes:
        path: Path of the layer.
        values: float32 array `(samples, ...)` before the signs, with channels last.
    """

    path: str
    values: np.ndarray

    @property
    def near_zero(self) -> np.ndarray:
        """Where a value is as near to 0 as rounding may move it, a Boolean array."""
        return np.abs(self.values) <= 1e-4 * np.abs(self.values).mean()


def decisions_of_keras(
    model: keras.Model, args, kwargs
) -> tuple[list[Decisions], dict[str, np.ndarray]]:
    """Run a model as Keras does and keep what its layers take the signs of.

    Args:
        model: The model, on the TensorFlow backend.
        args: Positional arguments of the call.
        kwargs: Its keyword arguments.

    Returns:
        The decisions in the order of the calls, and the outputs by name.
    """
    paths = {id(layer): path for path, layer in named_layers(model)}
    found = []

    def keep(layer, proceed, args, kwargs):
        if isinstance(layer, QuantizedLayer) and id(layer) in paths:
            x = args[0] if args else kwargs["inputs"]
            quantizer = layer.input_quantizer
            if isinstance(quantizer, RSign):
                shape = [1] * len(x.shape)
                for axis in layer.input_channel_axes:
                    shape[axis] = x.shape[axis]
                x = x + ops.reshape(quantizer.shift, shape)
            if layer.input_channel_axes == (1,):
                x = ops.moveaxis(x, 1, -1)
            # A copy: on some devices the array shares the tensor's memory.
            values = np.array(ops.convert_to_numpy(x), np.float32)
            found.append(Decisions(paths[id(layer)], values))
        return proceed(*args, **kwargs)

    with intercept_calls(keep):
        outputs = model(*args, **kwargs, training=False)
    outputs = named_outputs(model, outputs)
    return found, {
        name: np.array(ops.convert_to_numpy(value)) for name, value in outputs.items()
    }

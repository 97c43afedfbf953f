"""The same network without quantizers, as people deploy it: in float32 and in int8.

A plain conversion of the quantized network itself would be no fair opponent: it takes
the signs of the float kernels at every call.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops

from kerasbnn.layers import GeneralizedBinarization
from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.call_tracing import intercept_calls
from kerasbnn.quantizers import Quantizer
from kerasbnn.tflite.tensorflow_export import converter_of

_MODEL, _SAMPLES, _SHAPE = "model.keras", "samples.npz", "input_shape.json"
_FLOAT32, _INT8, _PROBLEM = "float32.tflite", "int8.tflite", "problem.txt"


@dataclass(frozen=True)
class FloatTwins:
    """Two `.tflite` files of the same network.

    Attributes:
        float32: The network in float32.
        int8: The same after full-integer quantization; None where TensorFlow cannot
            do that.
        problem: Why there is no int8 file, or None.
    """

    float32: bytes
    int8: bytes | None
    problem: str | None = None


def float_twins(
    model: keras.Model, samples: list[np.ndarray], input_shape=None
) -> FloatTwins:
    """Convert a network without its quantizers.

    Every quantized layer becomes the Keras layer that it is named after, with its
    latent weights as float weights and zeros as padding; every quantizer of
    activations becomes a ReLU. TensorFlow converts that to float32, and to int8 by
    post-training quantization of weights and activations, inputs and outputs left as
    they are.

    Args:
        model: The model, on any backend.
        samples: An array for each input, to calibrate the ranges of int8 on.
        input_shape: As for `kerasbnn.convert`.

    Returns:
        The two files.

    Raises:
        ValueError: The model cannot be converted.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> import kerasbnn
        >>> from kerasbnn.benchmarking.float_twins import float_twins
        >>> model = keras.Sequential([
        ...     keras.Input((64,)),
        ...     kerasbnn.QuantDense(256, input_quantizer="ste_sign"),
        ... ])
        >>> twins = float_twins(model, [np.zeros((1, 64), "float32")])
        >>> len(twins.int8) < len(twins.float32)
        True
    """
    if keras.backend.backend() != "tensorflow":
        return _in_tensorflow(model, samples, input_shape)
    import tensorflow as tf

    with (
        intercept_calls(_without_quantizers),
        converter_of(model, input_shape) as converter,
    ):
        float32 = converter.convert()
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _one_by_one(samples)
        # What has no int8 form stays float.
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        try:
            return FloatTwins(float32, converter.convert())
        except Exception as error:
            # Whatever it is: the other file is there.
            text = " ".join(str(error).split())[:200]
            return FloatTwins(
                float32, None, f"TensorFlow cannot quantize this network: {text}"
            )


def _without_quantizers(layer, proceed, args, kwargs):
    x = args[0] if args else kwargs.get("inputs")
    if isinstance(layer, QuantizedLayer):
        if layer.input_quantizer is not None:
            x = ops.relu(x)
        # The next class after ours in the order of inheritance is that of Keras.
        return super(QuantizedLayer, layer).call(x)
    if isinstance(layer, (Quantizer, GeneralizedBinarization)):
        return ops.relu(x)
    return proceed(*args, **kwargs)


def _one_by_one(samples):
    for number in range(len(samples[0])):
        yield [values[number : number + 1] for values in samples]


def _in_tensorflow(model, samples, input_shape):
    """Let a process whose backend is TensorFlow make the files."""
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        model.save(files / _MODEL)
        np.savez(files / _SAMPLES, *samples)
        (files / _SHAPE).write_text(json.dumps(input_shape))
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
        environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        done = subprocess.run(
            [sys.executable, "-m", __name__, folder],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if not (files / _FLOAT32).exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ValueError(
                "TensorFlow, which makes the float twins of models of the "
                f"{keras.backend.backend()} backend too, failed: {last}"
            )
        has_int8 = (files / _INT8).exists()
        return FloatTwins(
            (files / _FLOAT32).read_bytes(),
            (files / _INT8).read_bytes() if has_int8 else None,
            None if has_int8 else (files / _PROBLEM).read_text(),
        )


def _main(files: Path):
    model = keras.models.load_model(files / _MODEL, compile=False)
    with np.load(files / _SAMPLES) as archive:
        samples = [archive[name] for name in archive.files]
    twins = float_twins(model, samples, json.loads((files / _SHAPE).read_text()))
    if twins.int8 is None:
        (files / _PROBLEM).write_text(str(twins.problem))
    else:
        (files / _INT8).write_bytes(twins.int8)
    (files / _FLOAT32).write_bytes(twins.float32)


if __name__ == "__main__":
    _main(Path(sys.argv[1]))

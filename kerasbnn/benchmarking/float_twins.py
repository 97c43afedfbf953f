"""The same network without quantizers, as people deploy it: in float32 and in int8.

A plain conversion of the quantized network itself would be no fair opponent: it takes
the signs of the float kernels at every call.
"""

import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
from keras import ops

from kerasbnn.benchmarking.runs import named_inputs
from kerasbnn.layers import GeneralizedBinarization
from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.batches import to_numpy
from kerasbnn.models.call_tracing import intercept_calls
from kerasbnn.models.input_shapes import symbolic_inputs
from kerasbnn.quantizers import Quantizer
from kerasbnn.tflite.other_backends import run_in_tensorflow
from kerasbnn.tflite.tensorflow_export import converter_of

_FLOAT32, _INT8 = "float32.tflite", "int8.tflite"
_TRIAL = """
import sys
from ai_edge_litert.interpreter import Interpreter
interpreter = Interpreter(sys.argv[1])
interpreter.allocate_tensors()
interpreter.invoke()
"""
SAMPLES_OF_MOMENTS = 32


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

    def to_dict(self) -> dict[str, str | None]:
        """Return what there is to say beside the files."""
        return {"problem": self.problem}


def float_twins(
    model: keras.Model, samples: list[np.ndarray], input_shape=None
) -> FloatTwins:
    """Convert a network without its quantizers.

    Every quantized layer becomes the Keras layer that it is named after, with its
    latent weights as float weights and zeros as padding; every quantizer of
    activations becomes a ReLU; batch normalizations take the moments that their inputs
    then have. TensorFlow converts that to float32, and to int8 by post-training
    quantization of weights and activations, inputs and outputs left as they are.

    Args:
        model: The model, on any backend.
        samples: An array for each input, to take moments and the ranges of int8 from.
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

    inputs = named_inputs(model, samples, input_shape)
    network = _FloatNetwork()
    network.measure(model, samples, input_shape)
    with intercept_calls(network.handle), converter_of(model, input_shape) as converter:
        float32 = converter.convert()
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: _one_by_one(inputs)
        # What has no int8 form stays float.
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,
        ]
        try:
            with warnings.catch_warnings():
                # The converter's own, of what it runs the samples with.
                warnings.filterwarnings("ignore", r"\s*.*tf\.lite\.Interpreter")
                int8 = converter.convert()
        except Exception as error:
            # Whatever it is: the other file is there.
            text = " ".join(str(error).split())[:200]
            problem = f"TensorFlow cannot quantize the network: {text}"
            return FloatTwins(float32, None, problem)
    problem = _problem_of_running(int8)
    return FloatTwins(float32, None if problem else int8, problem)


class _FloatNetwork:
    """Answers the calls of layers as if there were no quantizers."""

    def __init__(self):
        self._moments = {}
        self._is_measuring = False

    def measure(self, model, samples, input_shape):
        """Take the moments of what is normalized: those of signs would not fit."""
        args, kwargs, _ = symbolic_inputs(model, input_shape)
        some = [values[:SAMPLES_OF_MOMENTS] for values in samples]
        args, kwargs = keras.tree.pack_sequence_as((args, kwargs), some)
        self._is_measuring = True
        with intercept_calls(self.handle):
            model(*args, **kwargs, training=False)
        self._is_measuring = False

    def handle(self, layer, proceed, args, kwargs):
        x = args[0] if args else kwargs.get("inputs")
        if isinstance(layer, QuantizedLayer):
            if layer.input_quantizer is not None:
                x = ops.relu(x)
            # The next class after ours in the order of inheritance is that of Keras.
            return super(QuantizedLayer, layer).call(x)
        if isinstance(layer, (Quantizer, GeneralizedBinarization)):
            return ops.relu(x)
        if isinstance(layer, keras.layers.BatchNormalization):
            return self._normalized(layer, x)
        return proceed(*args, **kwargs)

    def _normalized(self, layer, x):
        if self._is_measuring:
            others = [i for i in range(len(x.shape)) if i != layer.axis % len(x.shape)]
            mean, variance = ops.moments(x, others)
            self._moments[id(layer)] = to_numpy(mean), to_numpy(variance)
        mean, variance = self._moments[id(layer)]
        return ops.batch_normalization(
            x,
            mean,
            variance,
            layer.axis,
            offset=layer.beta if layer.center else None,
            scale=layer.gamma if layer.scale else None,
            epsilon=layer.epsilon,
        )


def _problem_of_running(content: bytes) -> str | None:
    """Return why a file does not run, tried where it can do no harm, or None.

    LiteRT ends the process where the range of a layer is too narrow.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / _INT8
        path.write_bytes(content)
        done = subprocess.run(
            [sys.executable, "-c", _TRIAL, str(path)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode == 0:
        return None
    if done.returncode < 0:
        return (
            "LiteRT ends the process that runs the quantized network, as where all "
            "outputs of a layer are the same."
        )
    return f"LiteRT refuses the quantized network: {done.stderr.splitlines()[-1]}"


def _one_by_one(inputs):
    for number in range(len(next(iter(inputs.values())))):
        yield {name: values[number : number + 1] for name, values in inputs.items()}


def _in_tensorflow(model, samples, input_shape):
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        options = {"input_shape": input_shape, "name": None}
        task = f"{__name__}:write_float_twins"
        answer = run_in_tensorflow(task, model, files, samples, options)
        int8 = None if answer["problem"] else (files / _INT8).read_bytes()
        return FloatTwins((files / _FLOAT32).read_bytes(), int8, answer["problem"])


def write_float_twins(model, path, *, sample_inputs, input_shape, name):
    """Do the work of `float_twins` in a process whose backend is TensorFlow.

    Args:
        model: The model.
        path: Folder for the files.
        sample_inputs: The samples.
        input_shape: As for `float_twins`.
        name: Not needed.

    Returns:
        The twins.
    """
    del name
    twins = float_twins(model, sample_inputs, input_shape)
    (Path(path) / _FLOAT32).write_bytes(twins.float32)
    if twins.int8 is not None:
        (Path(path) / _INT8).write_bytes(twins.int8)
    return twins

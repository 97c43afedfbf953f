"""Runs of one file in LiteRT's interpreter, and their agreement with Keras."""

from collections.abc import Callable, Iterator

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter as LiteRT

from kerasbnn._saved_models import held_back_errors
from kerasbnn.models.batches import to_numpy
from kerasbnn.models.input_shapes import symbolic_inputs
from kerasbnn.runtime.interpreter import Interpreter
from kerasbnn.runtime.pool import Runner
from kerasbnn.tflite.tensorflow_export import SIGNATURE, input_names, named_outputs

BATCH_SIZE = 32


class Run:
    """A file in an interpreter of LiteRT, with XNNPACK and, if given, a delegate.

    Args:
        content: The file.
        num_threads: Threads that a call uses.
        delegate: LiteRT's object of a delegate, or None.
    """

    def __init__(self, content: bytes, num_threads: int = 1, delegate=None):
        self.signature = Interpreter(content, delegate=False).signatures[SIGNATURE]
        litert = LiteRT(
            model_content=content,
            num_threads=num_threads,
            experimental_delegates=None if delegate is None else [delegate],
        )
        with held_back_errors():
            litert.allocate_tensors()
        self._runner = Runner(litert)

    def outputs(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Compute the outputs for all samples.

        Args:
            inputs: Arrays `(samples, ...)` by name.

        Returns:
            Arrays `(samples, ...)` by name.
        """
        parts = [
            self._runner.run(self.signature, arrays)
            for arrays in self._batches(inputs, BATCH_SIZE)
        ]
        joined = map(np.concatenate, zip(*parts, strict=True))
        return dict(zip(self.signature.outputs, joined, strict=True))

    def call_on(self, inputs: dict[str, np.ndarray], batch_size: int) -> Callable:
        """Return a function that runs the file on the first samples.

        Args:
            inputs: Arrays `(samples, ...)` by name.
            batch_size: Number of samples; where there are fewer they are repeated.

        Returns:
            A function without arguments: inputs in, outputs out.
        """
        repeated = {
            name: np.resize(values, (batch_size, *values.shape[1:]))
            for name, values in inputs.items()
        }
        (arrays,) = self._batches(repeated, batch_size)
        return lambda: self._runner.run(self.signature, arrays)

    def _batches(self, inputs, batch_size) -> Iterator[list[np.ndarray]]:
        # The converter drops inputs that nothing needs.
        kept = [np.ascontiguousarray(inputs[name]) for name in self.signature.inputs]
        for start in range(0, len(next(iter(inputs.values()))), batch_size):
            yield [values[start : start + batch_size] for values in kept]


def named_inputs(
    model: keras.Model, samples: list[np.ndarray], input_shape=None
) -> dict[str, np.ndarray]:
    """Return inputs by the names that they have in a file.

    Args:
        model: The model.
        samples: An array for each input.
        input_shape: As for `kerasbnn.convert`.

    Returns:
        The arrays by name.
    """
    args, kwargs, _ = symbolic_inputs(model, input_shape)
    names = input_names(model, keras.tree.flatten((args, kwargs)))
    return dict(zip(names, samples, strict=True))


def outputs_of_keras(
    model: keras.Model, samples: list[np.ndarray], input_shape=None
) -> dict[str, np.ndarray]:
    """Compute the outputs of a model with Keras, without compiling it.

    Args:
        model: The model.
        samples: An array for each input.
        input_shape: As for `kerasbnn.convert`.

    Returns:
        Arrays `(samples, ...)` by the names that they have in a file.
    """
    args, kwargs, _ = symbolic_inputs(model, input_shape)
    parts = []
    for start in range(0, len(samples[0]), BATCH_SIZE):
        batch = [values[start : start + BATCH_SIZE] for values in samples]
        args, kwargs = keras.tree.pack_sequence_as((args, kwargs), batch)
        outputs = named_outputs(model, model(*args, **kwargs, training=False))
        parts.append({name: to_numpy(values) for name, values in outputs.items()})
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def agreement(
    outputs: dict[str, np.ndarray], expected: dict[str, np.ndarray]
) -> tuple[float | None, float]:
    """Compare outputs with those of Keras.

    Args:
        outputs: Arrays `(samples, ...)` by name.
        expected: The same, of Keras.

    Returns:
        Fraction of the samples with the same largest value in every output, None where
        every output has one value only; and the largest difference of a value.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.benchmarking.runs import agreement
        >>> one, other = np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[0.0, 1.0]] * 2)
        >>> agreement({"y": one}, {"y": other})
        (1.0, 2.0)
    """
    same, largest = None, 0.0
    for name, theirs in expected.items():
        mine = outputs[name].reshape(len(theirs), -1).astype("float64")
        theirs = theirs.reshape(len(theirs), -1)
        largest = max(largest, float(np.abs(mine - theirs).max(initial=0.0)))
        if theirs.shape[1] > 1:
            alike = mine.argmax(axis=1) == theirs.argmax(axis=1)
            same = alike if same is None else same & alike
    return None if same is None else float(same.mean()), largest

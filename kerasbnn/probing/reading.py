"""Runs a probe file."""

import os
from typing import Any, TypeGuard

from numpy.typing import NDArray

from kerasbnn.probing.description import METADATA_KEY, ProbeDescription
from kerasbnn.probing.statistics import ProbeStatistics, check_outputs
from kerasbnn.runtime import Interpreter, ModelError
from kerasbnn.runtime.inputs import checked_batch_size, checked_inputs

# Larger batches bring no speed, but take memory.
BATCH_SIZE = 64

SIGNATURE = "serving_default"


class Probe:
    """Measures the geometry of a model's layers on inputs, without Keras.

    It may be used by several threads at once.

    Args:
        path: File that `kerasbnn.tflite.probe` has written, or its bytes.
        num_threads: Threads that one call uses, an integer from 1.

    Attributes:
        description: What the file measures, and all that it knows without inputs.

    Raises:
        ModelError: The file is damaged, or is not a probe.
        OSError: The file cannot be read.
        TypeError: An argument is of a wrong type.
        ValueError: `num_threads` is below 1.

    Example:
        >>> import keras, numpy as np
        >>> import kerasbnn
        >>> from kerasbnn.probing import Probe
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8)])
        >>> report = kerasbnn.tflite.probe(model, "model.probe.tflite")
        >>> probe = Probe("model.probe.tflite")
        >>> x = np.random.default_rng(0).normal(size=(200, 64))
        >>> statistics = probe.measure(x)
        >>> statistics.report().layers[0].positions
        200

    Reference:
        Anderson & Berg, arXiv 1705.07199.
    """

    def __init__(self, path, num_threads: int = 1):
        self._interpreter = Interpreter(path, num_threads, delegate=False)
        source = f"'{os.fspath(path)}'" if _is_path(path) else "The file"
        values = self._interpreter.metadata.get(METADATA_KEY)
        if not isinstance(values, dict):
            raise ModelError(
                f"{source} is not a probe: its metadata has no {METADATA_KEY!r}. Write "
                "one with `kerasbnn.tflite.probe(model, path)`."
            )
        try:
            self.description = ProbeDescription.from_dict(values)
            self._signature = self._interpreter.signatures[SIGNATURE]
            check_outputs(self.description, self._signature.outputs)
        except (KeyError, ValueError) as error:
            raise ModelError(
                f"{source} says of itself that it is a probe, but is damaged: {error}. "
                "Write it again with `kerasbnn.tflite.probe(model, path)`."
            ) from error

    def measure(self, x, *, batch_size: int = BATCH_SIZE) -> ProbeStatistics:
        """Measure the geometry on some inputs.

        Args:
            x: Array `(samples, ...)` as the model takes it; for several inputs a dict
                of arrays by name, or a list.
            batch_size: Samples that are computed at once, an integer from 1.

        Returns:
            What was measured; merge it with others, or make a report of it.

        Raises:
            ValueError: Number, names or shapes of the inputs are not those of the file,
                or values are not finite.
            TypeError: A dtype is not.
            ModelError: LiteRT cannot run the file on such inputs.
        """
        batch_size = checked_batch_size(batch_size)
        arrays = self.named_inputs(x)
        samples = len(next(iter(arrays.values())))
        statistics = ProbeStatistics(self.description)
        for start in range(0, samples, batch_size):
            part = {n: a[start : start + batch_size] for n, a in arrays.items()}
            outputs = self._interpreter.predict(part, batch_size=batch_size)
            statistics.update(outputs, min(batch_size, samples - start))
        return statistics

    def named_inputs(self, x) -> dict[str, NDArray[Any]]:
        """Return inputs as the file takes them.

        Args:
            x: As for `measure`.

        Returns:
            An array for each input, by name, of the file's dtypes.

        Raises:
            ValueError: Number, names or shapes are not those of the file.
            TypeError: A dtype is not.
        """
        arrays = checked_inputs(x, self._signature)
        return dict(zip(self._signature.inputs, arrays, strict=True))

    @property
    def inputs(self) -> dict[str, tuple[int | None, ...]]:
        """Shape of each input by name, None for the batch."""
        return {name: spec.shape for name, spec in self._signature.inputs.items()}

    def close(self):
        """Free the memory; a call that is running ends as usual."""
        self._interpreter.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def __repr__(self):
        names = ", ".join(kernel.geometry.name for kernel in self.description.kernels)
        return f"<kerasbnn Probe of '{self.description.model}': {names}>"


def _is_path(path) -> TypeGuard[str | os.PathLike[str]]:
    return isinstance(path, (str, os.PathLike))

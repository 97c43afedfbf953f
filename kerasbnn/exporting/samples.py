"""Collects the inputs that the geometry of an export is measured on."""

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from kerasbnn.models.batches import Batches
from kerasbnn.models.input_shapes import symbolic_inputs
from kerasbnn.probing.reference import FEWEST_SAMPLES
from kerasbnn.tflite.tensorflow_export import input_names
from kerasbnn.tflite.verification import check_samples

# Of those collected, to compare the files with Keras on.
SAMPLES_TO_VERIFY = 16


@dataclass(frozen=True)
class Samples:
    """Inputs of a model.

    Attributes:
        arrays: An array for each input, in the model's order.
        names: Name of each input in a converted file.
        nested: The arrays as `kerasbnn.audit` takes them.
    """

    arrays: list[np.ndarray]
    names: list[str]
    nested: Any

    @property
    def named(self) -> dict[str, np.ndarray]:
        """The arrays by the names that they have in a converted file."""
        return dict(zip(self.names, self.arrays, strict=True))

    @property
    def to_verify(self) -> list[np.ndarray]:
        """A few of the samples, from all parts of the data."""
        count = len(self.arrays[0])
        few = np.unique(np.linspace(0, count - 1, SAMPLES_TO_VERIFY).astype(int))
        return [array[few] for array in self.arrays]


def collect_samples(
    model: keras.Model, data, max_samples: int, input_shape=None
) -> Samples:
    """Collect samples from the start of some data.

    Args:
        model: A built Keras model.
        data: Inputs, as `kerasbnn.audit` takes them.
        max_samples: Number of samples to collect at most, from 64 on.
        input_shape: As for `convert`.

    Returns:
        The samples.

    Raises:
        TypeError: `data` is of the wrong kind.
        ValueError: It has fewer than 64 samples, or not those of the model, or values
            that are NaN or infinite.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from kerasbnn.exporting.samples import collect_samples
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        >>> samples = collect_samples(model, np.ones((100, 4)), max_samples=70)
        >>> samples.arrays[0].shape, samples.arrays[0].dtype.name
        ((70, 4), 'float32')
    """
    batches, count = [], 0
    for batch in Batches(data, steps=max_samples):
        batches.append(batch)
        count += len(keras.tree.flatten(batch)[0])
        if count >= max_samples:
            break
    if min(count, max_samples) < FEWEST_SAMPLES:
        raise ValueError(
            f"`data` must have at least {FEWEST_SAMPLES} samples, so that live inputs "
            f"can be compared with them; 1000 are better. Received: {count}, of which "
            f"`max_samples` lets {min(count, max_samples)} be used."
        )
    joined = _joined(batches, max_samples)
    try:
        arrays = check_samples(model, joined, input_shape) or []
    except (TypeError, ValueError) as error:
        text = str(error).replace("`sample_inputs`", "`data`")
        raise type(error)(text.replace("sample_inputs=", "data=")) from error
    args, kwargs, _ = symbolic_inputs(model, input_shape)
    names = input_names(model, keras.tree.flatten((args, kwargs)))
    args, kwargs = keras.tree.pack_sequence_as((args, kwargs), arrays)
    return Samples(arrays, names, kwargs or args[0])


def _joined(batches, max_samples):
    try:
        return keras.tree.map_structure(
            lambda *parts: np.concatenate(parts)[:max_samples], *batches
        )
    except ValueError as error:
        shapes = {str([x.shape[1:] for x in keras.tree.flatten(b)]) for b in batches}
        raise ValueError(
            "All batches of `data` must have samples alike. Received samples of the "
            f"shapes {', '.join(sorted(shapes))}."
        ) from error

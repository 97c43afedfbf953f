"""Batches of inputs from whatever `model.predict` would take."""

import itertools
import math
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops


class Batches:
    """Iterates over the inputs in some data, batch by batch.

    Args:
        data: Array, list or dict of arrays (several inputs), or tuple `(x, y)` or
            `(x, y, sample_weight)` of them; a `tf.data.Dataset`, a
            `keras.utils.PyDataset`, any other iterable or an iterator over batches,
            each of them `x`, `(x, y)` or `(x, y, sample_weight)`. Only `x` is used.
        batch_size: Largest number of samples per batch. Arrays are split evenly, so
            that no small rest is left at the end.
        steps: Number of batches to take, or None for all.

    Attributes:
        count: Number of batches, or None where it is not known.
        sizes: Number of samples in each batch, or None where it is not known.
        is_repeatable: Whether one can iterate more than once.

    Raises:
        TypeError: The data is none of the above.
        ValueError: The arrays have different lengths or none, or the data has no end
            and `steps` is not given.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.models.batches import Batches
        >>> [len(batch) for batch in Batches(np.zeros((101, 4)), batch_size=50)]
        [33, 34, 34]
    """

    def __init__(self, data, batch_size: int = 32, steps: int | None = None):
        for name, value in (("batch_size", batch_size), ("steps", steps)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(
                    f"`{name}` must be a positive int. Received: {value!r}."
                )
        self.is_repeatable = not hasattr(data, "__next__")
        self.sizes = None
        if isinstance(data, keras.utils.PyDataset):
            self._make = lambda: (_inputs_of(data[i]) for i in itertools.count())
            count = math.inf if data.num_batches is None else data.num_batches
        elif isinstance(data, (tuple, list, dict)) or hasattr(data, "shape"):
            batches = _split_arrays(data, batch_size)
            self._make = batches.__iter__
            count = len(batches)
            self.sizes = [len(keras.tree.flatten(batch)[0]) for batch in batches]
        elif hasattr(data, "__iter__"):
            self._make = lambda: map(_inputs_of, data)
            count = _length(data)
        else:
            raise TypeError(
                "Expected arrays, a dataset or an iterable of batches as `data`. "
                f"Received: {data!r} of type {type(data).__name__}."
            )
        if count == math.inf and steps is None:
            raise ValueError("`data` has no end. Pass `steps`, the number of batches.")
        known = [n for n in (count, steps) if n is not None]
        self.count = int(min(known)) if known else None

    def __iter__(self) -> Iterator:
        for number, inputs in enumerate(itertools.islice(self._make(), self.count)):
            inputs = keras.tree.map_structure(to_numpy, inputs)
            _check_finite(inputs, number)
            yield inputs


def _split_arrays(data, batch_size):
    inputs = _inputs_of(data) if isinstance(data, tuple) else data
    for leaf in keras.tree.flatten(inputs):
        if not len(getattr(leaf, "shape", ())):
            raise TypeError(
                "Expected arrays with a batch axis as `data`. Received: "
                f"{leaf!r} of type {type(leaf).__name__}. Use np.asarray."
            )
    inputs = keras.tree.map_structure(to_numpy, inputs)
    lengths = {len(leaf) for leaf in keras.tree.flatten(inputs)}
    if len(lengths) != 1:
        raise ValueError(
            "All arrays in `data` must have the same number of samples. Received "
            f"numbers: {sorted(lengths)}."
        )
    (samples,) = lengths
    count = math.ceil(samples / batch_size)

    def samples_between(start, end):
        return keras.tree.map_structure(lambda leaf: leaf[start:end], inputs)

    edges = [samples * i // max(count, 1) for i in range(count + 1)]
    return list(map(samples_between, edges[:-1], edges[1:]))


def to_numpy(values) -> np.ndarray:
    """Return an array or a tensor of any library as a numpy array.

    Args:
        values: Array, tensor or nested list of numbers.

    Returns:
        Numpy array.

    Example:
        >>> from kerasbnn.models.batches import to_numpy
        >>> to_numpy([1, 2]).shape
        (2,)
    """
    return ops.convert_to_numpy(values) if ops.is_tensor(values) else np.asarray(values)


def _inputs_of(batch):
    # Keras' own rule: a list of two is inputs and targets, as a tuple is.
    return keras.utils.unpack_x_y_sample_weight(batch)[0]


def _length(iterable):
    if hasattr(iterable, "cardinality"):
        # tf.data.Dataset: -1 is without end, -2 is not known.
        length = int(iterable.cardinality())
        return {-1: math.inf, -2: None}.get(length, length)
    try:
        return len(iterable)
    except TypeError:
        return None


def _check_finite(inputs, number):
    for leaf in keras.tree.flatten(inputs):
        # Also true of bfloat16, which numpy does not count among the floats.
        is_real = leaf.dtype.kind == "f" or leaf.dtype.name == "bfloat16"
        if is_real and not np.isfinite(leaf.astype("float32")).all():
            raise ValueError(
                f"Batch {number} of `data` has values that are NaN or infinite. "
                "Remove these samples first."
            )

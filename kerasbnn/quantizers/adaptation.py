"""Fitting to data, as Keras' preprocessing layers do in their `adapt`."""

import itertools
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from kerasbnn.geometry.whitening import Covariance


def fit_covariance(batches, dimensions, axis=-1) -> Covariance:
    """Gather the mean and the covariance of vectors, in float64.

    Args:
        batches: Iterable of numpy arrays with a batch axis.
        dimensions: Number of components of the vectors.
        axis: Axis of the components; each position along all others is a vector.

    Returns:
        The covariance of all vectors of all batches.

    Raises:
        ValueError: A batch has another shape or values that are NaN or infinite, or
            there are less than two vectors.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.quantizers.adaptation import fit_covariance
        >>> batches = np.random.default_rng(0).normal(size=(3, 10, 5))
        >>> fit_covariance(batches, 5).count
        30
    """
    covariance = Covariance(dimensions)
    for batch in batches:
        is_axis = -batch.ndim <= axis < batch.ndim
        if batch.ndim < 2 or not is_axis or batch.shape[axis] != dimensions:
            raise ValueError(
                f"Expected batches with {dimensions} components along axis {axis}. "
                f"Received a batch of shape {batch.shape}."
            )
        vectors = np.moveaxis(batch, axis, -1).reshape(-1, dimensions)
        covariance.update(vectors)
    if covariance.count < 2:
        raise ValueError(
            "`adapt` needs at least two vectors to find how they vary. Received: "
            f"{covariance.count}."
        )
    return covariance


def adaptation_batches(data) -> Iterator[np.ndarray]:
    """Iterate over the data that an `adapt` method was given, batch by batch.

    Args:
        data: Numpy array or tensor; or batches of them: a `tf.data.Dataset`, a
            `keras.utils.PyDataset`, or any iterable, such as a list of arrays. A batch
            may also be `(x, y)` or `(x, y, sample_weight)`; only `x` is used.

    Returns:
        Iterator over numpy arrays.

    Raises:
        TypeError: The data is none of the above.
        ValueError: The data has no end.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.quantizers.adaptation import adaptation_batches
        >>> [batch.shape for batch in adaptation_batches([np.ones((2, 3))] * 2)]
        [(2, 3), (2, 3)]
    """
    if isinstance(data, np.ndarray) or ops.is_tensor(data):
        return iter([_to_numpy(data)])
    if isinstance(data, keras.utils.PyDataset):
        count = data.num_batches
        batches = (data[i] for i in range(count or 0))
        endless = count is None
    elif hasattr(data, "__iter__"):
        batches = iter(data)
        # -1 is how tf.data says it.
        endless = hasattr(data, "cardinality") and int(data.cardinality()) == -1
    else:
        raise TypeError(
            "Expected an array, a tensor, a dataset or an iterable of batches as "
            f"`data`. Received: {data!r} of type {type(data).__name__}."
        )
    if endless:
        raise ValueError(
            "`data` has no end. Pass a part of it, such as dataset.take(100)."
        )
    return map(_inputs_of, batches)


def first_of(batches):
    """Look at the first batch of an iterator.

    Args:
        batches: Iterator over batches.

    Returns:
        The first batch, and an iterator over all of them.

    Raises:
        ValueError: There is none.

    Example:
        >>> from kerasbnn.quantizers.adaptation import first_of
        >>> first, batches = first_of(iter("ab"))
        >>> first, list(batches)
        ('a', ['a', 'b'])
    """
    for first in batches:
        return first, itertools.chain([first], batches)
    raise ValueError("`data` has no batches. Pass at least one.")


def _inputs_of(batch):
    if isinstance(batch, tuple):
        batch = keras.utils.unpack_x_y_sample_weight(batch)[0]
    if not hasattr(batch, "shape"):
        raise TypeError(
            "Expected batches that are arrays or tensors. Received: "
            f"{batch!r} of type {type(batch).__name__}. For plain numbers pass "
            "np.asarray(data)."
        )
    return _to_numpy(batch)


def _to_numpy(values):
    return ops.convert_to_numpy(values) if ops.is_tensor(values) else np.asarray(values)

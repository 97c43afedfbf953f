"""Which classes a model's outputs name, and how far two sets of outputs agree."""

import itertools

import keras
import numpy as np

from kerasbnn.geometry.accumulators import PairMoments
from kerasbnn.models.batches import Batches, to_numpy


class LabelledBatches:
    """Iterates over inputs and labels, batch by batch, as often as one likes.

    Args:
        data: As for `kerasbnn.models.batches.Batches`; in tuples `(x, y)` or
            `(x, y, sample_weight)`, also those of a dataset, `y` are the labels.
        labels: Array of labels, where `data` is arrays and no tuple; or None.
        batch_size: Largest number of samples per batch, for arrays.
        steps: Number of batches to take, or None for all.

    Attributes:
        count: Number of batches, or None where it is not known.

    Raises:
        TypeError: The data is of the wrong kind, or a generator, which can be read only
            once.
        ValueError: Labels come twice, not as one array, or not one for each sample; or
            as for `Batches`.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.models.swap_scores import LabelledBatches
        >>> x, y = np.zeros((5, 4)), np.arange(5)
        >>> [labels.tolist() for _, labels in LabelledBatches(x, y, batch_size=3)]
        [[0, 1], [2, 3, 4]]
    """

    def __init__(self, data, labels=None, batch_size: int = 256, steps=None):
        if hasattr(data, "__next__"):
            raise TypeError(
                "The data is read several times, but a generator can be read only "
                "once. Pass arrays or a dataset."
            )
        if isinstance(data, tuple):
            if labels is not None:
                raise ValueError(
                    "`x` is a tuple with the labels in it, and `y` is given too. Pass "
                    "the labels once."
                )
            data, labels, _ = keras.utils.unpack_x_y_sample_weight(data)
        is_dataset = isinstance(data, keras.utils.PyDataset) or not (
            isinstance(data, (list, dict)) or hasattr(data, "shape")
        )
        if is_dataset:
            if labels is not None:
                raise ValueError(
                    "`y` is given, but `x` is a dataset, whose batches hold the "
                    "labels. Leave `y` out."
                )
            # Checks what it is, and counts.
            count = Batches(data, batch_size, steps).count
            self._batches = Batches(_Pairs(data), batch_size, count)
        else:
            pair = {"x": data}
            if labels is not None:
                pair["y"] = _label_array(labels)
            self._batches = Batches(pair, batch_size, steps)
        self.count = self._batches.count

    def __iter__(self):
        for pair in self._batches:
            labels = pair.get("y")
            yield pair["x"], None if labels is None else _label_array(labels)


class _Pairs:
    """The batches of a dataset, each a dict of inputs and, if any, labels."""

    def __init__(self, data):
        self.data = data

    def __iter__(self):
        data = self.data
        if isinstance(data, keras.utils.PyDataset):
            # Without an end, if need be: who reads it knows the count.
            data = map(data.__getitem__, itertools.count())
        for batch in data:
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            yield {"x": x} if y is None else {"x": x, "y": y}


def _label_array(labels):
    if isinstance(labels, dict):
        raise ValueError(
            f"Expected one array of labels. Received a dict of {sorted(labels)}."
        )
    return to_numpy(labels)


def output_array(outputs, model_name: str) -> np.ndarray:
    """Return the outputs of a classifier as a float64 array.

    Args:
        outputs: What the model returned.
        model_name: Its name, for the error message.

    Returns:
        Array of shape `(samples, ..., classes)`.

    Raises:
        ValueError: There are several outputs, or none.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.models.swap_scores import output_array
        >>> output_array(np.zeros(3), "model").shape
        (3, 1)
    """
    leaves = keras.tree.flatten(outputs)
    if len(leaves) != 1:
        raise ValueError(
            f"Expected a model with one output. Model '{model_name}' has "
            f"{len(leaves)}. Pass keras.Model(model.inputs, model.outputs[0]), with "
            "the output whose classes matter."
        )
    values = to_numpy(leaves[0]).astype("float64")
    return values[:, np.newaxis] if values.ndim == 1 else values


def predicted_classes(outputs: np.ndarray, threshold: float | None) -> np.ndarray:
    """Return the class that each output names.

    Args:
        outputs: Shape `(samples, ..., classes)`.
        threshold: Where there is one number instead of a number per class: from which
            value on the class is 1.

    Returns:
        Integers of shape `(samples, ...)`.

    Raises:
        ValueError: There is one number and no threshold, or the other way round.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.models.swap_scores import predicted_classes
        >>> predicted_classes(np.array([[0.1, 0.9], [2.0, -2.0]]), None)
        array([1, 0])
        >>> predicted_classes(np.array([[0.0], [-0.1]]), 0.0)
        array([1, 0])
    """
    is_single = outputs.shape[-1] == 1
    if is_single and threshold is None:
        raise ValueError(
            "The model puts out one number per sample, so its class depends on a "
            "threshold. Pass threshold=0.0 for logits or targets of -1 and 1, "
            "threshold=0.5 for probabilities."
        )
    if is_single:
        return (outputs[..., 0] >= threshold).astype("int64")
    if threshold is not None:
        raise ValueError(
            f"`threshold` is for models that put out one number per sample. This one "
            f"puts out {outputs.shape[-1]}: leave it out."
        )
    return outputs.argmax(axis=-1)


def label_classes(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return the class that each label names.

    Args:
        labels: Integers of shape `(samples, ...)` or `(samples, ..., 1)`; or one row
            per output with the greatest value at the class, such as one-hot rows or
            targets of -1 and 1. Where the model puts out one number, 0 or -1 and 1.
        shape: Shape of the outputs, `(samples, ..., classes)`.

    Returns:
        Integers of shape `(samples, ...)`.

    Raises:
        ValueError: Shape or values are others.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.models.swap_scores import label_classes
        >>> label_classes(np.array([[2], [0]]), (2, 3))
        array([2, 0])
        >>> label_classes(np.array([[-1, 1, -1]]), (1, 3))
        array([1])
    """
    classes = shape[-1]
    if labels.dtype.kind not in "biuf":
        raise ValueError(
            f"Expected numbers as labels. Received dtype {labels.dtype}. Encode the "
            "classes as integers from 0 on."
        )
    if classes > 1 and labels.shape == shape:
        return _classes_of_rows(labels)
    if labels.shape == (*shape[:-1], 1):
        labels = labels[..., 0]
    if labels.shape != shape[:-1]:
        raise ValueError(
            f"Labels of shape {labels.shape} do not fit outputs of shape {shape}. "
            f"Expected integers of shape {shape[:-1]}, or one-hot rows or targets of "
            f"-1 and 1 of shape {shape}."
        )
    allowed = np.arange(classes) if classes > 1 else np.array([-1, 0, 1])
    if not np.isin(labels, allowed).all():
        wrong = labels[~np.isin(labels, allowed)].ravel()[0]
        expected = f"0 to {classes - 1}" if classes > 1 else "0 and 1, or -1 and 1"
        raise ValueError(
            f"Expected labels {expected}, as the model puts out {classes} "
            f"number{'s' if classes > 1 else ''} per sample. Received {wrong}."
        )
    return labels.astype("int64") if classes > 1 else (labels > 0).astype("int64")


def _classes_of_rows(rows):
    greatest = rows.max(axis=-1, keepdims=True)
    if ((rows == greatest).sum(axis=-1) != 1).any():
        raise ValueError(
            "A row of the labels has its greatest value more than once, so it names no "
            "single class. Expected one-hot rows, or targets of -1 and 1."
        )
    return rows.argmax(axis=-1)


class Scores:
    """Accuracy of outputs, and their agreement with reference outputs.

    Attributes:
        is_finite: Whether all outputs were finite. Others are not counted.

    Args:
        threshold: As for `predicted_classes`.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.models.swap_scores import Scores
        >>> scores = Scores(threshold=None)
        >>> outputs = np.array([[0.0, 1.0], [1.0, 0.0]])
        >>> scores.update(outputs, 2 * outputs, np.array([1, 1]))
        >>> scores.accuracy, scores.agreement, scores.correlation
        (0.5, 1.0, 1.0)
    """

    def __init__(self, threshold: float | None):
        self.threshold = threshold
        self.is_finite = True
        self._decisions = self._agreeing = self._labelled = self._correct = 0
        self._pairs = PairMoments(1)

    def update(
        self, outputs: np.ndarray, reference: np.ndarray, truth: np.ndarray | None
    ):
        """Add a batch.

        Args:
            outputs: Shape `(samples, ..., classes)`.
            reference: The same of the model to compare with.
            truth: Classes of the labels, from `label_classes`; or None.
        """
        if not np.isfinite(outputs).all():
            self.is_finite = False
            return
        classes = predicted_classes(outputs, self.threshold)
        same = classes == predicted_classes(reference, self.threshold)
        self._decisions += same.size
        self._agreeing += int(same.sum())
        self._pairs.update(reference.reshape(-1, 1), outputs.reshape(-1, 1))
        if truth is not None:
            self._labelled += classes.size
            self._correct += int((classes == truth).sum())

    @property
    def accuracy(self) -> float | None:
        """Fraction of outputs that name the class of the label, if there are any."""
        if not (self.is_finite and self._labelled):
            return None
        return self._correct / self._labelled

    @property
    def agreement(self) -> float | None:
        """Fraction of outputs that name the same class as the reference."""
        if not (self.is_finite and self._decisions):
            return None
        return self._agreeing / self._decisions

    @property
    def correlation(self) -> float | None:
        """Pearson's correlation with the reference; None where one does not vary."""
        if not (self.is_finite and self._decisions):
            return None
        correlation = self._pairs.pooled().correlation
        return correlation if np.isfinite(correlation) else None

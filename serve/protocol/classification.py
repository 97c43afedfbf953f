"""Names the best classes of an output, as the extension `classification` has it."""

from collections.abc import Sequence

import numpy as np


def classified(
    scores: np.ndarray, count: int, labels: Sequence[str] | None
) -> tuple[list[str], list[int]]:
    """Name the classes with the highest scores, of equal ones the first.

    Args:
        scores: `(rows, ...)`, the scores of the classes of each row.
        count: How many classes to name, from 1; no more than there are.
        labels: A name for each class, or None.

    Returns:
        Texts `score:index:label`, or `score:index` for a class without a name, and
        the shape `[rows, count]` that they have.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.serve.protocol.classification import classified
        >>> classified(np.array([[0.25, 0.75]], np.float32), 1, ["cat", "dog"])
        (['0.75:1:dog'], [1, 1])
    """
    rows = len(scores) if scores.ndim else 1
    scores = scores.reshape(rows, -1)
    count = min(count, scores.shape[1])
    # Reversed twice, so that a stable order puts the first of equal ones first.
    ascending = np.argsort(scores[:, ::-1], axis=1, kind="stable")
    best = scores.shape[1] - 1 - ascending[:, ::-1][:, :count]
    highest = np.take_along_axis(scores, best, axis=1)
    texts = [
        _text(score, index, labels)
        for score, index in zip(highest.ravel(), best.ravel(), strict=True)
    ]
    return texts, [rows, count]


def _text(score, index, labels):
    # numpy writes as few digits as tell one float32 from the next.
    text = f"{score!s}:{index}"
    return f"{text}:{labels[index]}" if labels and index < len(labels) else text

"""Names the best classes of an output, as the extension `classification` has it."""

from collections.abc import Sequence

import numpy as np

from ..errors import ServiceError

# They take about 0.1 s, in which nothing else is answered.
MOST_TEXTS = 2**16


def classified(
    scores: np.ndarray, count: int, labels: Sequence[str] | None
) -> tuple[list[str], list[int]]:
    """Name the classes with the highest scores, of equal ones the first, NaN last.

    Args:
        scores: `(rows, ...)`, the scores of the classes of each row.
        count: How many classes to name, from 1; no more than there are.
        labels: A name for each class, or None.

    Returns:
        Texts `score:index:label`, or `score:index` for a class without a name, and
        the shape `[rows, count]` that they have.

    Raises:
        ServiceError: They are too many; 413.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.serve.protocol.classification import classified
        >>> classified(np.array([[0.25, 0.75]], np.float32), 1, ["cat", "dog"])
        (['0.75:1:dog'], [1, 1])
    """
    rows = len(scores) if scores.ndim else 1
    scores = scores.reshape(rows, -1)
    count = min(count, scores.shape[1])
    if rows * count > MOST_TEXTS:
        raise ServiceError(
            413,
            f"{count} classes of {rows} rows are {rows * count} texts, and {MOST_TEXTS}"
            " are the most that are given. Ask for fewer classes, or for the scores.",
        )
    # Integers have a complement where the least of them has no negative.
    falling = -scores if scores.dtype.kind == "f" else ~scores
    best = np.argsort(falling, axis=1, kind="stable")[:, :count]
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

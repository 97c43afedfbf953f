"""Rows of several arrays: counted, joined and split."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

Arrays = Mapping[str, np.ndarray]


def rows_of(arrays: Arrays) -> int:
    """Count the rows of a request.

    Args:
        arrays: Arrays by name.

    Returns:
        The largest size of a first axis; 1 where there is none.
    """
    return max((len(array) for array in arrays.values() if array.ndim), default=1)


def joined(batch: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """Put rows behind each other.

    Args:
        batch: Arrays by the same names.

    Returns:
        Arrays by name, with the rows of all.

    Raises:
        ValueError: They differ in more than their rows.
    """
    if len(batch) == 1:
        return dict(batch[0])
    return {name: np.concatenate([each[name] for each in batch]) for name in batch[0]}


def split(arrays: Arrays, counts: Sequence[int]) -> list[dict[str, np.ndarray]]:
    """Take rows apart; the inverse of `joined`.

    Args:
        arrays: Arrays by name.
        counts: How many rows each part has.

    Returns:
        Views of the arrays, for each part.

    Raises:
        ValueError: An array does not have as many rows as all parts together.
    """
    if len(counts) == 1:
        return [dict(arrays)]
    rows = sum(counts)
    for name, array in arrays.items():
        if not array.ndim or len(array) != rows:
            raise ValueError(
                f"Output '{name}' has the shape {array.shape}, for {rows} rows."
            )
    parts, start = [], 0
    for count in counts:
        stop = start + count
        parts.append({name: array[start:stop] for name, array in arrays.items()})
        start = stop
    return parts


def parts_of(arrays: Arrays, rows: int, at_once: int) -> Iterator[Arrays]:
    """Cut a request.

    Args:
        arrays: Arrays by name, of as many rows each.
        rows: Their rows.
        at_once: Most rows of a part.

    Yields:
        Views of the arrays.
    """
    for start in range(0, rows, at_once):
        stop = start + at_once
        yield {name: array[start:stop] for name, array in arrays.items()}

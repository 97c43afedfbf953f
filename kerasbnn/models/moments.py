"""Mean and variance per channel, gathered over batches."""

import numpy as np

# Float64 copies of at most this many elements are made at a time.
BLOCK = 2**20


class Moments:
    """Count, mean and sum of squared deviations per channel, in float64.

    Args:
        channels: Number of channels.

    Attributes:
        count: Values seen per channel.
        mean: Their mean per channel.
        squares: Their sum of squared deviations from the mean per channel.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.models.moments import Moments
        >>> moments = Moments(1)
        >>> for batch in ([[1.0], [2.0]], [[6.0]]):
        ...     moments.update(np.array(batch))
        >>> moments.mean, moments.variance
        (array([3.]), array([4.66666667]))

    Reference:
        Chan, Golub and LeVeque, Algorithms for Computing the Sample Variance, 1983.
    """

    def __init__(self, channels: int):
        self.count = np.zeros(channels)
        self.mean = np.zeros(channels)
        self.squares = np.zeros(channels)

    @property
    def variance(self) -> np.ndarray:
        """Population variance per channel; 0 where nothing was seen."""
        return self.squares / np.maximum(self.count, 1)

    def update(self, values: np.ndarray, kept: np.ndarray | None = None):
        """Add values.

        Args:
            values: Array of shape `(n, channels)`.
            kept: Bools of the same shape, False for values to leave out; or None.
        """
        rows = max(1, BLOCK // max(1, values.shape[1]))
        for start in range(0, len(values), rows):
            part = slice(start, start + rows)
            self._update(
                values[part].astype("float64"), None if kept is None else kept[part]
            )

    def _update(self, values, kept):
        added = Moments(values.shape[1])
        if kept is None:
            added.count[:] = len(values)
            added.mean = values.mean(axis=0)
            added.squares = np.square(values - added.mean).sum(axis=0)
        else:
            added.count = kept.sum(axis=0, dtype="float64")
            total = np.where(kept, values, 0).sum(axis=0)
            added.mean = total / np.maximum(added.count, 1)
            deviations = np.where(kept, values - added.mean, 0)
            added.squares = np.square(deviations).sum(axis=0)
        self.merge(added)

    def merge(self, other: "Moments"):
        """Add everything that another instance has seen.

        Args:
            other: Moments of as many channels.
        """
        count = self.count + other.count
        share = other.count / np.maximum(count, 1)
        difference = other.mean - self.mean
        self.mean = self.mean + difference * share
        self.squares = self.squares + other.squares + difference**2 * self.count * share
        self.count = count

"""Statistics gathered batch by batch, in float64 and in bounded memory.

Each accumulator has `update` for a batch and `merge` for what another instance has
seen. How the data is split into batches changes the result by rounding at most.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasbnn.geometry.dot_products import Regression

# Float64 copies of at most this many elements are made at a time: they stay in a
# processor's cache, which is what makes a pass over them cheap.
BLOCK = 2**16

# A deviation below this share of the magnitude is rounding of float32, not a signal.
_ROUNDING = 3e-6

Floats = NDArray[np.float64]


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
        >>> from kerasbnn.geometry.accumulators import Moments
        >>> moments = Moments(1)
        >>> for batch in ([[1.0], [2.0]], [[6.0]]):
        ...     moments.update(np.array(batch))
        >>> moments.mean, moments.variance
        (array([3.]), array([4.66666667]))

    Reference:
        Chan, Golub and LeVeque, Algorithms for Computing the Sample Variance, 1983.
    """

    def __init__(self, channels: int):
        self.count: Floats = np.zeros(channels)
        self.mean: Floats = np.zeros(channels)
        self.squares: Floats = np.zeros(channels)

    @property
    def variance(self) -> Floats:
        """Population variance per channel; 0 where nothing was seen."""
        return self.squares / np.maximum(self.count, 1)

    def update(self, values: NDArray[Any], kept: NDArray[np.bool_] | None = None):
        """Add values.

        Args:
            values: Array of shape `(n, channels)`.
            kept: Bools of the same shape, False for values to leave out; or None.
        """
        rows = max(1, BLOCK // max(1, values.shape[1]))
        for start in range(0, len(values), rows):
            part = slice(start, start + rows)
            self._update(
                values[part].astype(np.float64), None if kept is None else kept[part]
            )

    def _update(self, values: Floats, kept: NDArray[np.bool_] | None):
        added = Moments(values.shape[1])
        if kept is None:
            added.count[:] = len(values)
            added.mean = values.mean(axis=0)
            deviations = values - added.mean
        else:
            added.count = kept.sum(axis=0, dtype=np.float64)
            total = np.where(kept, values, 0).sum(axis=0)
            added.mean = total / np.maximum(added.count, 1)
            deviations = np.where(kept, values - added.mean, 0)
        added.squares = np.einsum("nc,nc->c", deviations, deviations)
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


class PairMoments:
    """Joint moments of the dot products with binary and with continuous weights.

    Args:
        filters: Number of filters.

    Attributes:
        count: Pairs seen per filter.
        negative: Pairs of opposite sign, over all filters; the sign of 0 is +1.
        means: Shape `(2, filters)`: means of the binary and the continuous products.
        squares: Shape `(3, filters)`: sums of the squared deviations of the binary
            products, of those of the continuous ones, and of their products.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.accumulators import PairMoments
        >>> pairs = PairMoments(filters=1)
        >>> for batch in ([[1.0], [2.0]], [[-6.0]]):
        ...     pairs.update(np.array(batch), 0.5 * np.array(batch))
        >>> pairs.filter_correlations(), pairs.sign_flips
        (array([1.]), 0.0)

    Reference:
        Anderson & Berg, arXiv 1705.07199, the dot product proportionality property;
        the merging of moments is that of Chan, Golub and LeVeque, 1983.
    """

    def __init__(self, filters: int):
        self.count = 0
        self.negative = 0
        self.means: Floats = np.zeros((2, filters))
        self.squares: Floats = np.zeros((3, filters))

    def update(self, binary: NDArray[Any], continuous: NDArray[Any]):
        """Add the products of a batch.

        Args:
            binary: Products with the binary weights, shape `(n, filters)`.
            continuous: Products of the same inputs with the continuous weights, of the
                same shape.

        Raises:
            ValueError: The shapes differ, or have another number of filters.
        """
        filters = self.means.shape[1]
        if binary.shape != continuous.shape or binary.shape[1:] != (filters,):
            raise ValueError(
                f"Expected two arrays of shape (n, {filters}). Received shapes "
                f"{binary.shape} and {continuous.shape}."
            )
        if not len(binary):
            return
        rows = max(1, BLOCK // max(1, filters))
        # Sums of squares about a value near the mean, here that of the first block,
        # lose no digits.
        shift = np.stack(
            [
                values[:rows].mean(axis=0, dtype=np.float64)
                for values in (binary, continuous)
            ]
        )
        sums: Floats = np.zeros((2, filters))
        squares: Floats = np.zeros((3, filters))
        blocks: Floats = np.empty((2, min(rows, len(binary)), filters))
        # A product with a vector of ones sums over rows faster than `sum` does.
        ones: Floats = np.ones(rows)
        for start in range(0, len(binary), rows):
            parts = binary[start : start + rows], continuous[start : start + rows]
            count = len(parts[0])
            x, y = blocks[:, :count]
            np.subtract(parts[0], shift[0], out=x)
            np.subtract(parts[1], shift[1], out=y)
            sums[0] += ones[:count] @ x
            sums[1] += ones[:count] @ y
            squares[0] += np.einsum("nf,nf->f", x, x)
            squares[1] += np.einsum("nf,nf->f", y, y)
            squares[2] += np.einsum("nf,nf->f", x, y)
            self.negative += int(np.count_nonzero((parts[0] < 0) != (parts[1] < 0)))
        added = PairMoments(filters)
        added.count = len(binary)
        means = sums / added.count
        products = np.stack(
            [sums[0] * means[0], sums[1] * means[1], sums[0] * means[1]]
        )
        added.means, added.squares = means + shift, squares - products
        # What is left of a constant may be a little less than nothing.
        np.maximum(added.squares[:2], 0.0, out=added.squares[:2])
        self.merge(added)

    def merge(self, other: "PairMoments"):
        """Add everything that another instance has seen.

        Args:
            other: Moments of as many filters.
        """
        count = self.count + other.count
        if count == 0:
            return
        share = other.count / count
        difference = other.means - self.means
        products = np.stack(
            [difference[0] ** 2, difference[1] ** 2, difference[0] * difference[1]]
        )
        self.means = self.means + difference * share
        self.squares = self.squares + other.squares + products * self.count * share
        self.count = count
        self.negative += other.negative

    @property
    def sign_flips(self) -> float:
        """Fraction of pairs whose signs differ, NaN where there is none."""
        pairs = self.count * self.means.shape[1]
        return self.negative / pairs if pairs else float("nan")

    @property
    def variances(self) -> Floats:
        """Population variances `(2, filters)` of the binary and continuous products."""
        return self.squares[:2] / max(self.count, 1)

    def filter_correlations(self) -> Floats:
        """Pearson's correlation of each filter's pairs.

        Returns:
            Shape `(filters,)`; NaN where one of the two does not vary.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = np.sqrt(self.squares[0]) * np.sqrt(self.squares[1])
            correlations = np.clip(self.squares[2] / spread, -1.0, 1.0)
        limits = _ROUNDING**2 * (self.variances + self.means**2)
        varies = np.all(self.variances > limits, axis=0)
        return np.where(varies & np.isfinite(correlations), correlations, np.nan)

    def pooled_within(self) -> float:
        """Correlation over all filters, the means of each filter taken off.

        Returns:
            Pearson's correlation, NaN where one of the two does not vary.
        """
        binary, continuous, joint = self.squares.sum(axis=1)
        limits = _ROUNDING**2 * (self.variances + self.means**2).sum(axis=1)
        spread = np.array([binary, continuous]) / max(self.count, 1)
        if not np.all(spread > limits):
            return float("nan")
        return float(np.clip(joint / np.sqrt(binary) / np.sqrt(continuous), -1.0, 1.0))

    def pooled(self) -> Regression:
        """Regression of the continuous on the binary products, over all filters.

        Returns:
            Correlation, slope and intercept, NaN where one of the two does not vary.
        """
        filters = self.means.shape[1]
        pairs = self.count * filters
        if not pairs:
            return Regression(float("nan"), float("nan"), float("nan"), 0)
        mean = self.means.mean(axis=1)
        deviations = self.means - mean[:, np.newaxis]
        between = self.count * np.array(
            [
                deviations[0] @ deviations[0],
                deviations[1] @ deviations[1],
                deviations[0] @ deviations[1],
            ]
        )
        binary, continuous, joint = self.squares.sum(axis=1) + between
        limits = (
            pairs * _ROUNDING**2 * (np.array([binary, continuous]) / pairs + mean**2)
        )
        if not (binary > limits[0] and continuous > limits[1]):
            return Regression(float("nan"), float("nan"), float("nan"), pairs)
        slope = joint / binary
        correlation = joint / (np.sqrt(binary) * np.sqrt(continuous))
        return Regression(
            float(np.clip(correlation, -1.0, 1.0)),
            float(slope),
            float(mean[1] - slope * mean[0]),
            pairs,
        )


class RowSample:
    """A uniform random sample of rows, whatever the order in which they come.

    Each row has a number, and by a hash of it a place in a random order of all numbers;
    the sample holds the rows that come first in that order. So it depends neither on
    batches nor on which of two merged instances saw a row.

    Args:
        capacity: Largest number of rows to hold.
        seed: Chooses the random order.

    Attributes:
        numbers: Numbers of the rows held, ascending.
        rows: The rows held, in that order: a dict of arrays.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.accumulators import RowSample
        >>> sample = RowSample(capacity=2)
        >>> numbers, values = np.arange(5), np.arange(5.0) ** 2
        >>> chosen = sample.choose(numbers)
        >>> sample.add(numbers[chosen], {"value": values[chosen]})
        >>> bool(np.all(sample.rows["value"] == sample.numbers**2.0))
        True

    Reference:
        Rosén, Asymptotic theory for order sampling, 1997 (sampling by random order).
    """

    def __init__(self, capacity: int, seed: int = 0):
        self.capacity = capacity
        self.seed = seed
        self.numbers: NDArray[np.int64] = np.zeros(0, np.int64)
        self.rows: dict[str, NDArray[Any]] = {}

    def choose(self, numbers: NDArray[np.int64]) -> NDArray[np.intp]:
        """Find which of some new rows come into the sample.

        Args:
            numbers: Numbers of the rows, shape `(n,)`; none was seen before.

        Returns:
            Indices into `numbers`, ascending.
        """
        places = _places(numbers, self.seed)
        if len(self.numbers) == self.capacity and self.capacity:
            last = _places(self.numbers, self.seed).max()
            candidates = np.flatnonzero(places < last)
        else:
            candidates = np.arange(len(numbers))
        if len(candidates) > self.capacity:
            order = np.argpartition(places[candidates], self.capacity)
            candidates = np.sort(candidates[order[: self.capacity]])
        return candidates

    def add(self, numbers: NDArray[np.int64], rows: dict[str, NDArray[Any]]):
        """Add rows, dropping those that come last in the random order.

        Args:
            numbers: Numbers of the rows, shape `(n,)`.
            rows: Arrays of shape `(n, ...)`, under the same names at each call.
        """
        if not len(numbers):
            return
        joined = np.concatenate([self.numbers, numbers])
        keep = np.arange(len(joined))
        if len(joined) > self.capacity:
            order = np.argpartition(_places(joined, self.seed), self.capacity)
            keep = order[: self.capacity]
        keep = keep[np.argsort(joined[keep])]
        self.numbers = joined[keep]
        for name, values in rows.items():
            held = self.rows.get(name)
            everything = values if held is None else np.concatenate([held, values])
            self.rows[name] = everything[keep]

    def merge(self, other: "RowSample"):
        """Add the rows that another instance holds.

        Args:
            other: A sample of other rows, with the same capacity and seed.
        """
        self.add(other.numbers, other.rows)


def _places(numbers: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """Hash numbers to places in a random order; no two have the same place.

    The finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
    """
    offset = (seed + 1) * 0x9E3779B97F4A7C15 % 2**64
    z = numbers.astype(np.uint64) + np.uint64(offset)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))

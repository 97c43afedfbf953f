"""Gathers, batch by batch, what one kernel does with the inputs of its layer."""

from dataclasses import dataclass

import numpy as np
from keras import ops

from kerasbnn.auditing.operations import Operation
from kerasbnn.geometry.accumulators import Moments, PairMoments, RowSample
from kerasbnn.models.batches import to_numpy

# Rows are numbered by sample, call and position, in this many of each; see `_numbers`.
_CALLS, _POSITIONS = 2**6, 2**28


@dataclass(frozen=True)
class Sampling:
    """How much an audit keeps, whatever the number of samples.

    Attributes:
        patches: Largest number of windows to keep of each layer.
        permuted: Number of windows of permuted inputs to look at, for each sample.
        seed: Of all random choices.
    """

    patches: int
    permuted: int
    seed: int


class KernelMeasurement:
    """What an audit gathers about one kernel.

    Args:
        operation: The operation that the kernel belongs to.
        continuous: Continuous weights, a float32 numpy array of the kernel's shape.
        quantized: What they are quantized to, likewise.
        sampling: How much to keep.

    Attributes:
        groups: Number of groups of filters.
        fan_in: Number of weights per filter.
        filters: Number of filters, over all groups.
        halves: Joint moments of the products, of samples of even and of odd number.
        permuted: The same for permuted inputs.
        sample: Some windows with their products, also with the inputs before their
            quantizer where there is one.
        control: Some products with permuted inputs.
        inputs_are_finite: Whether all inputs and products were finite so far.
    """

    def __init__(self, operation: Operation, continuous, quantized, sampling: Sampling):
        self.operation = operation
        self.sampling = sampling
        self._kernels = {
            name: np.asarray(operation.prepared_kernel(kernel))
            for name, kernel in (("quantized", quantized), ("continuous", continuous))
        }
        self._filters = [operation.filters(k) for k in self._kernels.values()]
        self.groups, self.fan_in, size = self._filters[0].shape
        self.filters = self.groups * size
        self._tensors = {}
        self.halves = PairMoments(self.filters), PairMoments(self.filters)
        self.permuted = PairMoments(self.filters)
        self.sample = RowSample(sampling.patches, sampling.seed)
        self.control = RowSample(sampling.patches, sampling.seed)
        self.inputs_are_finite = True
        self._taps = Moments(self.fan_in * self.groups)
        # Channels of the inputs, and for each a value near its mean.
        self._channels = 0
        self._shift = np.zeros(0, np.float32)
        self._windows = {}
        self._rng = np.random.default_rng(sampling.seed)

    @property
    def quantized(self) -> np.ndarray:
        """Quantized filters `(groups, fan_in, filters per group)`, float64."""
        return self._filters[0].astype(np.float64)

    @property
    def continuous(self) -> np.ndarray:
        """Continuous filters, likewise."""
        return self._filters[1].astype(np.float64)

    @property
    def pairs(self) -> PairMoments:
        """Joint moments of the products, of all samples."""
        total = PairMoments(self.filters)
        for half in self.halves:
            total.merge(half)
        return total

    @property
    def element_moments(self) -> tuple[np.ndarray, np.ndarray] | None:
        """Mean and variance of the elements of the windows, `(groups, fan_in)` each.

        None where nothing was seen.
        """
        if not self._taps.count.any():
            return None
        mean, variance = (
            self._grouped(values.reshape(1, -1, self._channels))[:, 0]
            for values in (self._taps.mean, self._taps.variance)
        )
        return mean, variance

    def update(
        self, inputs, rows, samples, call, own="quantized", products=None, raw=None
    ):
        """Add a batch.

        Args:
            inputs: Inputs of the operation, after their quantizer, as the layer has
                them.
            rows: Number of each row, ints `(n,)`; no two rows of the data share one.
            samples: Number of the sample that each row is from, ints `(n,)`.
            call: How often the layer was called before in this forward pass.
            own: The weights that the layer itself computes with, `"quantized"` or
                `"continuous"`.
            products: Products with them where they are known already, a tensor with
                channels last; or None.
            raw: Inputs before their quantizer, or None.

        Returns:
            The products with the other weights, a tensor with channels last; None where
            there is none.
        """
        x = self.operation.prepared(inputs)
        values = to_numpy(x)
        windows = self._windows_of(values.shape)
        if not (len(values) and windows.positions and self.inputs_are_finite):
            return None
        with np.errstate(over="ignore", invalid="ignore"):
            quantized, continuous, others = self._products(x, own, products)
            parts = [
                products.reshape(len(values), -1, self.filters)
                for products in (quantized, continuous)
            ]
            for parity, half in enumerate(self.halves):
                chosen = samples % 2 == parity
                half.update(*(part[chosen].reshape(-1, self.filters) for part in parts))
            self._add_elements(values, windows)
            self.inputs_are_finite = bool(
                all(np.isfinite(half.squares).all() for half in self.halves)
                and np.isfinite(self._taps.squares).all()
            )
        if not self.inputs_are_finite:
            return None
        numbers = _numbers(rows, call, windows.positions)
        if self.sample.capacity:
            pair = {"quantized": quantized, "continuous": continuous}
            with np.errstate(over="ignore", invalid="ignore"):
                self._add_sample(values, windows, numbers, samples, pair, raw)
        if self.sampling.permuted:
            with np.errstate(over="ignore", invalid="ignore"):
                self._add_permuted(values, windows, rows, call)
        return others

    def _products(self, x, own, products):
        other = "continuous" if own == "quantized" else "quantized"
        if products is None:
            both = self.operation.apply(x, self._tensor("both"))
            shape = (*both.shape[:-1], self.filters)
            pair = self.operation.split(to_numpy(both))
            flat = dict(zip(("quantized", "continuous"), pair, strict=True))
            others = ops.convert_to_tensor(flat[other].reshape(shape))
        else:
            others = self.operation.apply(x, self._tensor(other))
            flat = {
                name: to_numpy(values).reshape(-1, self.filters)
                for name, values in ((own, products), (other, others))
            }
        return flat["quantized"], flat["continuous"], others

    def _add_sample(self, values, windows, numbers, samples, products, raw):
        chosen = self.sample.choose(numbers)
        rows, positions = np.divmod(chosen, windows.positions)
        patches = self._grouped(windows.patches(values, rows, positions))
        added = {name: values[chosen] for name, values in products.items()}
        added |= {"patches": patches.transpose(1, 0, 2), "sample": samples[rows]}
        # A shared layer may get inputs with a quantizer before it and others.
        before = np.full_like(added["quantized"], np.nan)
        if raw is not None and len(chosen):
            raw_values = to_numpy(self.operation.prepared(raw))
            windows_before = self._grouped(windows.patches(raw_values, rows, positions))
            before = np.matmul(windows_before, self._filters[0]).transpose(1, 0, 2)
            before = before.reshape(added["quantized"].shape).astype(np.float32)
        self.sample.add(numbers[chosen], {**added, "before_quantizer": before})

    def _add_permuted(self, values, windows, numbers, call):
        """Add the products of a few windows into a random permutation of the inputs.

        The permutation itself is not made: its elements at these places are as many
        elements drawn at random. Padding is left out, as it would stay where it is.
        """
        count = min(self.sampling.permuted, windows.positions)
        total = len(values) * count
        shape = (total, windows.taps, values.shape[-1])
        drawn = values.reshape(-1)[self._rng.integers(values.size, size=shape)]
        patches = self._grouped(drawn)
        quantized, continuous = (
            np.matmul(patches, filters).transpose(1, 0, 2).reshape(total, -1)
            for filters in self._filters
        )
        self.permuted.update(quantized, continuous)
        if self.control.capacity:
            numbers = _numbers(numbers, call, count)
            chosen = self.control.choose(numbers)
            pair = {"quantized": quantized[chosen], "continuous": continuous[chosen]}
            self.control.add(numbers[chosen], pair)

    def _add_elements(self, values, windows):
        """Add the moments of what each tap of the kernel meets, from sums over samples.

        The windows themselves are not made.
        """
        channels = values.shape[-1]
        if not self._channels:
            self._channels = channels
            self._shift = values.reshape(-1, channels).mean(axis=0)
        sums, squares = np.zeros((2, *values.shape[1:]))
        per_block = max(1, 2**16 // max(1, values[0].size))
        for start in range(0, len(values), per_block):
            # Far from 0, squares of the values themselves would leave no digits.
            deviations = values[start : start + per_block] - self._shift
            sums += deviations.sum(axis=0)
            squares += np.einsum("n...,n...->...", deviations, deviations)
        padding = windows.pad_value - self._shift.astype(np.float64)
        count = len(values) * windows.positions
        first = windows.tap_sums(sums, len(values) * padding).reshape(-1)
        second = windows.tap_sums(squares, len(values) * padding**2).reshape(-1)
        added = Moments(len(first))
        added.count[:] = count
        shift = np.tile(self._shift.astype(np.float64), len(first) // channels)
        added.mean = first / count + shift
        added.squares = np.maximum(second - first**2 / count, 0.0)
        self._taps.merge(added)

    def _grouped(self, patches):
        """Reorder `(n, taps, channels)` to `(groups, n, fan_in)`."""
        n, taps, channels = patches.shape
        split = patches.reshape(n, taps, self.groups, channels // self.groups)
        fan_in = taps * channels // self.groups
        return split.transpose(2, 0, 1, 3).reshape(self.groups, n, fan_in)

    def _windows_of(self, shape):
        size = tuple(shape[1:])
        if size not in self._windows:
            self._windows[size] = self.operation.windows(shape)
        return self._windows[size]

    def _tensor(self, name):
        if name not in self._tensors:
            if name == "both":
                kernel = self.operation.joined(*self._kernels.values())
            else:
                kernel = self._kernels[name]
            self._tensors[name] = ops.convert_to_tensor(np.ascontiguousarray(kernel))
        return self._tensors[name]


def _numbers(samples, call, positions):
    """Number the products of a batch, the same however samples come in batches."""
    first = (samples.astype(np.int64) * _CALLS + min(call, _CALLS - 1)) * _POSITIONS
    return (first[:, np.newaxis] + np.arange(positions)).reshape(-1)

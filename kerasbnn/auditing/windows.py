"""Which inputs each output of a convolution meets, on numpy alone."""

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Axis:
    """The windows of a convolution along one spatial axis.

    Attributes:
        inputs: Number of inputs.
        outputs: Number of outputs.
        taps: Size of the kernel.
        stride: Distance between neighbouring windows.
        dilation: Distance between neighbouring taps.
        before: Positions of padding before the first input; may be negative.
        spacing: Distance between neighbouring inputs: more than 1 for a transposed
            convolution, which puts zeros between them.
    """

    inputs: int
    outputs: int
    taps: int
    stride: int = 1
    dilation: int = 1
    before: int = 0
    spacing: int = 1

    def sources(self) -> np.ndarray:
        """Return the input under each tap of each window.

        Returns:
            Ints `(outputs, taps)`; -1 where there is only padding.
        """
        places = (
            np.arange(self.outputs)[:, np.newaxis] * self.stride
            - self.before
            + np.arange(self.taps) * self.dilation
        )
        sources = places // self.spacing
        is_input = (places % self.spacing == 0) & (0 <= sources)
        return np.where(is_input & (sources < self.inputs), sources, -1)


class Windows:
    """The windows of a convolution over inputs of one size.

    Args:
        axes: One `Axis` for each spatial axis.
        pad_value: What the windows see where there is no input.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.auditing.windows import Axis, Windows
        >>> windows = Windows([Axis(inputs=3, outputs=3, taps=3, before=1)])
        >>> inputs = np.array([[[1.0], [2.0], [3.0]]])  # one sample, one channel
        >>> windows.patches(inputs, np.array([0, 0]), np.array([0, 2]))[..., 0]
        array([[0., 1., 2.],
               [2., 3., 0.]])
    """

    def __init__(self, axes: Sequence[Axis], pad_value: float = 0.0):
        self.axes = list(axes)
        self.pad_value = pad_value
        self.positions = math.prod(axis.outputs for axis in self.axes)
        self.taps = math.prod(axis.taps for axis in self.axes)
        self._sources = [axis.sources() for axis in self.axes]

    def patches(self, inputs, samples, positions):
        """Return the inputs in some windows.

        Args:
            inputs: Array `(samples, *spatial, channels)`.
            samples: Indices of samples, shape `(n,)`.
            positions: Indices of outputs, counted through all axes, shape `(n,)`.

        Returns:
            Array `(n, taps, channels)`, the taps of all axes in one.
        """
        if not self.axes:
            return inputs[samples][:, np.newaxis]
        sources = self._sources_of(positions)
        is_padding = functools.reduce(np.logical_or, [index < 0 for index in sources])
        first = samples.reshape(-1, *[1] * len(self.axes))
        patches = inputs[(first, *sources)]
        patches[is_padding] = self.pad_value
        return patches.reshape(len(samples), self.taps, inputs.shape[-1])

    def _sources_of(self, positions):
        """Return the inputs along each axis, shaped to be combined over all taps."""
        outputs = np.unravel_index(positions, [axis.outputs for axis in self.axes])
        found = []
        for i, (sources, chosen) in enumerate(zip(self._sources, outputs, strict=True)):
            shape = [len(positions)] + [1] * len(self.axes)
            shape[i + 1] = sources.shape[1]
            found.append(sources[chosen].reshape(shape))
        return found

    def tap_sums(self, sums, padding_sum):
        """Sum over all windows what each tap meets.

        Args:
            sums: For each input its sum over the samples, `(*spatial, channels)`.
            padding_sum: What a position of padding adds, `(channels,)`.

        Returns:
            Array `(taps, channels)`, the taps of all axes in one.
        """
        if not self.axes:
            return sums[np.newaxis]
        rank, channels = len(self.axes), sums.shape[-1]
        # The padding is one more input at the end of each axis.
        padded = np.empty([n + 1 for n in sums.shape[:-1]] + [channels])
        padded[...] = padding_sum
        padded[tuple(slice(n) for n in sums.shape[:-1])] = sums
        for axis, sources in zip(self.axes, self._sources, strict=True):
            # How many windows have each input under each tap. The axis that was summed
            # goes to the end, so that after all of them the order is the same again.
            hits = np.zeros((axis.taps, axis.inputs + 1))
            np.add.at(hits, (np.arange(axis.taps)[np.newaxis], sources), 1.0)
            padded = np.moveaxis(np.tensordot(hits, padded, (1, 0)), 0, rank - 1)
        return padded.reshape(-1, channels)

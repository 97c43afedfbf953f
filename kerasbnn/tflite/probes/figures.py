"""What a probe yields about one call, from built-in operations.

Every figure has one row for each row of a layer's inputs: nothing is summed over the
batch, so that whoever reads them adds up in float64, and leaves out what it likes.
Squares are of deviations from a mean near by, so that float32 loses no digits.
"""

import math

import numpy as np

from kerasbnn.auditing.windows import Axis, Windows
from kerasbnn.probing.description import (
    CONTINUOUS,
    CONTINUOUS_SQUARES,
    ELEMENT_SQUARES,
    ELEMENTS,
    FLIPS,
    INPUTS,
    JOINT_SQUARES,
    MEAN,
    NEGATIVE,
    QUANTIZED,
    QUANTIZED_SQUARES,
    SATURATED,
    SQUARES,
    Call,
)
from kerasbnn.tflite.probes.operations import ProbeOperations

Figures = dict[str, int]

# Longer ones in float32 lose digits.
LONGEST_SUM = 1024


def call_of(windows: Windows) -> Call:
    """Describe one call of a kernel.

    Args:
        windows: Its windows over the inputs.

    Returns:
        The description.
    """
    covered = tuple(
        tuple(int(n) for n in hits(axis).sum(axis=1)) for axis in windows.axes
    )
    return Call(windows.positions, covered, float(windows.pad_value))


def hits(axis: Axis) -> np.ndarray:
    """Count how many windows have each input under each tap.

    Args:
        axis: The axis.

    Returns:
        float32 `(taps, inputs)`.

    Example:
        >>> from kerasbnn.auditing.windows import Axis
        >>> from kerasbnn.tflite.probes.figures import hits
        >>> hits(Axis(inputs=3, outputs=2, taps=2))
        array([[1., 1., 0.],
               [0., 1., 1.]], dtype=float32)
    """
    sources = axis.sources()
    counts = np.zeros((axis.taps, axis.inputs + 1), np.float32)
    np.add.at(counts, (np.arange(axis.taps)[np.newaxis], sources), 1)
    return counts[:, :-1]


class FigureWriter:
    """Appends the figures of calls.

    Args:
        add: Appends operations.
    """

    def __init__(self, add: ProbeOperations):
        self.add = add

    def of_products(self, quantized, continuous) -> Figures:
        """Append what is known of the products of a call.

        Args:
            quantized: Products with quantized weights, `(rows, *outputs, filters)`.
            continuous: Products with continuous weights, likewise.

        Returns:
            Tensors `(rows, channels)` by the name of the figure.
        """
        add = self.add
        if len(add.shape(quantized)) == 2:
            return {QUANTIZED: quantized, CONTINUOUS: continuous}
        means = [self._averages(y) for y in (quantized, continuous)]
        x, y = (
            add.subtract(values, mean)
            for values, mean in zip((quantized, continuous), means, strict=True)
        )
        signs = [add.is_negative(values) for values in (quantized, continuous)]
        flips = self._totals(add.as_floats(add.differs(*signs)))
        flips = add.total(flips, [len(add.shape(flips)) - 1])
        figures = {
            QUANTIZED: means[0],
            CONTINUOUS: means[1],
            QUANTIZED_SQUARES: self._totals(add.multiply(x, x)),
            CONTINUOUS_SQUARES: self._totals(add.multiply(y, y)),
            JOINT_SQUARES: self._totals(add.multiply(x, y)),
            FLIPS: flips,
        }
        return {name: add.flat_rows(tensor) for name, tensor in figures.items()}

    def of_inputs(self, x, windows: Windows) -> Figures:
        """Append what is known of the inputs of a call.

        Args:
            x: Inputs `(rows, *spatial, channels)`, not padded.
            windows: The windows of the kernel over them.

        Returns:
            Tensors `(rows, channels)` by the name of the figure.
        """
        add = self.add
        if not windows.axes:
            # An output is better a tensor of its own than one of the model's inputs.
            return {INPUTS: add.flat_rows(x)}
        mean = self._averages(x)
        deviations = add.subtract(x, mean)
        squares = add.multiply(deviations, deviations)
        return {
            INPUTS: add.flat_rows(mean),
            ELEMENTS: self._met_by_taps(deviations, windows),
            ELEMENT_SQUARES: self._met_by_taps(squares, windows),
        }

    def of_activations(self, raw, clip_value: float | None) -> Figures:
        """Append what is known of the inputs of a quantizer.

        Args:
            raw: Its inputs `(rows, *spatial, channels)`.
            clip_value: Where its gradient ends, or None.

        Returns:
            Tensors `(rows, channels)` by the name of the figure.
        """
        add = self.add
        is_negative = add.as_floats(add.is_negative(raw))
        figures = {NEGATIVE: add.flat_rows(self._averages(is_negative))}
        if clip_value is not None:
            limit = np.float32(clip_value)
            beyond = add.less(add.constant(limit * limit), add.multiply(raw, raw))
            figures[SATURATED] = add.flat_rows(self._averages(add.as_floats(beyond)))
        return figures

    def of_normalization(self, x) -> Figures:
        """Append what is known of the inputs of a batch normalization.

        Args:
            x: Its inputs `(rows, *spatial, channels)`.

        Returns:
            Tensors `(rows, channels)` by the name of the figure.
        """
        add = self.add
        if len(add.shape(x)) == 2:
            return {MEAN: add.flat_rows(x)}
        mean = self._averages(x)
        deviations = add.subtract(x, mean)
        squares = self._totals(add.multiply(deviations, deviations))
        return {MEAN: add.flat_rows(mean), SQUARES: add.flat_rows(squares)}

    def _averages(self, x):
        for axes in self._positions(x):
            x = self.add.average(x, axes)
        return x

    def _totals(self, x):
        for axes in self._positions(x):
            x = self.add.total(x, axes)
        return x

    def _positions(self, x):
        """Return the axes between rows and channels, in groups to sum one by one."""
        sizes = self.add.shape(x)[1:-1]
        axes = list(range(1, len(sizes) + 1))
        if math.prod(sizes) <= LONGEST_SUM:
            return [axes] if axes else []
        return [[axis] for axis in reversed(axes)]

    def _met_by_taps(self, values, windows):
        """Sum over the windows of a row what each tap meets, taps first."""
        shape = self.add.shape(values)[1:]
        taps = []
        for place, axis in enumerate(windows.axes):
            rest = int(np.prod(shape[place + 1 :]))
            values = self.add.reshape(values, (-1, axis.inputs, rest), np.float32)
            counts = self.add.constant(hits(axis))
            values = self.add.multiply_matrices(counts, values)
            taps.append(axis.taps)
        size = int(np.prod(taps)) * shape[-1]
        return self.add.reshape(values, (-1, size), np.float32)

"""Follows chains and signs through the calls of a model, and writes signs."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import keras
import numpy as np

from kerasbnn.tflite.compute_engine import operations
from kerasbnn.tflite.compute_engine.chains import Chain, decision


@dataclass(frozen=True, eq=False)
class BeforeSign:
    """A tensor whose signs decide.

    Attributes:
        values: The tensor; with channels last, where it comes from a chain.
        flips: Array `(channels,)` of -1 where the opposite of the sign is meant, else
            1; None where all are 1.
        never_minus_zero: Whether no value is -0.
    """

    values: Any
    flips: np.ndarray | None = None
    never_minus_zero: bool = False

    def unflipped(self) -> "BeforeSign":
        """Return the same with the values' own signs."""
        if self.flips is None:
            return self
        values = operations.scaled_and_shifted(self.values, self.flips, None)
        return BeforeSign(values, None, self.never_minus_zero)

    @cached_property
    def without_flips(self) -> "BeforeSign":
        """The same values, whose flips are left to the caller."""
        return self if self.flips is None else replace(self, flips=None)

    @cached_property
    def recognised(self):
        """Signs of the values, once for all who read them, that become bits."""
        return operations.recognised_signs(self.values, self.never_minus_zero)

    def mapped(self, function) -> "BeforeSign":
        """Return the same with other values.

        Args:
            function: What is done to the values.
        """
        return replace(self, values=function(self.values))


class Signs:
    """What is known of the tensors of one trace.

    Args:
        apart: Numbers of the multiplications and additions that are to be rounded by
            themselves.

    Attributes:
        decided: For each call of a layer that takes signs, its path and what decides.
        stepped: Tensors that other quantizers than signs take.
        affine: Results of multiplications and additions; the number of one is its
            place.
    """

    def __init__(self, apart: Collection[int] = ()):
        self.decided: list[tuple[str, BeforeSign]] = []
        self.stepped: list[Any] = []
        self.affine: list[Any] = []
        self._apart = apart
        # With each the tensor, so that no other gets its number.
        self._chains: dict[int, tuple[Any, Chain]] = {}
        self._sources: dict[int, tuple[Any, Any]] = {}
        self._before: dict[int, tuple[Any, BeforeSign]] = {}
        self._never_minus_zero: dict[int, Any] = {}

    # ---- what tensors are -----------------------------------------------------------

    def chain(self, x) -> Chain | None:
        """Return the chain that a tensor is the end of, or None."""
        return self._chains.get(id(x), (None, None))[1]

    def set_chain(self, x, chain: Chain | None):
        """Note the chain that a tensor is the end of."""
        if chain is not None:
            self._chains[id(x)] = (x, chain)

    def note_signs(self, x, source):
        """Note that a tensor holds the signs of another, in whatever shape."""
        self._sources[id(x)] = (x, self.source(source))

    def source(self, x):
        """Return the tensor whose signs another holds, or the tensor itself."""
        return self._sources.get(id(x), (None, x))[1]

    def are_signs(self, x) -> bool:
        """Tell whether a tensor is known to hold signs."""
        return id(x) in self._sources

    def note_never_minus_zero(self, x):
        """Note that no value of a tensor is -0."""
        self._never_minus_zero[id(x)] = x

    def is_never_minus_zero(self, x) -> bool:
        """Tell whether no value of a tensor is known to be -0."""
        return id(x) in self._never_minus_zero

    def note_reshaped(self, x, reshaped):
        """Note that a tensor is another in another shape, or the same."""
        if reshaped is x:
            return
        self.set_chain(reshaped, self.chain(x))
        if self.are_signs(x):
            self.note_signs(reshaped, x)
        if self.is_never_minus_zero(x):
            self.note_never_minus_zero(reshaped)

    # ---- values ---------------------------------------------------------------------

    def scaled_and_shifted(self, x, scale, shift):
        """Multiply and add channel by channel, and prolong the tensor's chain.

        Args:
            x: Tensor with channels last.
            scale: float32 array, one for each channel, or None.
            shift: The same.

        Returns:
            Tensor of the same shape.
        """
        chain = self.chain(x)
        write = operations.scaled_and_shifted
        # Whole numbers before it are exact, so that its result can be.
        if chain is not None or len(self.affine) in self._apart:
            write = operations.scaled_and_shifted_apart
        outputs = write(x, scale, shift)
        self.affine.append(outputs)
        if chain is not None and chain.channels == x.shape[-1]:
            self.set_chain(outputs, chain.with_step(scale, shift))
        if shift is not None:
            self.note_never_minus_zero(outputs)
        return outputs

    def reshaped(self, x, shape):
        """Change the shape of a tensor, of which nothing else changes.

        Args:
            x: The tensor.
            shape: Its new shape, with channels last, or flattened.

        Returns:
            The tensor in this shape.
        """
        outputs = keras.ops.reshape(x, shape)
        self.note_reshaped(x, outputs)
        return outputs

    def needed_apart(self) -> frozenset[int]:
        """Return the numbers of what signs or other steps depend on.

        Converters put a multiplication and an addition into the convolution before
        them, where they are rounded otherwise; then a sign may fall the other way.
        """
        waiting = [before.values.op for _, before in self.decided]
        waiting += [x.op for x in self.stepped]
        seen = set()
        while waiting:
            operation = waiting.pop()
            if operation not in seen:
                seen.add(operation)
                waiting.extend(tensor.op for tensor in operation.inputs)
        return frozenset(number for number, x in enumerate(self.affine) if x.op in seen)

    # ---- signs ----------------------------------------------------------------------

    def before_sign(self, x) -> BeforeSign:
        """Return what decides on the signs of a tensor.

        Args:
            x: The tensor, or one that holds its signs.

        Returns:
            The tensor itself, or where its chain is compared with thresholds, in the
            shape of the chain.
        """
        x = self.source(x)
        chain = self.chain(x)
        if chain is None:
            return BeforeSign(x, None, self.is_never_minus_zero(x))
        if id(x) not in self._before:
            found = decision(chain)
            values = operations.scaled_and_shifted(
                chain.dots,
                None if (found.scale == 1).all() else found.scale,
                found.bias,
                operations.THRESHOLD,
            )
            if chain.pool is not None:
                values = operations.max_pooling(values, chain.pool)
            before = BeforeSign(values, found.flips, never_minus_zero=True)
            self._before[id(x)] = (x, before)
        return self._before[id(x)][1]

    def plain(self, x):
        """Write the signs of a tensor as floats.

        Args:
            x: The tensor, or one that holds its signs.

        Returns:
            Tensor of -1 and 1 in the shape of `x`.
        """
        import tensorflow as tf

        before = self.before_sign(x)
        signs = operations.plain_signs(before.values)
        if before.flips is not None:
            signs = operations.scaled_and_shifted(signs, before.flips, None)
        if self.chain(self.source(x)) is not None or self.are_signs(x):
            signs = tf.reshape(signs, (-1, *x.shape[1:]))
        self.note_signs(signs, x)
        return signs

    # ---- layers that leave signs what they are --------------------------------------

    def after(self, layer, x, outputs):
        """Note what a layer that only moves values has made of a tensor.

        Args:
            layer: Any layer.
            x: Its input.
            outputs: Its output.
        """
        if isinstance(layer, _MOVES_NOTHING) or type(layer) is keras.layers.Activation:
            is_linear = getattr(layer, "activation", None) in (
                None,
                keras.activations.linear,
            )
            if is_linear:
                self.note_reshaped(x, outputs)
        elif type(layer) in _RESHAPES and _is_row_major(layer):
            self.note_reshaped(x, outputs)


_MOVES_NOTHING = (
    keras.layers.Dropout,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.Identity,
    keras.layers.ActivityRegularization,
)
_RESHAPES = (keras.layers.Flatten, keras.layers.Reshape)


def _is_row_major(layer):
    return getattr(layer, "data_format", "channels_last") != "channels_first"

"""Where a tensor of a forward pass comes from, as far as an audit needs to know."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

# Keras has no public way to read the mask that a tensor carries.
from keras.src.backend import get_keras_mask

from kerasbnn.auditing.measurement import KernelMeasurement
from kerasbnn.geometry.accumulators import PairMoments
from kerasbnn.models.batches import to_numpy
from kerasbnn.models.bit_widths import keeps_values
from kerasbnn.quantizers import Quantizer


@dataclass(eq=False)
class FollowingNormalization:
    """The batch normalization that follows a kernel.

    Attributes:
        layer: The batch normalization.
        pairs: Joint moments of what it sees of this kernel, and of what it would see
            with the other weights.
        seen: The same of all kernels that it follows.
    """

    layer: keras.layers.BatchNormalization
    pairs: PairMoments
    seen: PairMoments


class Provenance:
    """Follows tensors through one forward pass at a time.

    Args:
        normalizations: Filled with what was found, by the id of the measurement.
    """

    def __init__(self, normalizations: dict[int, FollowingNormalization]):
        self.normalizations = normalizations
        self.start()

    def start(self):
        """Forget the last forward pass."""
        # By the id of a tensor; `_alive` keeps ids from being given anew.
        self._alive = []
        self._before_quantizer = {}
        self._products: dict[int, tuple[KernelMeasurement, object]] = {}

    def before_quantizer(self, tensor):
        """Return what a quantizer made the tensor from, or None.

        Args:
            tensor: Inputs of a layer.
        """
        return self._before_quantizer.get(id(tensor))

    def add_products(self, outputs, measurement, continuous):
        """Note the outputs of a measured layer.

        Args:
            outputs: What the layer returned.
            measurement: Its measurement.
            continuous: What it would return with continuous weights.
        """
        self._alive.append(outputs)
        self._products[id(outputs)] = measurement, continuous

    def follow(self, layer, proceed, args, kwargs, outputs):
        """Note what a layer that is not measured does to a tensor.

        Args:
            layer: The layer.
            proceed: Function that calls it.
            args: Positional arguments of the call.
            kwargs: Keyword arguments of the call.
            outputs: What the call returned.
        """
        if not args and hasattr(kwargs.get("inputs"), "shape"):
            kwargs = dict(kwargs)
            args = (kwargs.pop("inputs"),)
        if not args or not hasattr(args[0], "shape"):
            return
        source, *others = args
        if isinstance(layer, Quantizer):
            self._alive.append((source, outputs))
            self._before_quantizer[id(outputs)] = source
        elif keeps_values(layer):
            if id(source) in self._before_quantizer:
                raw = self._before_quantizer[id(source)]
                self._alive.append(outputs)
                self._before_quantizer[id(outputs)] = proceed(raw, *others, **kwargs)
            if id(source) in self._products:
                measurement, continuous = self._products[id(source)]
                continuous = proceed(continuous, *others, **kwargs)
                self.add_products(outputs, measurement, continuous)
        elif isinstance(layer, keras.layers.BatchNormalization):
            self._normalize(layer, source, kwargs.get("mask"))

    def _normalize(self, layer, inputs, mask):
        if id(inputs) not in self._products:
            return
        measurement, continuous = self._products[id(inputs)]
        channels = layer.moving_mean.shape[0]
        found = self.normalizations.setdefault(
            id(measurement),
            FollowingNormalization(layer, PairMoments(channels), PairMoments(channels)),
        )
        if found.layer is layer:
            pair = [_by_channel(x, layer.axis) for x in (inputs, continuous)]
            mask = get_keras_mask(inputs) if mask is None else mask
            if mask is not None:
                # What a batch normalization leaves out of its statistics too.
                kept = np.broadcast_to(to_numpy(mask)[..., None], inputs.shape)
                kept = _by_channel(ops.convert_to_tensor(kept), layer.axis)[:, 0] > 0
                pair = [values[kept] for values in pair]
            with np.errstate(over="ignore", invalid="ignore"):
                found.pairs.update(*pair)


def _by_channel(tensor, axis):
    values = np.moveaxis(to_numpy(ops.cast(tensor, "float32")), axis, -1)
    return values.reshape(-1, values.shape[-1])

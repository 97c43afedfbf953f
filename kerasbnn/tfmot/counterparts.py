"""What quantizers of a trained TFMOT model are in Keras 3, with their ranges."""

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from kerasbnn import quantizers
from kerasbnn.tfmot.errors import TranslationError
from kerasbnn.tfmot.range_quantizers import AllValuesQuantizer, RangeQuantizer
from kerasbnn.tfmot.scaled_ternary import ScaledSteTern
from kerasbnn.tfmot.translated_quantizers import PACKAGE, translate

# TFMOT's `FixedQuantizer` takes `num_bits`, but computes with these.
_FIXED_BITS = 8


@dataclass(frozen=True)
class Counterpart:
    """A quantizer of Keras 3, and how it gets what was learnt.

    Attributes:
        quantizer: The quantizer, or None where nothing is quantized.
        settle: To call once the quantizer is built.
    """

    quantizer: keras.layers.Layer | None
    settle: Callable[[], None] = lambda: None


def counterpart_of(
    quantizer, variables, place: str, custom_objects, *, last_axis_is_channels=True
) -> Counterpart:
    """Make the quantizer of Keras 3 for one of TFMOT's.

    Args:
        quantizer: The quantizer of TFMOT.
        variables: What its `build` returned: a dict of variables, or None.
        place: What it quantizes, for errors.
        custom_objects: Classes of Keras 3 by the names of classes of tf_keras.
        last_axis_is_channels: Whether the last axis of what it quantizes has the
            output channels, alone or with the axis before.

    Returns:
        The counterpart, not built.

    Raises:
        TranslationError: There is none.
    """
    cls = type(quantizer)
    if cls.__name__ in custom_objects:
        return Counterpart(
            custom_objects[cls.__name__].from_config(quantizer.get_config())
        )
    if cls.__module__.startswith("kerasbnn."):
        return Counterpart(_few_levels(quantizer))
    if _is_fixed(cls):
        found = AllValuesQuantizer(
            num_bits=_FIXED_BITS, narrow_range=quantizer.narrow_range, trainable=False
        )
        limits = quantizer.init_min, quantizer.init_max
        return Counterpart(found, _set_range(found, *limits))
    try:
        found = translate(quantizer)
    except TypeError as error:
        raise TranslationError(
            f"The {place} has the quantizer {cls.__name__}, which has no counterpart "
            "in Keras 3. Pass a kerasbnn.quantizers.Quantizer that takes its config: "
            f"from_tfmot(model, custom_objects={{{cls.__name__!r}: ...}})."
        ) from error
    if found is None:
        return Counterpart(None)
    if found.has_ranges_of_channels and not last_axis_is_channels:
        raise TranslationError(
            f"The {place} has ranges along its last axis, which are not its output "
            "channels. Quantize it with per_axis=False."
        )
    limits = variables["min_var"].numpy(), variables["max_var"].numpy()
    return Counterpart(found, _set_range(found, *limits))


def _few_levels(quantizer):
    config = quantizer.get_config()
    scale = config.pop("scale")
    if type(quantizer).__name__ == "TernaryQuantizer":
        return ScaledSteTern(**config) if scale else quantizers.SteTern(**config)
    kind = quantizers.MagnitudeAwareSign if scale else quantizers.SteSign
    return kind(**config)


def _is_fixed(cls):
    return any(
        base.__name__ == "FixedQuantizer" and base.__module__.startswith(PACKAGE)
        for base in cls.__mro__
    )


def _set_range(quantizer: RangeQuantizer, lowest, highest):
    def settle():
        for variable, values in (
            (quantizer.min_value, lowest),
            (quantizer.max_value, highest),
        ):
            # Of a depthwise kernel TFMOT has a range per multiplier, for all channels.
            variable.assign(np.broadcast_to(values, tuple(variable.shape)))

    return settle

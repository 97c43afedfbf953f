"""Constraints on latent weights."""

import keras
from keras import ops

from kerasbnn._checks import checked_number, suggestion
from kerasbnn._registration import register


@register
class WeightClip(keras.constraints.Constraint):
    """Clip every weight to `[-clip_value, clip_value]` after each update.

    The straight-through gradient of a sign quantizer is zero outside its clip
    value, so a latent weight that leaves that range would never change again.

    Args:
        clip_value: Largest magnitude a weight may have. Positive float.

    Raises:
        TypeError: `clip_value` is not a number.
        ValueError: `clip_value` is not positive.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.constraints import WeightClip
        >>> clipped = WeightClip(1.0)(np.array([-3.0, 0.25, 2.0], "float32"))
        >>> ops.convert_to_numpy(clipped).tolist()
        [-1.0, 0.25, 1.0]

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830, section 1.4.
    """

    def __init__(self, clip_value=1.0):
        self.clip_value = checked_number(
            "clip_value", clip_value, minimum=0, exclusive=True
        )

    def __call__(self, w):
        return ops.clip(w, -self.clip_value, self.clip_value)

    def get_config(self):
        return {"clip_value": self.clip_value}


ALIASES = {"weight_clip": WeightClip, "WeightClip": WeightClip}


def get(identifier):
    """Turn a name, a config or an instance into a constraint.

    Args:
        identifier: `"weight_clip"`, anything `keras.constraints.get` accepts, or None.

    Returns:
        A constraint instance, or None.

    Raises:
        ValueError: Neither kerasbnn nor Keras knows the identifier.

    Example:
        >>> from kerasbnn import constraints
        >>> constraints.get("weight_clip").clip_value
        1.0
    """
    if not isinstance(identifier, str):
        return keras.constraints.get(identifier)
    if identifier in ALIASES:
        return ALIASES[identifier]()
    try:
        return keras.constraints.get(identifier)
    except ValueError as error:
        raise ValueError(
            f"Unknown constraint {identifier!r}.{suggestion(identifier, ALIASES)} "
            "Known are 'weight_clip' and the names of Keras' own, such as 'max_norm'."
        ) from error

"""Larq's quantizers, by their names there; the sign of 0 is +1.

All of kerasbnn's other quantizers work as well, as instances or by name.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from kerasbnn import quantizers
from kerasbnn.larq import context
from kerasbnn.larq.registration import register
from kerasbnn.larq.utils import set_precision
from kerasbnn.quantizers import (
    ApproxSign,
    DoReFa,
    NoOp,
    Quantizer,
    SteHeaviside,
    SteSign,
    SwishSign,
)
from kerasbnn.quantizers.gradients import (
    as_tensor,
    identity_within,
    widened,
    with_gradient,
)

__all__ = [
    "ApproxSign",
    "DoReFa",
    "DoReFaQuantizer",
    "MagnitudeAwareSign",
    "NoOp",
    "NoOpQuantizer",
    "Quantizer",
    "SteHeaviside",
    "SteSign",
    "SteTern",
    "SwishSign",
]

DoReFaQuantizer = DoReFa
NoOpQuantizer = NoOp
serialize = quantizers.serialize
QuantizerType = Quantizer | Callable[[Any], Any]


@register
class MagnitudeAwareSign(quantizers.MagnitudeAwareSign):
    r"""Sign scaled by the mean magnitude along all axes but the last one.

    Forward: `q(w) = a sign(w)` with `a = mean |w|` over all axes but the last.
    Gradient: `dq/dw = a if |w| <= clip_value else 0`; the scale counts as a constant.

    The last axis is that of the output channels in a dense kernel or a convolution, but
    not in a depthwise or transposed one, where `kerasbnn.quantizers.MagnitudeAwareSign`
    scales each output channel and this one does as Larq.

    Args:
        clip_value: Positive float, or None for a gradient without limit.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        TypeError: `clip_value` is neither a number nor None.
        ValueError: `clip_value` is not positive.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.larq.quantizers import MagnitudeAwareSign
        >>> kernel = np.array([[0.5, -2.0], [-1.5, 4.0]], "float32")
        >>> scaled = MagnitudeAwareSign()(kernel)
        >>> ops.convert_to_numpy(scaled).tolist()
        [[1.0, -3.0], [-1.0, 3.0]]

    Reference:
        Liu et al., Bi-Real Net, arXiv 1808.00278, section 3.3.
    """

    def call(self, inputs, channel_axes=None):
        del channel_axes
        return super().call(inputs, channel_axes=(-1,))


@register
class SteTern(quantizers.SteTern):
    r"""Ternary quantizer with the straight-through gradient; the threshold counts.

    Forward: `q(x) = sign(x) if |x| >= t else 0`, where 0 stays 0.
    Gradient: `dq/dx = 1 if |x| <= clip_value else 0`, the limit included; with
    `clip_value=None` it is 1 everywhere.

    `kerasbnn.quantizers.SteTern` makes values of exactly `t` 0; here, as in Larq's
    code, they are ±1.

    Args:
        threshold_value: Float from 0 on, in the units of `x`.
        ternary_weight_networks: Whether to use `0.7 mean |x|` instead.
        clip_value: Positive float, or None for a gradient without limit.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        TypeError: `threshold_value` or `clip_value` is not a number.
        ValueError: One of them is out of range.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.larq.quantizers import SteTern
        >>> kernel = np.array([-0.3, 0.25, 0.01], "float32")
        >>> levels = SteTern(threshold_value=0.25)(kernel)
        >>> ops.convert_to_numpy(levels).tolist()
        [-1.0, 1.0, 0.0]

    Reference:
        Li et al., Ternary Weight Networks, arXiv 1605.04711.
    """

    def __init__(
        self,
        threshold_value=0.05,
        ternary_weight_networks=False,
        clip_value=1.0,
        **kwargs,
    ):
        super().__init__(threshold_value, ternary_weight_networks, clip_value, **kwargs)

    def call(self, inputs):
        def ternarize(x):
            if self.ternary_weight_networks:
                threshold = ops.cast(0.7 * ops.mean(widened(ops.abs(x))), x.dtype)
            else:
                threshold = as_tensor(self.threshold_value, x)
            is_kept = ops.greater_equal(ops.abs(x), threshold)
            return ops.where(is_kept, ops.sign(x), ops.cast(0, x.dtype))

        return with_gradient(inputs, ternarize, identity_within(self.clip_value))

    def get_config(self):
        config = super().get_config()
        del config["optimal_threshold"]
        return config


def _function(quantizer, x):
    """Call a quantizer that has no weights without making it part of a layer."""
    x = ops.convert_to_tensor(x)
    if "float" not in keras.backend.standardize_dtype(x.dtype):
        x = ops.cast(x, keras.config.floatx())
    return quantizer.call(x)


@register
@set_precision(1)
def ste_sign(x, clip_value=1.0):
    """`SteSign` as a function of a tensor.

    Args:
        x: Tensor of any shape.
        clip_value: Positive float, or None for a gradient without limit.

    Returns:
        Tensor of the same shape.
    """
    return _function(SteSign(clip_value), x)


@register
@set_precision(1)
def approx_sign(x):
    """`ApproxSign` as a function of a tensor.

    Args:
        x: Tensor of any shape.

    Returns:
        Tensor of the same shape.
    """
    return _function(ApproxSign(), x)


@register
@set_precision(1)
def swish_sign(x, beta=5.0):
    """`SwishSign` as a function of a tensor.

    Args:
        x: Tensor of any shape.
        beta: Positive float.

    Returns:
        Tensor of the same shape.
    """
    return _function(SwishSign(beta), x)


@register
@set_precision(2)
def ste_tern(x, threshold_value=0.05, ternary_weight_networks=False, clip_value=1.0):
    """`SteTern` as a function of a tensor.

    Args:
        x: Tensor of any shape.
        threshold_value: Float from 0 on.
        ternary_weight_networks: Whether to use `0.7 mean |x|` instead.
        clip_value: Positive float, or None for a gradient without limit.

    Returns:
        Tensor of the same shape.
    """
    return _function(SteTern(threshold_value, ternary_weight_networks, clip_value), x)


@register
@set_precision(1)
def ste_heaviside(x, clip_value=1.0):
    """`SteHeaviside` as a function of a tensor.

    Args:
        x: Tensor of any shape.
        clip_value: Positive float, or None for a gradient without limit.

    Returns:
        Tensor of the same shape.
    """
    return _function(SteHeaviside(clip_value), x)


@register
@set_precision(1)
def magnitude_aware_sign(x):
    """`MagnitudeAwareSign` as a function of a tensor.

    Args:
        x: Tensor of any shape.

    Returns:
        Tensor of the same shape.
    """
    return _function(MagnitudeAwareSign(), x)


@register
@set_precision(2)
def dorefa_quantizer(x):
    """`DoReFa`, of two bits and for activations, as a function of a tensor.

    Args:
        x: Tensor of any shape.

    Returns:
        Tensor of the same shape.
    """
    return _function(DoReFa(), x)


ALIASES: dict[str, type[Quantizer]] = {
    "approx_sign": ApproxSign,
    "dorefa_quantizer": DoReFa,
    "magnitude_aware_sign": MagnitudeAwareSign,
    "ste_heaviside": SteHeaviside,
    "ste_sign": SteSign,
    "ste_tern": SteTern,
    "swish_sign": SwishSign,
}
CLASSES: dict[str, type[Quantizer]] = {
    **{cls.__name__: cls for cls in (*ALIASES.values(), NoOp)},
    "DoReFaQuantizer": DoReFa,
    "NoOpQuantizer": NoOp,
}
# What Keras' own layers, and `activation` of ours, take by these names.
FUNCTIONS = {
    function.__name__: function
    for function in (
        approx_sign,
        dorefa_quantizer,
        magnitude_aware_sign,
        ste_heaviside,
        ste_sign,
        ste_tern,
        swish_sign,
    )
}


def get(identifier):
    """Turn a name, a config, an instance or a callable into a quantizer.

    Args:
        identifier: A name of Larq's or kerasbnn's, or one that
            `utils.register_alias` has registered; a config dict, also one that Larq has
            written; a callable; or None.

    Returns:
        A callable that maps a tensor to a tensor of the same shape, or None.

    Raises:
        ValueError: The identifier is unknown, or none of the above.

    Example:
        >>> from kerasbnn.larq import quantizers
        >>> quantizers.get("ste_tern").threshold_value
        0.05
    """
    if isinstance(identifier, dict):
        return deserialize(identifier)
    if isinstance(identifier, str) and identifier in (ALIASES | CLASSES):
        identifier = (ALIASES | CLASSES)[identifier]
    try:
        return quantizers.get(identifier)
    except TypeError as error:
        if isinstance(identifier, type):
            raise
        raise ValueError(str(error)) from error


def deserialize(config, custom_objects=None):
    """Make a quantizer from a config dict.

    Args:
        config: What `serialize` returned, here or in Larq.
        custom_objects: Dict of further classes by name, or None.

    Returns:
        The quantizer, or None for None.

    Raises:
        ValueError: The dict names no known quantizer.

    Example:
        >>> from kerasbnn.larq import quantizers
        >>> larqs = {"class_name": "SteTern", "config": {"threshold_value": 0.1}}
        >>> quantizers.deserialize(larqs).threshold_value
        0.1
    """
    with keras.saving.custom_object_scope(custom_objects or {}):
        if isinstance(config, dict) and _is_larqs(config):
            known = ALIASES | CLASSES
            return known[config["class_name"]](**config.get("config") or {})
        return quantizers.deserialize(config)


def _is_larqs(config):
    module = config.get("module") or "larq"
    has_written = module.partition(".")[0] in ("larq", "builtins")
    return has_written and config.get("class_name") in (ALIASES | CLASSES)


def get_kernel_quantizer(identifier):
    """Do as `get`, and ask for the metrics of `context.metrics_scope`.

    Args:
        identifier: As for `get`.

    Returns:
        The quantizer, or None. One that asks for metrics already keeps to them.

    Raises:
        ValueError: The identifier is unknown.

    Example:
        >>> import kerasbnn.larq as lq
        >>> with lq.context.metrics_scope(["flip_ratio"]):
        ...     quantizer = lq.quantizers.get_kernel_quantizer("ste_sign")
        >>> quantizer.requested_metrics
        ['flip_ratio']
    """
    quantizer = get(identifier)
    if isinstance(quantizer, Quantizer) and not quantizer.requested_metrics:
        quantizer.requested_metrics = sorted(context.get_training_metrics())
    return quantizer

"""What all layers of `kerasbnn.larq` share."""

import logging

import keras

from kerasbnn import constraints
from kerasbnn.larq import quantizers
from kerasbnn.larq.activations import hard_tanh, leaky_tanh
from kerasbnn.larq.metrics import FlipRatio
from kerasbnn.larq.quantized_variable import QuantizedVariable
from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.quantizers import NoOp

log = logging.getLogger(__name__)

ACTIVATIONS = {
    **quantizers.FUNCTIONS,
    "hard_tanh": hard_tanh,
    "leaky_tanh": leaky_tanh,
}


class LarqLayer(QuantizedLayer):
    """Mixin: a quantized layer of kerasbnn with Larq's names, scopes and logging.

    Args:
        **kwargs: Arguments of the layer of kerasbnn; names of quantizers, activations
            and constraints are Larq's.
    """

    def __init__(self, **kwargs):
        # In this order, as the numbers in quantizers' names, and so in those of their
        # metrics, go by it.
        for role in self.kernel_roles:
            identifier = kwargs.get(role.quantizer)
            kwargs[role.quantizer] = quantizers.get_kernel_quantizer(identifier)
        kwargs["input_quantizer"] = quantizers.get(kwargs.get("input_quantizer"))
        activation = kwargs.get("activation")
        if isinstance(activation, str) and activation in ACTIVATIONS:
            kwargs["activation"] = ACTIVATIONS[activation]
        kwargs["bias_constraint"] = constraints.get(kwargs.get("bias_constraint"))
        super().__init__(**kwargs)

    def _warn_of_starving(self):
        # Larq logs one line for every such layer, where kerasbnn warns once.
        for role in self.kernel_roles:
            quantizer = getattr(self, role.quantizer)
            is_binary = getattr(quantizer, "precision", None) == 1
            if not is_binary or isinstance(quantizer, NoOp):
                continue
            if getattr(self, role.constraint) is None:
                log.warning(
                    "Layer '%s' has a binary kernel and no `%s`: weights may starve, "
                    'that is get no gradient any more. Pass %s="weight_clip".',
                    self.name,
                    role.constraint,
                    role.constraint,
                )

    def build(self, input_shape):
        super().build(input_shape)
        for role in self.kernel_roles:
            quantizer, variable = (
                getattr(self, role.quantizer),
                getattr(self, role.kernel),
            )
            if quantizer is not None and isinstance(variable, keras.Variable):
                QuantizedVariable.adopt(variable, quantizer, role.channel_axes)

    def make_flip_ratio(self, role, values_dtype):
        name = getattr(getattr(self, role.quantizer), "name", None)
        if name is None:
            return super().make_flip_ratio(role, values_dtype)
        return FlipRatio(name=f"flip_ratio/{name}", values_dtype=values_dtype)


def named(arguments):
    """Return the arguments of a constructor as keywords for the next one.

    Args:
        arguments: What `locals()` is at the start of `__init__`.

    Returns:
        Dict of the named arguments and those in `kwargs`.

    Example:
        >>> from kerasbnn.larq.layers.base import named
        >>> named({"self": None, "units": 3, "kwargs": {"name": "head"}})
        {'units': 3, 'name': 'head'}
    """
    own = {
        name: value
        for name, value in arguments.items()
        if name not in ("self", "kwargs", "__class__")
    }
    return {**own, **arguments.get("kwargs", {})}

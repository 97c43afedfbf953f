"""The base class of quantizers."""

import keras
from keras import ops


class Quantizer(keras.layers.Layer):
    """Base class: a layer that maps real values to few levels.

    A quantizer is what `input_quantizer` and `kernel_quantizer` of the `Quant*` layers
    take; called on a tensor by itself it is an activation layer. To write one, derive
    from this class, define `call`, register the class for saving, and, if it has
    arguments, return them from `get_config`.

    Attributes:
        precision: Bits that one quantized value takes, or None where it is not known.
        starves: Whether weights beyond some magnitude get no gradient, so that a kernel
            under this quantizer needs a clip constraint.
        channelwise: Whether `call` takes `channel_axes`, the axes along which each
            position is a channel of its own.
        stateful: Whether it has weights, so that each layer needs its own instance.

    Args:
        metrics: Names of the metrics that a layer with this kernel quantizer keeps;
            `"flip_ratio"` is the only one.
        **kwargs: Arguments of `keras.layers.Layer`.

    Example:
        >>> @keras.saving.register_keras_serializable(package="mine")
        ... class HalfSign(Quantizer):
        ...     precision = 1
        ...     def call(self, inputs):
        ...         return 0.5 * SteSign()(inputs)
    """

    precision: int | None = None
    starves = False
    channelwise = False
    stateful = False

    def __init__(self, *, metrics=None, **kwargs):
        # Quantizers take each tensor in the dtype it comes in: a kernel in that of the
        # variable, activations in that of the computation.
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.requested_metrics = list(metrics or [])
        self.supports_masking = True
        self._owner = None

    def compute_output_shape(self, input_shape):
        return input_shape

    def claim(self, owner: str, role: str):
        """Note which layer holds this quantizer.

        Args:
            owner: Name of the layer.
            role: The layer's argument that the quantizer came in by.

        Raises:
            ValueError: The quantizer has weights and another place holds it already.
        """
        claimant = f"`{role}` of layer '{owner}'"
        if self.stateful and self._owner is not None:
            raise ValueError(
                f"{type(self).__name__} '{self.name}' has weights of its own and is "
                f"already the {self._owner}, so it cannot also be the {claimant}. "
                f"Give each place its own instance: {type(self).__name__}()."
            )
        self._owner = claimant

    def get_config(self):
        config = super().get_config()
        if self.requested_metrics:
            config["metrics"] = list(self.requested_metrics)
        return config


def plain(value):
    """Return a hyperparameter as a plain Python number, None or string for a config."""
    if isinstance(value, keras.Variable):
        number = ops.convert_to_numpy(value).item()
        return number
    return value

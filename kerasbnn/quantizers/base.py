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
        >>> import keras
        >>> import numpy as np
        >>> from kerasbnn.quantizers import Quantizer, SteSign
        >>> @keras.saving.register_keras_serializable(package="mine")
        ... class HalfSign(Quantizer):
        ...     precision = 1
        ...     def call(self, inputs):
        ...         return 0.5 * SteSign()(inputs)
        >>> halves = HalfSign()(np.array([-3.0, 0.1], "float32"))
        >>> keras.ops.convert_to_numpy(halves).tolist()
        [-0.5, 0.5]

    Reference:
        Larq's base class of the same name; the method is that of Courbariaux et al.,
        arXiv 1602.02830.
    """

    precision: float | None = None
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

    def __call__(self, inputs, *args, **kwargs):
        # A level such as 1/3, or a shift, does not fit an integer.
        if hasattr(inputs, "dtype") and not _is_float(inputs.dtype):
            inputs = ops.cast(inputs, self.compute_dtype)
        return super().__call__(inputs, *args, **kwargs)

    def build_for_channels(self, shape, channel_axes):
        """Make the weights for tensors of one shape, if there are any.

        Args:
            shape: Shape of the tensors to come.
            channel_axes: Axes along which each position is a channel of its own.
        """
        del channel_axes
        self.build(shape)

    def compute_output_shape(self, input_shape):
        return input_shape

    def compute_output_spec(self, inputs, *args, **kwargs):
        # Keras' own would answer in the dtype of the policy.
        return keras.KerasTensor(inputs.shape, dtype=inputs.dtype)

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
    """Return a number as Python's own, or None, for a config.

    Args:
        value: Python or numpy number, scalar Keras variable, or None.

    Returns:
        An int, a float or None.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.quantizers.base import plain
        >>> plain(np.float32(0.5))
        0.5
    """
    if isinstance(value, keras.Variable):
        value = ops.convert_to_numpy(value)
    return value.item() if hasattr(value, "item") else value


def _is_float(dtype):
    return "float" in keras.backend.standardize_dtype(dtype)

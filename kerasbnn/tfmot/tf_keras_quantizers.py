"""Quantizers of few levels for TFMOT: the formulas of `kerasbnn.quantizers`.

Importing this module imports tensorflow-model-optimization.
"""

from kerasbnn._checks import checked_number
from kerasbnn._registration import PACKAGE
from kerasbnn.quantizers.base import plain
from kerasbnn.tfmot.kernels import kernels_of
from kerasbnn.tfmot.loading import load

tfmot, tf_keras, tf = load()

ALIASES = {}
_CHANNEL_AXES = "channel_axes"


class _FewLevels(tfmot.quantization.keras.quantizers.Quantizer):
    """Base class: levels for each value, and one magnitude for each output channel."""

    def __init__(self, clip_value=1.0, scale=False):
        self.clip_value = checked_number(
            "clip_value", clip_value, minimum=0, exclusive=True, optional=True
        )
        self.scale = bool(scale)

    def build(self, tensor_shape, name, layer):
        """Note which axes of a kernel are channels; there are no variables.

        Args:
            tensor_shape: Shape of what will be quantized.
            name: Name of the variable.
            layer: The wrapper around the layer.

        Returns:
            A dict that TFMOT hands to the call.
        """
        del tensor_shape
        if not self.scale:
            return {}
        for kernel in kernels_of(getattr(layer, "layer", None)):
            if kernel.attribute == name:
                return {_CHANNEL_AXES: kernel.channel_axes}
        raise ValueError(
            f"{type(self).__name__}(scale=True) scales kernels of dense layers and "
            f"convolutions, but was given the '{name}' of layer '{layer.name}'. Use "
            "scale=False there."
        )

    def __call__(self, inputs, training, weights, **kwargs):
        del training, kwargs
        values = tf.convert_to_tensor(inputs)
        quantized = _with_gradient(values, self._levels, self.clip_value)
        if not self.scale:
            return quantized
        return tf.stop_gradient(self._magnitude(values, weights)) * quantized

    def _magnitude(self, values, weights):
        channels = {axis % values.shape.rank for axis in weights[_CHANNEL_AXES]}
        axes = [axis for axis in range(values.shape.rank) if axis not in channels]
        magnitudes = tf.cast(tf.abs(values), tf.float32)
        kept = tf.cast(tf.abs(self._levels(values)), tf.float32)
        total = tf.reduce_sum(magnitudes * kept, axes, keepdims=True)
        number = tf.reduce_sum(kept, axes, keepdims=True)
        return tf.cast(tf.math.divide_no_nan(total, number), values.dtype)

    def _levels(self, values):
        raise NotImplementedError

    def get_config(self):
        return {"clip_value": plain(self.clip_value), "scale": self.scale}

    def __eq__(self, other):
        return type(self) is type(other) and self.get_config() == other.get_config()

    def __hash__(self):
        return hash((type(self), *self.get_config().items()))


@tf_keras.saving.register_keras_serializable(package=PACKAGE)
class BinaryQuantizer(_FewLevels):
    """Sign for layers of tf_keras: that of `kerasbnn.quantizers.SteSign`.

    Forward: `q(x) = +1 if x >= 0 else -1`; with `scale`, times the mean magnitude of
    the weights of each output channel, as `MagnitudeAwareSign`.
    Gradient: `dq/dx = 1 if |x| <= clip_value else 0`, times the scale, the limit
    included; with `clip_value=None` it is the scale everywhere.

    Args:
        clip_value: Positive float, or None for a gradient without limit.
        scale: Whether to scale; for kernels only.

    Raises:
        TypeError: `clip_value` is neither a number nor None.
        ValueError: `clip_value` is not positive.

    Example:
        >>> from kerasbnn.tfmot import BinaryQuantizer
        >>> BinaryQuantizer()([-0.3, 0.0, 2.0], True, {}).numpy()
        array([-1.,  1.,  1.], dtype=float32)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830; the scale is
        that of Rastegari et al., XNOR-Net, arXiv 1603.05279.
    """

    def _levels(self, values):
        one = tf.ones((), values.dtype)
        return tf.where(values >= 0, one, -one)


@tf_keras.saving.register_keras_serializable(package=PACKAGE)
class TernaryQuantizer(_FewLevels):
    """Ternary levels for layers of tf_keras: those of `kerasbnn.quantizers.SteTern`.

    Forward: `q(x) = sign(x) if |x| > t else 0`; with `scale`, times the mean magnitude
    of those weights of each output channel that are not 0.
    Gradient: `dq/dx = 1 if |x| <= clip_value else 0`, times the scale, the limit
    included; with `clip_value=None` it is the scale everywhere.

    Args:
        threshold_value: Float from 0 on: the threshold `t`.
        ternary_weight_networks: Whether `t` is `0.7 mean |x|` instead.
        clip_value: Positive float, or None for a gradient without limit.
        optimal_threshold: Whether `t` is the one with the smallest angle between the
            levels and the values.
        scale: Whether to scale; for kernels only.

    Raises:
        TypeError: `threshold_value` or `clip_value` is not a number.
        ValueError: A value out of range, or two threshold rules at once.

    Example:
        >>> from kerasbnn.tfmot import TernaryQuantizer
        >>> TernaryQuantizer()([-0.3, 0.01, 2.0], True, {}).numpy()
        array([-1.,  0.,  1.], dtype=float32)

    Reference:
        Li et al., Ternary Weight Networks, arXiv 1605.04711; Anderson & Berg,
        arXiv 1705.07199 (ternary geometry and its optimal threshold).
    """

    def __init__(
        self,
        threshold_value=0.05,
        ternary_weight_networks=False,
        clip_value=1.0,
        optimal_threshold=False,
        scale=False,
    ):
        super().__init__(clip_value, scale)
        if ternary_weight_networks and optimal_threshold:
            raise ValueError(
                "TernaryQuantizer takes one threshold rule, but both "
                "`ternary_weight_networks` and `optimal_threshold` are True. "
                "Set one of them to False."
            )
        self.threshold_value = checked_number(
            "threshold_value", threshold_value, minimum=0
        )
        self.ternary_weight_networks = bool(ternary_weight_networks)
        self.optimal_threshold = bool(optimal_threshold)

    def _levels(self, values):
        magnitudes = tf.abs(values)
        if self.optimal_threshold:
            # The threshold is itself one of the magnitudes to keep.
            is_kept = magnitudes >= _optimal_threshold(magnitudes)
        elif self.ternary_weight_networks:
            mean = tf.reduce_mean(tf.cast(magnitudes, tf.float32))
            is_kept = magnitudes > tf.cast(0.7 * mean, values.dtype)
        else:
            is_kept = magnitudes > tf.cast(self.threshold_value, values.dtype)
        return tf.where(is_kept, tf.sign(values), tf.zeros((), values.dtype))

    def get_config(self):
        return {
            **super().get_config(),
            "threshold_value": plain(self.threshold_value),
            "ternary_weight_networks": self.ternary_weight_networks,
            "optimal_threshold": self.optimal_threshold,
        }


ALIASES.update(binary=BinaryQuantizer, ternary=TernaryQuantizer)


def _with_gradient(values, forward, clip_value):
    """Apply `forward`; let the gradient pass where `|x| <= clip_value`."""

    @tf.custom_gradient
    def function(x):
        def backward(upstream):
            if clip_value is None:
                return upstream
            return tf.where(tf.abs(x) <= clip_value, upstream, tf.zeros_like(upstream))

        return forward(x), backward

    return function(values)


def _optimal_threshold(magnitudes):
    descending = tf.sort(tf.reshape(magnitudes, [-1]), direction="DESCENDING")
    kept = tf.range(1, tf.size(descending) + 1)
    sums = tf.cumsum(tf.cast(descending, tf.float32))
    return descending[tf.argmax(sums / tf.sqrt(tf.cast(kept, tf.float32)))]

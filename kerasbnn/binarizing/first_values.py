"""The first values of the layers that come in the place of float ones."""

import keras
import numpy as np

from kerasbnn.binarizing.latents import as_latents, power_of, scale_of
from kerasbnn.binarizing.replacements import Replacement
from kerasbnn.geometry.accumulators import Moments
from kerasbnn.models.batches import to_numpy

_LARGEST = np.finfo("float32").max


class FirstValues:
    """Gives one replacement, which is built, its values.

    Args:
        new: The replacement.

    Raises:
        ValueError: A trained weight is NaN or infinite.
    """

    def __init__(self, new: Replacement):
        self.new = new
        self.bias = 0.0
        if new.original.use_bias:
            self.bias = _weights(new, "bias")
        self._set_latents()

    def _set_latents(self):
        layer = self.new.quantized
        scale = power = np.ones(1)
        for role in layer.kernel_roles:
            kernel = _weights(self.new, role.kernel)
            latents = as_latents(kernel, role.channel_axes)
            getattr(layer, role.kernel).assign(latents)
            quantized = to_numpy(layer.quantize_kernel(role.kernel)).astype("float64")
            if role is not layer.kernel_roles[0]:
                # The outputs of one kernel are the inputs of the next.
                kernel = kernel * scale.reshape(-1, 1)
                weighted = quantized * np.sqrt(power.reshape(-1, 1))
            else:
                weighted = quantized
            scale = scale_of(kernel, quantized, role.channel_axes)
            power = power_of(weighted, role.channel_axes)
        self.scale, self.power = scale.reshape(-1), power.reshape(-1)

    def set_norm(self):
        """Let the inserted normalization restore scale and bias: `alpha z + b`.

        Its variance is that of the outputs `z` if the inputs are independent, of mean 0
        and of variance 1.
        """
        norm = self.new.norm
        if norm is None:
            return
        variance = np.where(self.power > 0, self.power, 1)
        norm.moving_variance.assign(variance)
        norm.gamma.assign(self.scale * np.sqrt(variance + norm.epsilon))
        norm.beta.assign(np.broadcast_to(self.bias, self.scale.shape))

    def match(self, moments: Moments):
        """Let the inserted normalization give its outputs a mean and a deviation.

        Args:
            moments: Those of the float layer's outputs, before the activation.
        """
        norm = self.new.norm
        if norm is None:
            return
        # The normalization divides by somewhat more than the deviation of z, which is
        # about that of the float layer over alpha.
        gamma = np.sqrt(moments.variance + norm.epsilon * np.square(self.scale))
        norm.gamma.assign(gamma)
        norm.beta.assign(moments.mean)

    def rescale(
        self,
        original: keras.layers.BatchNormalization,
        norm: keras.layers.BatchNormalization,
    ):
        """Let a normalization of the model take `(x - b) / alpha` for `x`.

        Args:
            original: A normalization that follows the float layer.
            norm: Its copy in the new model.
        """
        mean = to_numpy(original.moving_mean.value).astype("float64")
        variance = to_numpy(original.moving_variance.value).astype("float64")
        scale = np.where(self.scale > 0, self.scale, 1)
        mean = (mean - self.bias) / scale
        variance = (variance + norm.epsilon) / np.square(scale) - norm.epsilon
        # No scale leads from a filter of zeros to its signs.
        mean = np.where(self.scale > 0, mean, 0)
        variance = np.where(self.scale > 0, variance, self.power)
        norm.moving_mean.assign(np.clip(mean, -_LARGEST, _LARGEST))
        norm.moving_variance.assign(np.clip(variance, 0, _LARGEST))


def copy_weights(new: Replacement, linear: keras.layers.Layer):
    """Copy kernels and bias of the float layer to another one of its class.

    Args:
        new: The replacement of the float layer.
        linear: The other layer, built.
    """
    for role in new.quantized.kernel_roles:
        getattr(linear, role.kernel).assign(_weights(new, role.kernel))
    if new.original.use_bias:
        linear.bias.assign(_weights(new, "bias"))


def _weights(new, name):
    values = to_numpy(getattr(new.original, name)).astype("float64")
    if not np.isfinite(values).all():
        raise ValueError(
            f"The {name} of layer '{new.path}' has values that are NaN or infinite. "
            "Train the model again, or name the layer 'continuous' in `plan`."
        )
    return values

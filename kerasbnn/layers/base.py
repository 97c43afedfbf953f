"""What all quantized layers share."""

import warnings
from dataclasses import dataclass

import keras
from keras import ops

# Keras has no public way to read a variable in its own dtype under mixed precision.
from keras.src.backend import AutocastScope

from kerasbnn import constraints, quantizers
from kerasbnn.metrics import FlipRatio, metrics_in_scope
from kerasbnn.quantizers import Quantizer


@dataclass(frozen=True)
class KernelRole:
    """One kernel of a layer, and the names of what belongs to it.

    Attributes:
        kernel: The layer's attribute that holds the latent weights.
        quantizer: The layer's argument and attribute for the quantizer.
        constraint: The layer's argument for the constraint.
        channel_axes: Axes of the kernel along which each position is an output channel.
    """

    kernel: str
    quantizer: str
    constraint: str
    channel_axes: tuple[int, ...] = (-1,)


_has_warned_of_starving = False


class QuantizedLayer(keras.layers.Layer):
    """Mixin: quantizes the inputs and the kernels of the Keras layer after it.

    The latent weights stay in the attributes and files where Keras keeps them; only the
    forward pass sees quantized ones.

    Args:
        *args: Positional arguments of the Keras layer.
        input_quantizer: Quantizer of the inputs; None leaves them as they are.
        metrics: Names of the metrics to keep per kernel; `"flip_ratio"` is the only one.
        **kwargs: Arguments of the Keras layer, and a quantizer for each kernel.
    """

    kernel_roles: tuple[KernelRole, ...] = (
        KernelRole("kernel", "kernel_quantizer", "kernel_constraint"),
    )

    def __init__(self, *args, input_quantizer=None, metrics=None, **kwargs):
        given = {
            role.quantizer: quantizers.get(kwargs.pop(role.quantizer, None))
            for role in self.kernel_roles
        }
        for role in self.kernel_roles:
            kwargs[role.constraint] = constraints.get(kwargs.get(role.constraint))
        super().__init__(*args, **kwargs)
        self.input_quantizer = quantizers.get(input_quantizer)
        for name, quantizer in given.items():
            setattr(self, name, quantizer)
        for name, quantizer in {"input_quantizer": self.input_quantizer, **given}.items():
            if isinstance(quantizer, Quantizer):
                quantizer.claim(self.name, name)
        self._requested_metrics = _checked_metrics(metrics, given.values())
        self._warn_of_starving()

    def _warn_of_starving(self):
        global _has_warned_of_starving
        for role in self.kernel_roles:
            quantizer = getattr(self, role.quantizer)
            starves = getattr(quantizer, "starves", False)
            is_binary = getattr(quantizer, "precision", None) == 1
            if not (starves and is_binary) or getattr(self, role.constraint):
                continue
            if not _has_warned_of_starving:
                _has_warned_of_starving = True
                warnings.warn(
                    f"Layer '{self.name}' has a binary kernel without a clip "
                    "constraint: latent weights that grow beyond the range of "
                    f"{type(quantizer).__name__}'s gradient may never change sign "
                    f'again. Pass {role.constraint}="weight_clip". '
                    "(Said once, for the first such layer.)",
                    UserWarning,
                    stacklevel=4,
                )

    @property
    def input_channel_axes(self):
        """Axes of the inputs along which each position is a channel."""
        channels_first = getattr(self, "data_format", None) == "channels_first"
        return (1,) if channels_first else (-1,)

    def build(self, input_shape):
        super().build(input_shape)
        _build(self.input_quantizer, input_shape, self.input_channel_axes)
        for role in self.kernel_roles:
            kernel = getattr(self, role.kernel)
            _build(getattr(self, role.quantizer), kernel.shape, role.channel_axes)
        self.flip_ratios, self._flip_states = {}, []
        if "flip_ratio" in self._requested_metrics:
            self._add_flip_ratios()

    def _add_flip_ratios(self):
        for role in self.kernel_roles:
            if getattr(self, role.quantizer) is None:
                continue
            kind = "" if role.kernel == "kernel" else f"{role.kernel}_"
            kernel = getattr(self, role.kernel)
            is_binary = getattr(getattr(self, role.quantizer), "precision", None) == 1
            metric = FlipRatio(
                name=f"{self.name}_{kind}flip_ratio",
                values_dtype="int8" if is_binary else kernel.dtype,
            )
            # Tracked here as a layer, since a metric does not track its own.
            self._flip_states.append(metric.build(kernel.shape))
            self.flip_ratios[role.kernel] = metric

    def quantize_inputs(self, inputs):
        """Return the inputs as the layer's operation sees them.

        Args:
            inputs: Tensor of the layer's input shape.

        Returns:
            Tensor of the same shape and dtype.
        """
        return _apply(self.input_quantizer, inputs, self.input_channel_axes)

    def quantize_kernel(self, kernel="kernel", training=False):
        """Return a kernel as the layer's operation sees it.

        Args:
            kernel: Name of the kernel's attribute.
            training: Whether the flips of this kernel count in its metric.

        Returns:
            Tensor of the kernel's shape, in the layer's compute dtype.
        """
        (role,) = [r for r in self.kernel_roles if r.kernel == kernel]
        quantizer = getattr(self, role.quantizer)
        if quantizer is None:
            return getattr(self, kernel)
        # Small weights would lose their sign in half precision, so a kernel is
        # quantized in the dtype it is stored in.
        with AutocastScope(None):
            latent = ops.convert_to_tensor(getattr(self, kernel))
            quantized = _apply(quantizer, latent, role.channel_axes)
            if training and kernel in self.flip_ratios:
                # Of a binary kernel only the signs count, not a scale that moves.
                is_binary = getattr(quantizer, "precision", None) == 1
                values = ops.sign(quantized) if is_binary else quantized
                self.flip_ratios[kernel].update_state(values)
        return ops.cast(quantized, self.compute_dtype)

    def add_bias_and_activate(self, outputs):
        """Finish an operation as Keras' layers do.

        Args:
            outputs: Tensor of the layer's output shape.

        Returns:
            Tensor of the same shape.
        """
        if self.bias is not None:
            bias = self.bias
            if self.input_channel_axes == (1,):
                bias = ops.reshape(bias, (1, -1) + (1,) * self.rank)
            outputs = ops.add(outputs, bias)
        return outputs if self.activation is None else self.activation(outputs)

    def get_config(self):
        config = super().get_config()
        config["input_quantizer"] = quantizers.serialize(self.input_quantizer)
        for role in self.kernel_roles:
            quantizer = getattr(self, role.quantizer)
            config[role.quantizer] = quantizers.serialize(quantizer)
        if self._requested_metrics:
            config["metrics"] = list(self._requested_metrics)
        return config


def _checked_metrics(metrics, kernel_quantizers):
    requested = list(metrics or []) + list(metrics_in_scope())
    for quantizer in kernel_quantizers:
        requested += getattr(quantizer, "requested_metrics", [])
    unknown = sorted(set(requested) - {"flip_ratio"})
    if unknown:
        raise ValueError(
            f"Unknown layer metrics {unknown}. The known one is 'flip_ratio'."
        )
    return sorted(set(requested))


def _build(quantizer, shape, channel_axes):
    if not isinstance(quantizer, Quantizer) or quantizer.built:
        return
    if quantizer.stateful and quantizer.channelwise:
        quantizer.build(shape, channel_axes=channel_axes)
    else:
        quantizer.build(shape)


def _apply(quantizer, tensor, channel_axes):
    if quantizer is None:
        return tensor
    if getattr(quantizer, "channelwise", False):
        return quantizer(tensor, channel_axes=channel_axes)
    return quantizer(tensor)

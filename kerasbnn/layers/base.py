"""What all quantized layers share."""

import sys
import warnings
from dataclasses import dataclass

import keras
from keras import ops

# Keras has no public way to read a variable in its own dtype under mixed precision.
from keras.src.backend import AutocastScope

from kerasbnn import constraints, quantizers
from kerasbnn.metrics import FlipRatio, metrics_in_scope
from kerasbnn.quantizers import NoOp, Quantizer


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


_LIBRARIES = ("kerasbnn", "keras")
_has_warned_of_starving = False


class QuantizedLayer(keras.layers.Layer):
    """Mixin: quantizes the inputs and the kernels of the Keras layer after it.

    The latent weights stay in the attributes and files where Keras keeps them; only the
    forward pass sees quantized ones.

    Args:
        *args: Positional arguments of the Keras layer.
        input_quantizer: Quantizer of the inputs; None leaves them as they are.
        metrics: Names of the metrics to keep per kernel; `"flip_ratio"` is the only
            one.
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
            if role.constraint in kwargs:
                kwargs[role.constraint] = constraints.get(kwargs[role.constraint])
        super().__init__(*args, **kwargs)
        self._requested_metrics = _checked_metrics(metrics, given.values())
        self.input_quantizer = quantizers.get(input_quantizer)
        given = {"input_quantizer": self.input_quantizer, **given}
        for name, quantizer in given.items():
            setattr(self, name, quantizer)
            if isinstance(quantizer, Quantizer):
                quantizer.claim(self.name, name)
        self._refuse_quantized_policy()
        self._warn_of_starving()

    def _refuse_quantized_policy(self):
        quantizer_names = ["input_quantizer"] + [r.quantizer for r in self.kernel_roles]
        used = [name for name in quantizer_names if getattr(self, name) is not None]
        if used and self.quantization_mode is not None:
            raise ValueError(
                f"Layer '{self.name}' has the dtype policy '{self.dtype_policy.name}', "
                "under which Keras computes with its own quantized kernel and would "
                f"ignore `{used[0]}`. Use a float policy, such as dtype='float32' or "
                "dtype='mixed_bfloat16'."
            )

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
                    stacklevel=_stacklevel_of_caller(),
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
            quantizer = getattr(self, role.quantizer)
            _build(quantizer, kernel.shape, role.channel_axes)
            if isinstance(quantizer, NoOp):
                # Not a latent weight: optimizers.Bop asks for variables of one bit.
                kernel.precision = quantizer.precision
        self.flip_ratios, self._flip_states = {}, []
        if "flip_ratio" in self._requested_metrics:
            self._add_flip_ratios()

    def _add_flip_ratios(self):
        for role in self.kernel_roles:
            if getattr(self, role.quantizer) is None:
                continue
            kernel = getattr(self, role.kernel)
            is_binary = getattr(getattr(self, role.quantizer), "precision", None) == 1
            metric = self.make_flip_ratio(role, "int8" if is_binary else kernel.dtype)
            # Tracked here as a layer, since a metric does not track its own.
            self._flip_states.append(metric.build(kernel.shape))
            self.flip_ratios[role.kernel] = metric

    def make_flip_ratio(self, role, values_dtype):
        """Return the metric of one kernel, not built yet.

        Args:
            role: The kernel.
            values_dtype: Dtype to compare its values in.

        Returns:
            A `FlipRatio` with the name that it has in the history of `fit`.
        """
        kind = "" if role.kernel == "kernel" else f"{role.kernel}_"
        return FlipRatio(
            name=f"{self.name}_{kind}flip_ratio", values_dtype=values_dtype
        )

    def quantize_inputs(self, inputs):
        """Return the inputs as the layer's operation sees them.

        Args:
            inputs: Tensor of the layer's input shape.

        Returns:
            Tensor of the same shape and dtype.
        """
        return apply_quantizer(self.input_quantizer, inputs, self.input_channel_axes)

    def quantize_kernel(self, kernel: str = "kernel", training: bool | None = False):
        """Return a kernel as the layer's operation sees it.

        Args:
            kernel: Name of the kernel's attribute.
            training: Whether the flips of this kernel count in its metric.

        Returns:
            Tensor of the kernel's shape, in the layer's compute dtype.

        Raises:
            ValueError: The layer has no kernel of that name, or is not built.
        """
        roles = {role.kernel: role for role in self.kernel_roles}
        if kernel not in roles:
            raise ValueError(
                f"Layer '{self.name}' has no kernel {kernel!r}. It has: "
                f"{', '.join(roles)}."
            )
        if not self.built:
            raise ValueError(
                f"Layer '{self.name}' has no weights yet. Call it on inputs, or its "
                "build() with their shape, before asking for a kernel."
            )
        role = roles[kernel]
        quantizer = getattr(self, role.quantizer)
        if quantizer is None:
            return getattr(self, kernel)
        # Small weights would lose their sign in half precision, so a kernel is
        # quantized in the dtype it is stored in.
        with AutocastScope(None):
            latent = self.latent_kernel(kernel)
            quantized = apply_quantizer(quantizer, latent, role.channel_axes)
            if training and kernel in self.flip_ratios:
                # Of a binary kernel only the signs count, not a scale that moves.
                is_binary = getattr(quantizer, "precision", None) == 1
                values = ops.sign(quantized) if is_binary else quantized
                self.flip_ratios[kernel].update_state(values)
        return ops.cast(quantized, self.compute_dtype)

    def latent_kernel(self, kernel):
        """Return the latent weights behind a kernel, with what LoRA adds to them.

        Args:
            kernel: Name of the kernel's attribute.

        Returns:
            Tensor of the kernel's shape, in the dtype of the variable.
        """
        if kernel == "kernel" and getattr(self, "lora_enabled", False):
            # Keras' property `kernel` would round the sum to the compute dtype.
            update = ops.matmul(self.lora_kernel_a, self.lora_kernel_b)
            return self._kernel + self.lora_alpha / self.lora_rank * update
        variable = getattr(self, kernel)
        # The cast reads the value: a quantizer of the user's own may need a tensor.
        return ops.cast(variable, variable.dtype)

    def save_own_variables(self, store):
        merges_lora = self.built and getattr(self, "lora_enabled", False)
        if not merges_lora or self.kernel_quantizer is None:
            super().save_own_variables(store)
            return
        # Keras merges LoRA in the compute dtype, where small weights lose their sign.
        variables = {}
        super().save_own_variables(variables)
        variables["0"] = self.latent_kernel("kernel")
        for key, value in variables.items():
            store[key] = value

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


def _stacklevel_of_caller():
    """Count frames from that of `warnings.warn` to the first outside the libraries."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and frame.f_globals["__name__"].split(".")[0] in _LIBRARIES:
        level, frame = level + 1, frame.f_back
    return level


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
    if isinstance(quantizer, Quantizer) and not quantizer.built:
        quantizer.build_for_channels(shape, channel_axes)


def apply_quantizer(quantizer, tensor, channel_axes):
    """Quantize a tensor, channel by channel where the quantizer does so.

    Args:
        quantizer: A quantizer, any callable, or None.
        tensor: Tensor of any shape.
        channel_axes: Its axes along which each position is a channel.

    Returns:
        Tensor of the same shape; the tensor itself for None.
    """
    if quantizer is None:
        return tensor
    if getattr(quantizer, "channelwise", False):
        return quantizer(tensor, channel_axes=channel_axes)
    return quantizer(tensor)

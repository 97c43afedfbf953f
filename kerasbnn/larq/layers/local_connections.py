"""Locally connected layers: convolutions with other weights at each position."""

import numbers

import keras
import numpy as np
from keras import ops

from kerasbnn._checks import checked_count
from kerasbnn.larq.layers.local_windows import local_windows


class LocallyConnected(keras.layers.Layer):
    """A layer like a convolution, but with other weights at every position.

    Args:
        rank: Number of spatial axes.
        filters: Number of output channels, a positive integer.
        kernel_size: Size of the window, one int or one for each axis.
        strides: Steps of the window, one int or one for each axis.
        padding: `"valid"`, or `"same"` for implementations 2 and 3.
        data_format: `"channels_last"` or `"channels_first"`; None for Keras' setting.
        activation: Name or function.
        use_bias: Whether to add a bias, one number for each position and filter.
        kernel_initializer: As in Keras.
        bias_initializer: As in Keras.
        kernel_regularizer: As in Keras.
        bias_regularizer: As in Keras.
        kernel_constraint: As in Keras.
        bias_constraint: As in Keras.
        implementation: How the kernel is stored, as in Keras 2: 1, 2 or 3.
        **kwargs: Arguments of `keras.layers.Layer`.

    Raises:
        ValueError: An argument is out of range.
    """

    def __init__(
        self,
        rank,
        filters,
        kernel_size,
        strides,
        padding,
        data_format,
        activation,
        use_bias,
        kernel_initializer,
        bias_initializer,
        kernel_regularizer,
        bias_regularizer,
        kernel_constraint,
        bias_constraint,
        implementation,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.rank = rank
        self.filters = checked_count("filters", filters)
        self.kernel_size = _checked_sizes("kernel_size", kernel_size, rank)
        self.strides = _checked_sizes("strides", strides, rank)
        self.padding = str(padding).lower()
        if implementation not in (1, 2, 3):
            raise ValueError(
                f"`implementation` must be 1, 2 or 3. Received: {implementation!r}."
            )
        allowed = ("valid",) if implementation == 1 else ("valid", "same")
        if self.padding not in allowed:
            raise ValueError(
                f"`padding` must be one of {allowed} for implementation "
                f"{implementation}. Received: {padding!r}."
            )
        self.implementation = implementation
        self.data_format = data_format or keras.config.image_data_format()
        if self.data_format not in ("channels_last", "channels_first"):
            raise ValueError(
                "`data_format` must be 'channels_last' or 'channels_first'. Received: "
                f"{data_format!r}."
            )
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    @property
    def is_channels_first(self):
        """Whether channels come before the spatial axes."""
        return self.data_format == "channels_first"

    def _windows(self, input_shape):
        if len(input_shape) != self.rank + 2:
            raise ValueError(
                f"Layer '{self.name}' takes inputs of {self.rank + 2} axes. Received "
                f"the shape {tuple(input_shape)}."
            )
        sizes = input_shape[2:] if self.is_channels_first else input_shape[1:-1]
        channels = input_shape[1 if self.is_channels_first else -1]
        if None in sizes or channels is None:
            raise ValueError(
                f"Layer '{self.name}' has weights for each position, so all axes of "
                "its inputs but the batch must have a known size. Received the shape "
                f"{tuple(input_shape)}."
            )
        if self.padding == "valid" and any(
            size < reach for size, reach in zip(sizes, self.kernel_size, strict=True)
        ):
            raise ValueError(
                f"The window {self.kernel_size} of layer '{self.name}' is larger than "
                f"its inputs of shape {tuple(input_shape)}."
            )
        return local_windows(
            tuple(sizes),
            self.kernel_size,
            self.strides,
            self.padding == "same",
            channels,
            self.filters,
            self.is_channels_first,
            self.implementation,
        )

    def build(self, input_shape):
        windows = self._windows(input_shape)
        # As numpy arrays outside of Keras' tracking: they are no state.
        self._layout = (windows,)
        self.kernel = self.add_weight(
            shape=windows.kernel_shape,
            initializer=self.kernel_initializer,
            name="kernel",
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(*windows.output_shape, self.filters),
                initializer=self.bias_initializer,
                name="bias",
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        axis = 1 if self.is_channels_first else -1
        self.input_spec = keras.layers.InputSpec(
            ndim=self.rank + 2, axes={axis: input_shape[axis]}
        )
        self.built = True

    def call(self, inputs):
        return self.connect(inputs, self.kernel)

    def connect(self, inputs, kernel):
        """Compute the outputs from inputs and a kernel.

        Args:
            inputs: Tensor of the layer's input shape.
            kernel: Tensor of the kernel's shape.

        Returns:
            Tensor of the layer's output shape.
        """
        (windows,) = self._layout
        if windows.weight_index is not None:
            flat = ops.reshape(kernel, (-1,))
            flat = ops.concatenate([flat, ops.zeros((1,), dtype=flat.dtype)])
            kernel = ops.take(flat, windows.weight_index.astype("int32"), axis=0)
        patches = self._patches(inputs, windows.taps)
        outputs = ops.einsum("bpk,pkf->bpf", patches, kernel)
        shape = (-1, *windows.output_shape, self.filters)
        outputs = ops.reshape(outputs, shape)
        bias = self.bias
        if self.is_channels_first:
            outputs = ops.moveaxis(outputs, -1, 1)
            if bias is not None:
                # Not moved but read in another shape, which is how Keras 2 stores it.
                bias = ops.reshape(bias, (self.filters, *windows.output_shape))
        if bias is not None:
            outputs = ops.add(outputs, bias)
        return outputs if self.activation is None else self.activation(outputs)

    def _patches(self, inputs, taps):
        """Return what each window sees, `(batch, windows, inputs per window)`."""
        # Beyond the border the weights are 0, whatever stands there.
        index = np.maximum(taps, 0).reshape(-1).astype("int32")
        shape = inputs.shape
        if self.is_channels_first:
            flat = ops.reshape(inputs, (-1, shape[1], int(np.prod(shape[2:]))))
            seen = ops.take(flat, index, axis=2)
            seen = ops.reshape(seen, (-1, shape[1], *taps.shape))
            seen = ops.transpose(seen, (0, 2, 1, 3))
        else:
            flat = ops.reshape(inputs, (-1, int(np.prod(shape[1:-1])), shape[-1]))
            seen = ops.take(flat, index, axis=1)
        return ops.reshape(seen, (-1, taps.shape[0], taps.shape[1] * self._channels()))

    def _channels(self):
        return next(iter(self.input_spec.axes.values()))

    def compute_output_shape(self, input_shape):
        sizes = self._windows(input_shape).output_shape
        if self.is_channels_first:
            return (input_shape[0], self.filters, *sizes)
        return (input_shape[0], *sizes, self.filters)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "activation": keras.activations.serialize(self.activation),
            "use_bias": self.use_bias,
            **{
                f"{part}_{kind}": module.serialize(getattr(self, f"{part}_{kind}"))
                for kind, module in (
                    ("initializer", keras.initializers),
                    ("regularizer", keras.regularizers),
                    ("constraint", keras.constraints),
                )
                for part in ("kernel", "bias")
            },
            "activity_regularizer": keras.regularizers.serialize(
                self.activity_regularizer
            ),
            "implementation": self.implementation,
        }


def _checked_sizes(name, value, rank):
    sizes = (value,) * rank if isinstance(value, numbers.Integral) else tuple(value)
    try:
        checked = tuple(checked_count(name, size) for size in sizes)
    except (TypeError, ValueError):
        checked = ()
    if len(checked) != rank:
        raise ValueError(
            f"`{name}` must be a positive integer, or {rank} of them. Received: "
            f"{value!r}."
        )
    return checked

"""The weights that a model computes with, rather than the latent ones behind them."""

import contextlib
import warnings
from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from kerasbnn.layers.base import KernelRole, QuantizedLayer
from kerasbnn.models.layer_paths import checked_model, named_layers


def quantized_weights(
    model: keras.Model, dtype: str = "float32"
) -> dict[str, np.ndarray]:
    """Return every quantized kernel as the forward pass uses it.

    A kernel without a quantizer, a bias and other weights are not among them. Layers
    keep the axes that Keras has: `(in, out)` for a dense kernel,
    `(height, width, in, out)` for a 2D convolution. A layer that is used in several
    places is there once.

    Args:
        model: A built Keras model, of any kind.
        dtype: `"float32"`; or another dtype, such as `"int8"`, that must hold all
            values exactly.

    Returns:
        Dict from `"<path of the layer>/<kernel>"`, such as `"conv_1/kernel"` or
        `"block/separable/pointwise_kernel"`, to arrays. The path is that of
        `models.summary`: the layer's name, after those of the models and layers that it
        is nested in. `np.savez("weights.npz", **quantized_weights(model))` writes them.

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: A layer is not built yet, or values are not exact in `dtype`.

    Example:
        >>> import keras
        >>> from kerasbnn import QuantDense, models
        >>> model = keras.Sequential([
        ...     keras.Input((3,)),
        ...     QuantDense(
        ...         2, kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ...         kernel_initializer="ones", name="head",
        ...     ),
        ... ])
        >>> models.quantized_weights(model, dtype="int8")
        {'head/kernel': array([[1, 1],
               [1, 1],
               [1, 1]], dtype=int8)}
    """
    return {
        f"{path}/{role.kernel}": _in_dtype(_quantized(layer, role), dtype, path, role)
        for path, layer, role in _quantized_kernels(model)
    }


@contextlib.contextmanager
def quantized_scope(model: keras.Model) -> Iterator[keras.Model]:
    """Put the quantized values in the place of the latent weights for a while.

    Inside, `get_weights`, `save_weights` and `save` of the model give the values that
    the forward pass uses, exactly ±1 for a sign quantizer; at the end, also after an
    exception, every latent weight is back bit for bit. What is trained inside is lost.

    Larq's `quantized_scope(True)` is about the whole process; this one is about the
    layers of one model.

    The forward pass quantizes the values once more. That changes nothing for signs; for
    a quantizer where it does, such as `DoReFa` with more bits, a warning says so, since
    a model saved inside the scope would then compute something else.

    Args:
        model: A built Keras model, of any kind.

    Yields:
        The model.

    Raises:
        TypeError: `model` is not a Keras model.
        ValueError: A layer is not built yet, or has LoRA enabled.

    Example:
        >>> import keras, numpy as np
        >>> from kerasbnn import QuantDense, models
        >>> model = keras.Sequential([
        ...     keras.Input((3,)),
        ...     QuantDense(
        ...         2, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
        ...     ),
        ... ])
        >>> with models.quantized_scope(model):
        ...     kernel = model.get_weights()[0]
        >>> np.unique(np.abs(kernel))
        array([1.], dtype=float32)

    Reference:
        Named after the scope of the same purpose in Larq.
    """
    swapped = []
    try:
        unstable = []
        for path, layer, role in _quantized_kernels(model):
            variable = getattr(layer, role.kernel)
            if not isinstance(variable, keras.Variable):
                raise ValueError(
                    f"Layer '{path}' has LoRA enabled: its kernel is a sum of several "
                    "variables, so quantized values cannot be put in its place. Use "
                    "`quantized_weights` for the values."
                )
            latent, quantized = _copy(variable), _quantized(layer, role)
            swapped.append((variable, latent))
            variable.assign(quantized)
            # A scale is a mean, so rounding may move its last digit.
            if not np.allclose(_quantized(layer, role), quantized, rtol=1e-5):
                unstable.append(f"{path}/{role.kernel}")
        if unstable:
            warnings.warn(
                f"Quantizing the quantized values of {', '.join(unstable)} once more "
                "changes them, so inside `quantized_scope` the model computes "
                "something else, and so does a model saved there. For the values alone "
                "use `quantized_weights`.",
                UserWarning,
                stacklevel=3,
            )
        yield model
    finally:
        # The last one first: layers may share a variable.
        for variable, latent in reversed(swapped):
            variable.assign(latent)


def _quantized_kernels(
    model,
) -> Iterator[tuple[str, QuantizedLayer, KernelRole]]:
    checked_model(model)
    for path, layer in named_layers(model):
        if not isinstance(layer, QuantizedLayer):
            continue
        if not layer.built:
            raise ValueError(
                f"Layer '{path}' has no weights yet. Build the model first: give it a "
                "keras.Input, or call it on data."
            )
        for role in layer.kernel_roles:
            if getattr(layer, role.quantizer) is not None:
                yield path, layer, role


def _quantized(layer, role):
    """Return what the operation gets, rounded as it is under mixed precision."""
    values = ops.convert_to_numpy(layer.quantize_kernel(role.kernel))
    return values.astype("float32") if values.dtype.itemsize < 4 else values


def _copy(variable):
    # On some backends the array shares the variable's memory.
    return np.array(ops.convert_to_numpy(variable.value))


def _in_dtype(values, dtype, path, role):
    with np.errstate(invalid="ignore"):
        converted = values.astype(dtype)
    if not np.array_equal(converted.astype(values.dtype), values):
        examples = ", ".join(f"{v:g}" for v in np.unique(values)[:3])
        raise ValueError(
            f"The weights of '{path}/{role.kernel}' are not exact in dtype {dtype!r}: "
            f'they include {examples}. Use dtype="{values.dtype.name}".'
        )
    return converted

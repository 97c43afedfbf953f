"""How many bits the weights and the inputs of a layer take."""

import re

import keras

from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.call_tracing import LayerCall
from kerasbnn.quantizers import Quantizer

FLOAT_BITS = 32


def keras_layers(*names: str) -> tuple[type[keras.layers.Layer], ...]:
    """Return the layer classes of these names, of those that this Keras has.

    Args:
        *names: Names in `keras.layers`.

    Returns:
        Classes, for `isinstance`.

    Example:
        >>> from kerasbnn.models.bit_widths import keras_layers
        >>> [cls.__name__ for cls in keras_layers("ReLU", "NotThere")]
        ['ReLU']
    """
    found = (getattr(keras.layers, name, None) for name in names)
    return tuple(cls for cls in found if cls is not None)


# Layers whose outputs are values of their inputs, in inference mode. The zeros of a
# padding count as the zeros that a convolution's own padding adds: as nothing.
VALUE_KEEPING = keras_layers(
    *(
        f"{kind}{rank}D"
        for rank in (1, 2, 3)
        for kind in (
            *("MaxPooling", "GlobalMaxPooling", "AdaptiveMaxPooling"),
            *("Cropping", "ZeroPadding", "SpatialDropout"),
        )
    ),
    *("Flatten", "Reshape", "Permute", "RepeatVector", "Identity", "Concatenate"),
    *("Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise"),
    *("ActivityRegularization", "UpSampling1D", "UpSampling3D"),
)


def keeps_values(layer: keras.layers.Layer) -> bool:
    """Tell whether a layer's outputs are values that its inputs have.

    Args:
        layer: Any layer.

    Returns:
        True for pooling by maximum, reshaping, dropout in inference, and the like.

    Example:
        >>> import keras
        >>> from kerasbnn.models.bit_widths import keeps_values
        >>> keeps_values(keras.layers.Flatten()), keeps_values(keras.layers.ReLU())
        (True, False)
    """
    if isinstance(layer, keras.layers.UpSampling2D):
        return layer.interpolation == "nearest"
    return isinstance(layer, VALUE_KEEPING)


def known_precision(quantizer) -> float | None:
    """Return the bits of a quantizer's values, or None where it does not say.

    Args:
        quantizer: A quantizer, any callable, or None.

    Returns:
        Bits per value.

    Example:
        >>> from kerasbnn.models.bit_widths import known_precision
        >>> from kerasbnn.quantizers import SteTern
        >>> known_precision(SteTern())
        2
    """
    return getattr(quantizer, "precision", None)


def stored_bits(variable: keras.Variable) -> int:
    """Return the bits of one element of a variable as Keras stores it.

    Args:
        variable: A Keras variable.

    Returns:
        Bits per element, such as 32 for `float32`.

    Example:
        >>> import keras
        >>> from kerasbnn.models.bit_widths import stored_bits
        >>> stored_bits(keras.Variable([1, 2], dtype="int8"))
        8
    """
    digits = re.search(r"\d+", keras.backend.standardize_dtype(variable.dtype))
    # A bool takes a byte.
    return int(digits[0]) if digits else 8


def kernel_bits(layer: keras.layers.Layer) -> dict[str, float]:
    """Return the bits per weight of a layer's quantized kernels.

    Args:
        layer: Any layer.

    Returns:
        Dict from the name of a kernel's attribute to bits; a kernel without an entry
        counts as it is stored.

    Example:
        >>> from kerasbnn import QuantDense
        >>> from kerasbnn.models.bit_widths import kernel_bits
        >>> kernel_bits(QuantDense(4, kernel_quantizer="ste_tern"))
        {'kernel': 2}
    """
    if not isinstance(layer, QuantizedLayer):
        return {}
    bits = {
        role.kernel: known_precision(getattr(layer, role.quantizer))
        for role in layer.kernel_roles
    }
    return {kernel: value for kernel, value in bits.items() if value is not None}


def stored_kernel(layer: keras.layers.Layer, kernel: str) -> keras.Variable:
    """Return the variable behind a kernel, also where `kernel` is a property.

    Args:
        layer: A built layer.
        kernel: Name of the kernel's attribute.

    Returns:
        The variable; under LoRA the one that is trained no longer.

    Example:
        >>> import keras
        >>> from kerasbnn.models.bit_widths import stored_kernel
        >>> layer = keras.layers.Dense(2)
        >>> layer.build((None, 3))
        >>> stored_kernel(layer, "kernel") is layer.kernel
        True
    """
    variable = getattr(layer, f"_{kernel}", None)
    return getattr(layer, kernel) if variable is None else variable


def input_bits(calls: list[LayerCall]) -> list[float]:
    """Find how many bits the inputs of each call take, as its operation sees them.

    They are those of the layer's own input quantizer; else those of the quantizer, used
    as a layer or as an activation, that made the tensor, also through layers that keep
    values; else 32. Of several inputs the widest counts.

    Args:
        calls: All calls of one forward pass, in order.

    Returns:
        Bits per value, one for each call.

    Example:
        >>> import keras
        >>> from kerasbnn.models.bit_widths import input_bits
        >>> from kerasbnn.models.call_tracing import trace_shapes
        >>> from kerasbnn.quantizers import SteSign
        >>> model = keras.Sequential([SteSign(name="sign"), keras.layers.Flatten()])
        >>> model.build((None, 2, 2))
        >>> calls = trace_shapes(model, keras.KerasTensor((1, 2, 2)))
        >>> [call.path for call in calls], input_bits(calls)
        (['', 'sign', 'flatten'], [32, 32, 1])
    """
    # Bits by tensor; the calls keep the tensors alive, so an id stays one tensor's.
    known: dict[int, float] = {}
    found = []
    for call in calls:
        bits = max(
            (known.get(id(x), FLOAT_BITS) for x in call.inputs), default=FLOAT_BITS
        )
        if isinstance(call.layer, Quantizer):
            made = known_precision(call.layer)
        else:
            made = bits if keeps_values(call.layer) else None
        if made is not None:
            known.update((id(x), made) for x in call.output_tensors)
        own = known_precision(getattr(call.layer, "input_quantizer", None))
        found.append(bits if own is None else own)
    return found

"""What layers weigh and do, by Larq's rules."""

import math
from dataclasses import dataclass

import keras

from kerasbnn.layers.base import QuantizedLayer

_K = keras.layers
# Those whose products Larq counts; it takes a transposed convolution for one of them.
_WITH_MACS = (
    _K.Conv1D,
    _K.Conv1DTranspose,
    _K.Conv2D,
    _K.Conv2DTranspose,
    _K.Dense,
    _K.DepthwiseConv2D,
    _K.SeparableConv1D,
    _K.SeparableConv2D,
)
# Those that do no products at all. Of others Larq says that it does not know.
_WITHOUT_MACS = (
    _K.AveragePooling1D,
    _K.AveragePooling2D,
    _K.BatchNormalization,
    _K.Flatten,
    _K.MaxPooling1D,
    _K.MaxPooling2D,
)


@dataclass(frozen=True)
class WeightGroup:
    """One variable of a layer.

    Attributes:
        count: Number of weights.
        bits: Bits of each.
        trainable: Whether training changes them.
        is_bias: Whether they are added rather than multiplied.
    """

    count: int
    bits: int
    trainable: bool
    is_bias: bool


@dataclass(frozen=True)
class LayerProfile:
    """What one layer, or a model inside another, weighs and does.

    Attributes:
        name: Name of the layer.
        input_bits: Bits of its `input_quantizer`, or None.
        output_shape: Shape or list of shapes, None for unknown sizes; None if unknown.
        weights: Its variables, those that a BatchNormalization fuses left out.
        macs: Multiply-accumulates per sample by bits, the larger of those of the input
            and the weight; None where they are not known.
    """

    name: str
    input_bits: int | None
    output_shape: tuple | list | None
    weights: tuple[WeightGroup, ...]
    macs: dict[int, int] | None

    def count(self, bits=None, trainable=None) -> int:
        """Count weights, all or those of so many bits, trainable or not.

        Args:
            bits: Bits of the weights to count; None for all.
            trainable: Whether they are trainable; None for all.

        Returns:
            Their number.
        """
        return sum(
            group.count
            for group in self.weights
            if bits in (None, group.bits) and trainable in (None, group.trainable)
        )

    def memory(self, float_bits=None) -> int:
        """Return the size of the weights.

        Args:
            float_bits: Bits to take for weights of more than 8; None for their own.

        Returns:
            Number of bits.
        """
        return sum(
            group.count * (float_bits if float_bits and group.bits > 8 else group.bits)
            for group in self.weights
        )


def model_profiles(model) -> list[LayerProfile]:
    """Profile the layers of a model in the order of `model.layers`.

    Args:
        model: A built Keras model. A model inside counts as one layer.

    Returns:
        One profile for each layer.

    Example:
        >>> import keras
        >>> from kerasbnn.larq.layer_profiles import model_profiles
        >>> model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        >>> (profile,) = model_profiles(model)
        >>> profile.count(), profile.memory(), profile.macs
        (8, 256, {32: 6})
    """
    return [_profile(layer) for layer in model.layers]


def _profile(layer):
    if isinstance(layer, keras.Model):
        return _model_profile(layer)
    weights = _weights(layer)
    input_bits = getattr(getattr(layer, "input_quantizer", None), "precision", None)
    shape = _output_shape(layer)
    return LayerProfile(
        name=layer.name,
        input_bits=input_bits,
        output_shape=shape,
        weights=weights,
        macs=_macs(layer, weights, input_bits, shape),
    )


def _model_profile(model):
    parts = model_profiles(model)
    macs: dict[int, int] = {}
    for part in parts:
        for bits, count in (part.macs or {}).items():
            macs[bits] = macs.get(bits, 0) + count
    return LayerProfile(
        name=model.name,
        input_bits=parts[0].input_bits if parts else None,
        output_shape=parts[-1].output_shape if parts else None,
        weights=tuple(group for part in parts for group in part.weights),
        macs=macs,
    )


def _weights(layer):
    bits = {}
    if isinstance(layer, QuantizedLayer) and layer.built:
        for role in layer.kernel_roles:
            precision = getattr(getattr(layer, role.quantizer), "precision", None)
            bits[id(getattr(layer, role.kernel))] = precision
    variables = list(layer.weights)
    if isinstance(layer, keras.layers.BatchNormalization):
        # At inference one scale and one shift per channel are left of four numbers.
        names = [variable.name for variable in variables]
        fused = [
            learned
            for learned, moving in (
                ("beta", "moving_mean"),
                ("gamma", "moving_variance"),
            )
            if {learned, moving} <= set(names)
        ]
        variables = [v for v in variables if v.name not in fused]
    trainable = {id(variable) for variable in layer.trainable_weights}
    return tuple(
        WeightGroup(
            count=math.prod(variable.shape),
            bits=bits.get(id(variable)) or getattr(variable, "precision", None) or 32,
            trainable=id(variable) in trainable,
            is_bias="bias" in variable.name,
        )
        for variable in variables
    )


def _macs(layer, weights, input_bits, shape):
    is_known = isinstance(layer, (*_WITH_MACS, *_WITHOUT_MACS))
    positions = _positions(layer, shape)
    if not is_known or not positions:
        return None
    macs: dict[int, int] = {}
    if isinstance(layer, _WITH_MACS):
        for group in weights:
            if not group.is_bias:
                bits = max(input_bits or 32, group.bits)
                macs[bits] = macs.get(bits, 0) + group.count * positions
    return macs


def _positions(layer, shape):
    """Return the number of places at which a kernel is applied; None if unknown."""
    if not isinstance(shape, tuple):
        return None
    if getattr(layer, "data_format", None) == "channels_first":
        places = shape[2:]
    else:
        places = shape[1:-1]
    if len(places) > 2 or None in places:
        return None
    return math.prod(places)


def _output_shape(layer):
    try:
        output = layer.output
    except (AttributeError, ValueError):
        return None
    shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(output)]
    return shapes[0] if len(shapes) == 1 else shapes

"""The kernels of a model whose weights can be swapped for others."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from kerasbnn import layers as quantized_layers
from kerasbnn._checks import suggestion
from kerasbnn.layers.base import KernelRole, QuantizedLayer
from kerasbnn.models.layer_paths import checked_model, named_layers
from kerasbnn.quantizers import NoOp

# Keras' dense and convolutional layers: their kernels, and the axes of the channels.
_ROLES: dict[type, tuple[KernelRole, ...]] = {
    getattr(keras.layers, name.removeprefix("Quant")): cls.kernel_roles
    for name, cls in vars(quantized_layers).items()
    if isinstance(cls, type) and issubclass(cls, QuantizedLayer)
}


@dataclass(frozen=True)
class SwappableKernel:
    """A kernel that can be swapped.

    Attributes:
        path: Path of its layer.
        layer: The layer.
        role: The names of what belongs to the kernel.
    """

    path: str
    layer: keras.layers.Layer
    role: KernelRole

    @property
    def variable(self) -> keras.Variable:
        """The variable that holds the weights; under LoRA there is no such one."""
        return getattr(self.layer, self.role.kernel)


def swappable_layers(
    model: keras.Model, direction: str
) -> dict[str, list[SwappableKernel]]:
    """Find the layers whose weights can be swapped.

    Args:
        model: A Keras model, of any kind.
        direction: `"continuous"` for those with latent weights behind quantized ones,
            `"binary"` for those with float kernels.

    Returns:
        The kernels by the path of their layer, in the order of the layers.

    Raises:
        TypeError: `model` is not a Keras model.

    Example:
        >>> import keras
        >>> from kerasbnn.models.swappable_kernels import swappable_layers
        >>> model = keras.Sequential([keras.layers.Dense(2, name="head")])
        >>> list(swappable_layers(model, "binary"))
        ['head']
    """
    checked_model(model)
    is_swappable = _has_latent if direction == "continuous" else _is_float
    found = {}
    for path, layer in named_layers(model):
        kernels = [
            SwappableKernel(path, layer, role)
            for role in _roles(layer)
            if is_swappable(layer, role)
        ]
        if kernels:
            found[path] = kernels
    return found


def chosen_layers(
    model: keras.Model, layers: Sequence[str] | None, direction: str
) -> dict[str, list[SwappableKernel]]:
    """Return those layers that are to be swapped, or raise.

    Args:
        model: A Keras model, of any kind.
        layers: Paths, or None for all that can be swapped.
        direction: `"continuous"` or `"binary"`.

    Returns:
        The kernels by the path of their layer.

    Raises:
        TypeError: `model` is not a Keras model, or `layers` not a list of paths.
        ValueError: There is nothing to swap in the model or in a layer, or a layer is
            not built, or has LoRA enabled.

    Example:
        >>> import keras
        >>> from kerasbnn.models.swappable_kernels import chosen_layers
        >>> dense = keras.layers.Dense(2, name="head")
        >>> model = keras.Sequential([keras.Input((3,)), dense])
        >>> list(chosen_layers(model, ["head"], "binary"))
        ['head']
    """
    found = swappable_layers(model, direction)
    if layers is None:
        if not found:
            kind = "quantized" if direction == "continuous" else "float"
            raise ValueError(
                f"Model '{model.name}' has no {kind} dense or convolutional layer "
                f"whose weights could be swapped for {direction} ones."
            )
        if direction == "continuous":
            _warn_of_no_latents(model, found)
    else:
        paths = checked_paths(model, layers)
        found = {path: found.get(path, []) for path in paths}
        by_path = dict(named_layers(model))
        for path, kernels in found.items():
            if not kernels:
                reason = _reason(by_path[path], direction)
                raise ValueError(f"Layer '{path}' cannot be swapped: {reason}")
    for path, kernels in found.items():
        if not kernels[0].layer.built:
            raise ValueError(
                f"Layer '{path}' has no weights yet. Build the model first: give it a "
                "keras.Input, or call it on data."
            )
        # Latent weights may be a sum; quantized ones are put in their variable.
        if direction == "binary" and not all(
            isinstance(kernel.variable, keras.Variable) for kernel in kernels
        ):
            raise ValueError(
                f"Layer '{path}' has LoRA enabled: its kernel is a sum of several "
                "variables, so quantized values cannot be put in its place. Save the "
                "model and load it again, which merges them."
            )
    return found


def checked_paths(model: keras.Model, layers: Sequence[str]) -> list[str]:
    """Return paths of layers, each once, if the model has them all, or raise.

    Args:
        model: A Keras model, of any kind.
        layers: Paths of layers.

    Returns:
        The paths, in the order given.

    Raises:
        TypeError: `layers` is not a list of strings.
        ValueError: A layer is unknown, or there is none.

    Example:
        >>> import keras
        >>> from kerasbnn.models.swappable_kernels import checked_paths
        >>> model = keras.Sequential([keras.layers.Dense(2, name="head")])
        >>> checked_paths(model, ["head", "head"])
        ['head']
    """
    is_list = isinstance(layers, (list, tuple, set, frozenset, dict))
    if not is_list or not all(isinstance(path, str) for path in layers):
        raise TypeError(
            "Expected a list of paths of layers as `layers`, such as ['conv_1', "
            f"'block/conv'], or None. Received: {layers!r}."
        )
    if not layers:
        raise ValueError("`layers` is empty. Name at least one layer, or pass None.")
    known = [path for path, _ in named_layers(model)]
    for path in layers:
        if path not in known:
            raise ValueError(
                f"Model '{model.name}' has no layer '{path}'."
                f"{suggestion(path, known)} Paths are those of models.summary."
            )
    return list(dict.fromkeys(layers))


def _roles(layer) -> tuple[KernelRole, ...]:
    if isinstance(layer, QuantizedLayer):
        return layer.kernel_roles
    for keras_class, roles in _ROLES.items():
        if isinstance(layer, keras_class):
            return roles
    return ()


def _quantizer_of(layer, role):
    # Keras' own layers have no such attribute.
    return getattr(layer, role.quantizer, None)


def _has_latent(layer, role):
    quantizer = _quantizer_of(layer, role)
    return quantizer is not None and not isinstance(quantizer, NoOp)


def _is_float(layer, role):
    # Under a policy such as int8 the kernel holds integers.
    is_quantized_policy = getattr(layer, "quantization_mode", None) is not None
    return _quantizer_of(layer, role) is None and not is_quantized_policy


def _reason(layer, direction):
    """Say why a layer cannot be swapped, and what to do."""
    roles = _roles(layer)
    if not roles:
        return (
            f"a {type(layer).__name__} is neither a dense layer nor a convolution. "
            "Name the layers that hold the kernels, as models.summary lists them."
        )
    if any(isinstance(_quantizer_of(layer, role), NoOp) for role in roles):
        return (
            "under the quantizer NoOp, as optimizers.Bop trains it, its kernel is "
            "what it computes with, and there are no latent weights behind it. Leave "
            "it out."
        )
    if direction == "continuous":
        return (
            "it has no kernel quantizer, so it computes with continuous weights "
            "already. Leave it out, or swap in the direction 'binary'."
        )
    return (
        "its weights are quantized already. Leave it out, or swap in the direction "
        "'continuous'."
    )


def _warn_of_no_latents(model, found):
    skipped = [
        path
        for path, layer in named_layers(model)
        if path not in found
        and any(isinstance(_quantizer_of(layer, role), NoOp) for role in _roles(layer))
    ]
    if skipped:
        warnings.warn(
            f"Layer {', '.join(skipped)} has the quantizer NoOp, so no latent weights "
            "behind those it computes with: it stays as it is.",
            UserWarning,
            stacklevel=5,
        )

"""Scopes in which layers compute with other weights than their own for a while."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasbnn import quantizers
from kerasbnn.models.batches import to_numpy
from kerasbnn.models.layer_paths import named_layers
from kerasbnn.models.swappable_kernels import SwappableKernel, chosen_layers


@contextlib.contextmanager
def continuous_scope(
    model: keras.Model, layers: Sequence[str] | None = None
) -> Iterator[keras.Model]:
    """Let quantized layers compute with their latent weights for a while.

    Inside, the forward pass of these layers takes the kernels as they are stored;
    inputs are quantized as ever. `predict`, `evaluate` and `fit` compile their
    functions anew inside; at the end, also after an exception, the quantizers and the
    functions compiled before are back. What is trained inside stays. A function that
    you compiled yourself, or that another model with the same layers has compiled, may
    keep the quantized weights. Other threads see the same model.

    A kernel under `quantizers.NoOp` (as `optimizers.Bop` trains it) is not quantized in
    the forward pass and has no latent weights: it stays as it is.

    Args:
        model: A built Keras model, of any kind.
        layers: Paths of layers as in `models.summary`, such as `["conv_2"]` or
            `["block/conv"]`; None for all that have latent weights.

    Yields:
        The model.

    Raises:
        TypeError: `model` is not a Keras model, or `layers` not a list of paths.
        ValueError: A layer is unknown, not built, or has no latent weights; there is
            no such layer; or it runs inside of a `call` that a decorator compiles.

    Example:
        >>> import keras, numpy as np
        >>> from kerasbnn import QuantDense
        >>> from kerasbnn.models.weight_swap import continuous_scope
        >>> model = keras.Sequential([
        ...     keras.Input((4,)),
        ...     QuantDense(
        ...         1, kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ...         kernel_initializer=keras.initializers.Constant(0.25),
        ...     ),
        ... ])
        >>> x = np.ones((1, 4))
        >>> with continuous_scope(model):
        ...     inside = float(model(x)[0, 0])
        >>> inside, float(model(x)[0, 0])
        (1.0, 4.0)

    Reference:
        Anderson & Berg, arXiv 1705.07199: replacing the binary by the continuous
        weights of a trained network.
    """
    chosen = chosen_layers(model, layers, "continuous")
    _refuse_compiled_calls(model, chosen)
    with contextlib.ExitStack() as at_the_end:
        at_the_end.enter_context(_functions_compiled_anew(model))
        for kernels in chosen.values():
            for kernel in kernels:
                name = kernel.role.quantizer
                quantizer = getattr(kernel.layer, name)
                at_the_end.callback(setattr, kernel.layer, name, quantizer)
                setattr(kernel.layer, name, None)
        yield model


@contextlib.contextmanager
def binarized_scope(
    model: keras.Model, layers: Sequence[str] | None = None, quantizer: Any = "ste_sign"
) -> Iterator[keras.Model]:
    """Let float layers compute with quantized weights for a while.

    Inside, the kernels of these layers hold `quantizer(kernel)`; inputs stay as they
    are. At the end, also after an exception, every kernel is back bit for bit; what is
    trained inside is lost. Float layers are Keras' dense layers and convolutions
    (depthwise, separable and transposed ones too), and `Quant*` layers for the kernels
    that have no quantizer.

    Args:
        model: A built Keras model, of any kind.
        layers: Paths of layers as in `models.summary`; None for all float layers.
        quantizer: Name, config or callable, as for the `Quant*` layers, that has no
            weights of its own.

    Yields:
        The model.

    Raises:
        TypeError: `model` is not a Keras model, or `layers` not a list of paths.
        ValueError: A layer is unknown, not built, not a float layer, or has LoRA
            enabled; there is no float layer; weights are NaN or infinite; or the
            quantizer is not usable.

    Example:
        >>> import keras, numpy as np
        >>> from kerasbnn.models.weight_swap import binarized_scope
        >>> model = keras.Sequential([
        ...     keras.Input((4,)),
        ...     keras.layers.Dense(
        ...         1, kernel_initializer=keras.initializers.Constant(0.25)
        ...     ),
        ... ])
        >>> x = np.ones((1, 4))
        >>> with binarized_scope(model):
        ...     inside = float(model(x)[0, 0])
        >>> inside, float(model(x)[0, 0])
        (4.0, 1.0)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """
    quantize = checked_quantizer(quantizer)
    chosen = chosen_layers(model, layers, "binary")
    values = [
        (kernel.variable, _quantized(kernel, quantize))
        for kernels in chosen.values()
        for kernel in kernels
    ]
    with assigned(values):
        yield model


@contextlib.contextmanager
def assigned(values: Sequence[tuple[keras.Variable, object]]) -> Iterator[None]:
    """Give variables other values for a while.

    Args:
        values: Pairs of a variable and an array of its shape.

    Example:
        >>> import keras
        >>> from kerasbnn.models.weight_swap import assigned
        >>> variable = keras.Variable([1.0])
        >>> with assigned([(variable, [2.0])]):
        ...     float(variable[0])
        2.0
        >>> float(variable[0])
        1.0
    """
    # It undoes in reverse order, also where a variable is there twice.
    with contextlib.ExitStack() as at_the_end:
        for variable, value in values:
            at_the_end.callback(variable.assign, copied(variable))
            variable.assign(value)
        yield


def copied(variable: keras.Variable) -> np.ndarray:
    """Return a variable's value as an array of its own.

    Args:
        variable: Any variable.

    Returns:
        Array that does not change when the variable does.

    Example:
        >>> import keras
        >>> from kerasbnn.models.weight_swap import copied
        >>> copied(keras.Variable([1.0]))
        array([1.], dtype=float32)
    """
    # On some backends the array shares the variable's memory.
    return np.array(to_numpy(variable.value))


def checked_quantizer(identifier) -> Callable:
    """Return a quantizer that many kernels can share, or raise.

    Args:
        identifier: What `quantizers.get` takes.

    Returns:
        A callable.

    Raises:
        TypeError: It is no quantizer.
        ValueError: It is None, an unknown name, or has weights of its own.

    Example:
        >>> from kerasbnn.models.weight_swap import checked_quantizer
        >>> checked_quantizer("ste_sign").precision
        1
    """
    quantizer = quantizers.get(identifier)
    if quantizer is None:
        raise ValueError("`quantizer` is None. Name one, such as 'ste_sign'.")
    if getattr(quantizer, "stateful", False):
        raise ValueError(
            f"{type(quantizer).__name__} has weights of its own, which are trained "
            "with the layer. Use a quantizer without, such as 'ste_sign'."
        )
    return quantizer


def _quantized(kernel: SwappableKernel, quantize: Callable):
    """Return the quantized values of a float kernel."""
    variable = kernel.variable
    name = f"{kernel.path}/{kernel.role.kernel}"
    if not np.isfinite(to_numpy(variable.value).astype("float32")).all():
        raise ValueError(
            f"The weights of '{name}' are NaN or infinite, so they cannot be "
            "quantized. Load the weights of a model whose training went well."
        )
    # The cast reads the value: a quantizer of the user's own may need a tensor.
    values = ops.cast(variable, variable.dtype)
    if getattr(quantize, "channelwise", False):
        values = quantize(values, channel_axes=kernel.role.channel_axes)
    else:
        values = quantize(values)
    if not np.isfinite(to_numpy(values).astype("float32")).all():
        raise ValueError(
            f"The quantizer {quantize!r} maps weights of '{name}' to values that are "
            "NaN or infinite. Use another one."
        )
    return values


@contextlib.contextmanager
def _functions_compiled_anew(model):
    """Set aside what the model, and those inside of it, compiled for fit and so on."""
    inner = (layer for _, layer in named_layers(model))
    trainers = [m for m in (model, *inner) if isinstance(m, keras.Model)]
    with contextlib.ExitStack() as at_the_end:
        for trainer in trainers:
            if keras.backend.backend() == "jax":
                at_the_end.enter_context(_steps_of_their_own(trainer))
            at_the_end.enter_context(_without_functions(trainer))
        yield


@contextlib.contextmanager
def _without_functions(trainer):
    names = ("train_function", "test_function", "predict_function")
    before = {name: getattr(trainer, name) for name in names}
    config = getattr(trainer, "_compile_config", None)
    for name in names:
        setattr(trainer, name, None)
    try:
        yield
    finally:
        # A model that was compiled inside has another loss and optimizer.
        is_same = getattr(trainer, "_compile_config", None) is config
        for name in names:
            setattr(trainer, name, before[name] if is_same else None)


@contextlib.contextmanager
def _steps_of_their_own(trainer):
    """Keep JAX from taking a step for one that it has compiled already.

    It knows functions by equality, and a method is equal to itself. A partial function
    is equal to no other.
    """
    names = ("train_step", "test_step")
    own = {name: vars(trainer)[name] for name in names if name in vars(trainer)}
    for name in names:
        setattr(trainer, name, functools.partial(getattr(trainer, name)))
    try:
        yield
    finally:
        for name in names:
            if name in own:
                setattr(trainer, name, own[name])
            else:
                delattr(trainer, name)


def _refuse_compiled_calls(model, chosen):
    for path, layer in (("", model), *named_layers(model)):
        call = layer.call
        # Methods of what `tf.function` and `jax.jit` return.
        if not (hasattr(call, "get_concrete_function") or hasattr(call, "lower")):
            continue
        inside = {id(layer), *(id(inner) for _, inner in named_layers(layer))}
        for name, kernels in chosen.items():
            if id(kernels[0].layer) in inside:
                raise ValueError(
                    f"Layer '{name}' runs inside of the `call` of "
                    f"'{path or model.name}', which a decorator such as `tf.function` "
                    "compiles: it would keep the weights with which it was compiled. "
                    "Remove the decorator; Keras compiles the model for fit itself."
                )

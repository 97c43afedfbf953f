"""Which layers of a model to quantize, and how: checks what the user asks for."""

import warnings
from collections.abc import Mapping

import keras

from kerasbnn import layers
from kerasbnn._checks import suggestion
from kerasbnn.binarizing.dataflow import Dataflow
from kerasbnn.binarizing.graphs import is_graph
from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.layer_paths import named_layers
from kerasbnn.quantizers import (
    Quantizer,
    RotatedSign,
    SteSign,
    SteTern,
    WhitenedSign,
)

WORDS = ("binary", "ternary", "rotated", "whitened", "continuous")

# Of these it is known what patches of the inputs their filters meet.
_WITH_PATCHES = (
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Dense,
)

COUNTERPARTS: dict[type, type[QuantizedLayer]] = {
    keras.layers.Conv1D: layers.QuantConv1D,
    keras.layers.Conv1DTranspose: layers.QuantConv1DTranspose,
    keras.layers.Conv2D: layers.QuantConv2D,
    keras.layers.Conv2DTranspose: layers.QuantConv2DTranspose,
    keras.layers.Conv3D: layers.QuantConv3D,
    keras.layers.Conv3DTranspose: layers.QuantConv3DTranspose,
    keras.layers.Dense: layers.QuantDense,
    keras.layers.DepthwiseConv1D: layers.QuantDepthwiseConv1D,
    keras.layers.DepthwiseConv2D: layers.QuantDepthwiseConv2D,
    keras.layers.SeparableConv1D: layers.QuantSeparableConv1D,
    keras.layers.SeparableConv2D: layers.QuantSeparableConv2D,
}


def checked_graph(model: keras.Model) -> keras.Model:
    """Return the model if it can be built anew layer by layer, or raise.

    Args:
        model: A Keras model.

    Returns:
        `model`, unchanged.

    Raises:
        ValueError: It is a sequential model without weights yet.
        TypeError: What its `call` does is not known to Keras.

    Example:
        >>> import keras
        >>> from kerasbnn.binarizing.plans import checked_graph
        >>> model = checked_graph(keras.Sequential([keras.Input((2,)),
        ...     keras.layers.Dense(1)]))
    """
    if is_graph(model):
        return model
    name = f"Model '{model.name}', a {type(model).__name__},"
    if type(model) is keras.Sequential and not model.built:
        raise ValueError(
            f"{name} has no weights yet. Build it first: give it a keras.Input, or "
            "call it on data."
        )
    if hasattr(model, "operations"):
        raise TypeError(
            f"{name} has a `call` or an `__init__` of its own, which cannot be "
            "rewritten. If it computes what its graph of layers does, pass "
            "keras.Model(model.inputs, model.outputs)."
        )
    raise TypeError(
        f"{name} is neither functional nor a sequential model of one input, and a "
        "`call` written in Python cannot be rewritten. Write the Quant* layers into "
        "it by hand in the place of the float ones, for example QuantDense for Dense."
    )


def checked_plan(
    model: keras.Model, plan, flow: Dataflow, has_data: bool
) -> list[tuple[str, keras.layers.Layer, str]]:
    """Return what to quantize, or raise.

    Args:
        model: A model that `checked_graph` let pass.
        plan: What the user gave: None, or a mapping from paths to `WORDS`.
        flow: The dataflow of the model.
        has_data: Whether there are inputs to whiten by.

    Returns:
        Path, layer and word of each layer to quantize, in the order of `named_layers`.

    Raises:
        TypeError: The plan is no mapping.
        ValueError: A path or a word is unknown, or a layer cannot be quantized.
    """
    layers_by_path = dict(named_layers(model))
    convertible = [
        path
        for path, layer in layers_by_path.items()
        if type(layer) in COUNTERPARTS and flow.calls_of(layer)
    ]
    if plan is None:
        _warn_of_hidden(layers_by_path, flow)
        if not convertible:
            raise ValueError(
                f"Model '{model.name}' has no dense or convolutional float layer to "
                f"binarize. There is a counterpart for {_names_of_counterparts()}."
            )
        plan = dict.fromkeys(convertible, "binary")
    if not isinstance(plan, Mapping):
        raise TypeError(
            "`plan` must be None or a dict from layer paths to words, such as "
            f"{{'conv_1': 'binary'}}. Received: {plan!r} of type "
            f"{type(plan).__name__}. For a report, pass report.plan()."
        )
    for path, word in plan.items():
        _check(path, word, layers_by_path, convertible, flow)
    chosen = [
        (path, layers_by_path[path], str(plan[path]))
        for path in convertible
        if plan.get(path, "continuous") != "continuous"
    ]
    for path, layer, word in chosen:
        _check_state(path, layer)
        if word == "whitened":
            _check_whitening(path, layer, has_data)
    return chosen


def kernel_quantizer(word: str) -> Quantizer:
    """Return a new quantizer for kernels.

    Ternary kernels take the rule of ternary weight networks, `0.7 mean |w|`: for
    Gaussian weights its angle is 25.96 degrees where the optimum is 25.85, and it need
    not sort the kernel in every step.

    Args:
        word: One of `WORDS` but the last.

    Returns:
        A quantizer for one kernel.

    Example:
        >>> from kerasbnn.binarizing.plans import kernel_quantizer
        >>> kernel_quantizer("binary").precision
        1

    Reference:
        Li et al., Ternary Weight Networks, arXiv 1605.04711.
    """
    if word == "binary":
        return SteSign()
    if word == "ternary":
        return SteTern(ternary_weight_networks=True)
    return RotatedSign() if word == "rotated" else WhitenedSign()


def _check(path, word, layers_by_path, convertible, flow):
    if word not in WORDS:
        raise ValueError(
            f"Unknown word {word!r} for layer {path!r} in `plan`."
            f"{suggestion(str(word), WORDS)} Known words: {', '.join(WORDS)}."
        )
    if path not in layers_by_path:
        raise ValueError(
            f"`plan` names the layer {path!r}, which the model does not have."
            f"{suggestion(str(path), layers_by_path)} Paths are those of "
            "kerasbnn.models.summary, with '/' between the names of nested layers."
        )
    layer = layers_by_path[path]
    if word == "continuous" or path in convertible:
        return
    kind = type(layer)
    if isinstance(layer, QuantizedLayer):
        raise ValueError(
            f"`plan` asks for {word!r} weights in layer {path!r}, which is a "
            f"{kind.__name__} already and stays as it is. Leave it out of `plan`."
        )
    if kind in COUNTERPARTS:
        owner = _owner(path, layers_by_path, flow)
        raise ValueError(
            f"`plan` asks for {word!r} weights in layer {path!r}, which is inside of "
            f"{owner}. What that one computes with it cannot be rewritten. Leave it "
            "out of `plan`, or write the layer outside of it: a Dense layer, for "
            "example, needs no TimeDistributed."
        )
    raise ValueError(
        f"`plan` asks for {word!r} weights in layer {path!r}, but {kind.__name__} has "
        f"no quantized counterpart.{suggestion(path, convertible)} There is one for "
        f"{_names_of_counterparts()}, but not for classes derived from these."
    )


def _check_state(path, layer):
    if layer.quantization_mode is not None:
        raise ValueError(
            f"Layer {path!r} has been quantized by Keras "
            f"('{layer.dtype_policy.name}'), so its trained weights are gone. Binarize "
            "the float model, or name the layer 'continuous' in `plan`."
        )


def _check_whitening(path, layer, has_data):
    if not isinstance(layer, _WITH_PATCHES):
        kinds = ", ".join(kind.__name__ for kind in _WITH_PATCHES)
        raise ValueError(
            f"`plan` asks for 'whitened' weights in layer {path!r}, a "
            f"{type(layer).__name__}. Inputs can be whitened for {kinds}. Name the "
            "layer 'rotated' or 'continuous' instead."
        )
    if not has_data:
        raise ValueError(
            f"`plan` asks for 'whitened' weights in layer {path!r}, but there is no "
            "`data` to find out how its inputs vary. Pass inputs of the model as "
            "`data`, a few hundred or more."
        )


def _owner(path, layers_by_path, flow):
    """Describe the layer that hides another one."""
    parts = path.split("/")
    for count in range(1, len(parts)):
        layer = layers_by_path.get("/".join(parts[:count]))
        if layer is not None and not is_graph(layer):
            return f"layer '{layer.name}', a {type(layer).__name__}"
    return "another layer"


def _warn_of_hidden(layers_by_path, flow):
    hidden = [
        path
        for path, layer in layers_by_path.items()
        if type(layer) in COUNTERPARTS and not flow.calls_of(layer)
    ]
    if hidden:
        warnings.warn(
            f"The layers {', '.join(hidden)} stay continuous: they are inside of "
            "layers that cannot be rewritten. Write Quant* layers there by hand to "
            "make them binary too.",
            UserWarning,
            stacklevel=4,
        )


def _names_of_counterparts():
    return ", ".join(kind.__name__ for kind in COUNTERPARTS)

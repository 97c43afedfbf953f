"""Loading the weights of a Larq model into its twin."""

import os
from collections.abc import Mapping
from pathlib import Path

import keras
import numpy as np

from kerasbnn.larq.weight_files.errors import Mismatch, listed
from kerasbnn.larq.weight_files.matching import Match, match_model
from kerasbnn.larq.weight_files.model_layers import with_below
from kerasbnn.larq.weight_files.reading import read_file
from kerasbnn.larq.weight_files.report import LayerMatch, LoadedWeights
from kerasbnn.models.layer_paths import checked_model


def load_weights(
    model: keras.Model,
    path: str | os.PathLike,
    layer_names: Mapping[str, str] | None = None,
) -> LoadedWeights:
    """Load the weights of a Larq model, saved by tf_keras, into a Keras 3 model.

    The model must be built like the one that was saved, from layers of `kerasbnn`; its
    outputs are then the same. Neither Larq nor tf_keras is needed. Read are what
    `model.save("x.h5")`, `model.save_weights("x.h5")`, `model.save("x.keras")` and
    `model.save_weights("x.weights.h5")` have written. Of these the last has no names
    of layers.

    A layer of the file goes to the layer of the model

    - that `layer_names` says;
    - that has the same name, if somebody gave it;
    - of the same class, for names such as `quant_dense_3`: the first to the first, in
      the order of these numbers and in the order of the model, which must agree, and
      whatever the numbers are;
    - that has the same place in the order of the model, where the file tells it.

    Numbers, names and shapes of all weights are checked before the first is set: after
    an error the model is as it was. The state of the optimizer and of metrics is left
    out. A file that was saved within `larq.context.quantized_scope(True)` loads as
    well; its latent weights are -1 and 1.

    Args:
        model: Built `keras.Model`.
        path: The file.
        layer_names: Names of layers in the file, each with the name of the layer of the
            model that it is for, where nothing else tells; in nested models both with
            the names on the way, such as `"block/quant_dense_1"`. Errors and the
            result show these names.

    Returns:
        Which layer went where; printed, a line for each.

    Raises:
        FileNotFoundError: There is no such file.
        TypeError: `model` is no model.
        ValueError: The file is not usable, the model is not built, a weight has another
            shape or is left over on either side, or there are two ways to pair layers.

    Example:
        >>> import h5py
        >>> import keras
        >>> import numpy as np
        >>> from kerasbnn import QuantDense
        >>> from kerasbnn.larq import load_weights
        >>> with h5py.File("larq.h5", "w") as file:  # as model.save_weights does
        ...     file.attrs["layer_names"] = ["quant_dense_7"]
        ...     group = file.create_group("quant_dense_7")
        ...     group.attrs["weight_names"] = ["quant_dense_7/kernel:0"]
        ...     group["quant_dense_7/kernel:0"] = np.full((3, 2), 0.5, "float32")
        >>> layer = QuantDense(2, kernel_quantizer="ste_sign", use_bias=False,
        ...                    kernel_constraint="weight_clip", name="quant_dense")
        >>> model = keras.Sequential([keras.Input((3,)), layer])
        >>> print(load_weights(model, "larq.h5"))
        quant_dense_7 -> quant_dense: kernel (6 values)
        6 values in 1 layer

    Reference:
        Geiger and Plumerai, Larq: An Open-Source Library for Training Binarized Neural
        Networks, Journal of Open Source Software 5 (45), 1746 (2020).
    """
    model = checked_model(model)
    path = Path(path)
    if not model.built:
        raise ValueError(
            f"Model '{model.name}' has no weights yet. Give it an Input, or call it on "
            "inputs once, before loading weights into it."
        )
    contents = read_file(path)
    try:
        matches = match_model(contents.root, model, dict(layer_names or {}))
        values = _values(matches)
    except Mismatch as error:
        raise ValueError(
            f"The weights in '{path}' do not fit model '{model.name}', which is "
            f"unchanged: {error}{_hint_at_unbuilt(model)}"
        ) from error
    _assign(values)
    for match in matches:
        if hasattr(match.layer, "finalize_state"):
            match.layer.finalize_state()
    return _report(model, matches, contents.ignored)


def _hint_at_unbuilt(model):
    unbuilt = [layer.name for layer in with_below(model) if not layer.built]
    if not unbuilt:
        return ""
    return f" Not built yet, and so without weights: {listed(unbuilt)}."


def _values(matches: list[Match]):
    """Return variables with their values, each once."""
    found = {}
    for match in matches:
        for weight, variable in match.weights:
            earlier = found.setdefault(id(variable), (variable, weight.value))[1]
            if not np.array_equal(earlier, weight.value, equal_nan=True):
                raise Mismatch(
                    f"layer '{match.path}' of the model is in several places, for "
                    "which the file has different weights. In the model that was "
                    "saved, these were layers of their own."
                )
    return list(found.values())


def _assign(values):
    """Set all variables, or none."""
    before = []
    try:
        for variable, value in values:
            # A copy: on PyTorch the array would change with the variable.
            before.append(
                (variable, np.array(keras.ops.convert_to_numpy(variable.value)))
            )
            variable.assign(value)
    except BaseException:
        for variable, value in before:
            variable.assign(value)
        raise


def _report(model, matches, ignored):
    layers = {}
    for match in matches:
        layers.setdefault(
            id(match.layer),
            LayerMatch(
                match.stored.path or "(model)",
                match.path or "(model)",
                tuple(variable.name for _, variable in match.weights),
                sum(weight.value.size for weight, _ in match.weights),
            ),
        )
    order = [id(layer) for layer in with_below(model)]
    in_order = sorted(layers, key=order.index)
    return LoadedWeights(tuple(layers[found] for found in in_order), ignored)

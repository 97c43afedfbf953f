"""Which weight of a file goes to which variable of a model."""

from dataclasses import dataclass

import keras

from kerasbnn.larq.weight_files.contents import StoredLayer, StoredWeight
from kerasbnn.larq.weight_files.errors import Mismatch, listed
from kerasbnn.larq.weight_files.model_layers import (
    ModelLayer,
    direct,
    flat,
    own_variables,
    with_below,
)
from kerasbnn.larq.weight_files.pairing import pair_layers

# A depthwise layer's kernel in tf_keras, where Keras 3 says "kernel" as everywhere.
_SAME_WEIGHT = {"depthwise_kernel": "kernel"}


@dataclass(frozen=True)
class Match:
    """The weights of one layer.

    Attributes:
        stored: The layer of the file.
        path: Path of the layer in the model.
        layer: The layer.
        weights: Its arrays with their variables.
    """

    stored: StoredLayer
    path: str
    layer: keras.layers.Layer
    weights: tuple[tuple[StoredWeight, keras.Variable], ...]


def match_model(
    root: StoredLayer, model: keras.Model, layer_names: dict[str, str]
) -> list[Match]:
    """Find the variable for each weight of a file, and none twice.

    Args:
        root: The model as the file has it.
        model: The model, built.
        layer_names: Paths in the file, each with the path in the model that it is for.

    Returns:
        One match per layer with weights of its own; in the formats with names, a
        shared layer may have several, of equal weights.

    Raises:
        Mismatch: Something is left over on either side, or has another shape.
    """
    unknown = set(layer_names) - {layer.path for layer in root.below()}
    if unknown:
        known = [layer.path for layer in root.below() if layer.path]
        raise Mismatch(
            f"layer_names has {listed(sorted(unknown))}, but the layers of the file "
            f"are {listed(known, 12)}."
        )
    matcher = _Matcher(layer_names)
    place = ModelLayer(model, "", (model,))
    if root.attributes:
        matches = matcher.match_attributes(root, place)
    else:
        matches = matcher.match_own(root, place)
        layers = direct(model.layers, "")
        matches += matcher.match_list(root.layers, layers)
    matched = {id(match.layer) for match in matches}
    missing = [
        layer.name
        for layer in with_below(model)
        if own_variables(layer) and id(layer) not in matched
    ]
    if missing:
        raise Mismatch(
            f"the file has no weights for {listed(missing)} of the model. Build the "
            "model as the one that was saved."
        )
    return matches


class _Matcher:
    def __init__(self, layer_names):
        self.layer_names = layer_names

    def match(self, stored, place):
        if stored.is_flat:
            return self.match_flat(stored, place)
        return self.match_attributes(stored, place)

    def match_list(self, stored, places):
        stored = [layer for layer in stored if layer.has_weights]
        pairs = pair_layers(stored, places, self.match, self.layer_names)
        return [match for pair in pairs for match in self.match(*pair)]

    def match_flat(self, stored, place):
        """Match what a layer holds at any depth, which is how `.h5` files have it."""
        places = flat(place.layer, place.path)
        files = list(stored.layers)
        if own_variables(place.layer):
            places.insert(0, place)
        if stored.weights:
            files.insert(0, stored)
        if len(files) == len(places) == 1:
            # A wrapper gives its name to the layer in it.
            return self.match_own(files[0], places[0])
        if stored.weights and own_variables(place.layer):
            matches = self.match_own(stored, place)
            files, places = files[1:], places[1:]
        else:
            matches = []
        pairs = pair_layers(files, places, self.match_own, self.layer_names)
        return matches + [m for pair in pairs for m in self.match_own(*pair)]

    def match_attributes(self, stored, place):
        """Match what a layer holds in its attributes, as newer files have it."""
        layer, claimed = place.layer, set(place.claimed)
        matches = []
        if id(layer) not in claimed:
            matches += self.match_own(stored, place)
            claimed.add(id(layer))
        # A layer that several attributes hold is stored with the last in the alphabet.
        for name in sorted(stored.attributes, reverse=True):
            found = stored.attributes[name]
            held = getattr(layer, name, None)
            new = self._match_attribute(found, held, place, frozenset(claimed))
            claimed.update(id(match.layer) for match in new)
            matches += new
        return matches

    def _match_attribute(self, found, held, place, claimed):
        stored = found if isinstance(found, list) else [found]
        stored = [layer for layer in stored if layer.has_weights]
        if not stored:
            return []
        if isinstance(found, list):
            held = list(held.values()) if isinstance(held, dict) else held
            held = held if isinstance(held, list | tuple) else []
        else:
            held = [held]
        held = [layer for layer in held if isinstance(layer, keras.layers.Layer)]
        if not held:
            where = f"'{place.path}' of the model" if place.path else "the model"
            raise Mismatch(
                f"the file has weights in {listed([s.path for s in stored])}, but "
                f"{where} holds no layers there. Build the model as the one that was "
                "saved."
            )
        places = direct(held, place.path, claimed, shares=False)
        if isinstance(found, list):
            return self.match_list(stored, places)
        if not places:
            raise Mismatch(
                f"no layer of the model takes the weights of '{found.path}'."
            )
        return self.match(found, places[0])

    def match_own(self, stored, place):
        """Match the weights of a layer itself."""
        variables = own_variables(place.layer)
        if not variables and not stored.weights:
            return []
        weights = _matched_weights(stored, place, variables)
        for weight, variable in weights:
            expected = tuple(variable.shape)
            if weight.value.shape != expected:
                raise Mismatch(
                    f"'{variable.name}' of layer '{stored.path}' in the file has the "
                    f"shape {weight.value.shape}, but that of layer "
                    f"'{place.path}' in the model has {expected}. Build the model "
                    "with the arguments and the input shape of the one that was saved."
                )
        return [Match(stored, place.path, place.layer, tuple(weights))]


def _matched_weights(stored, place, variables):
    """Pair the weights of a layer, by their names where the file has them."""
    names = [variable.name for variable in variables]
    stored_names = [
        weight.name if weight.name in names else _SAME_WEIGHT.get(weight.name)
        for weight in stored.weights
    ]
    told = [weight.name for weight in stored.weights if weight.name is not None]
    is_named = bool(told)
    fits = len(names) == len(stored.weights)
    if is_named:
        fits = fits and set(names) == set(stored_names)
    if not fits:
        raise Mismatch(
            f"layer '{stored.path}' of the file has the weights "
            f"{listed(told) if is_named else len(stored.weights)}, but layer "
            f"'{place.path}' of the model has {listed(names)}. Arguments such as "
            "use_bias, scale and center must be those of the layer that was saved."
        )
    if not is_named or len(set(names)) != len(names):
        return list(zip(stored.weights, variables, strict=True))
    by_name = dict(zip(stored_names, stored.weights, strict=True))
    return [(by_name[name], v) for name, v in zip(names, variables, strict=True)]

"""The layers of a Keras 3 model that weights can go to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import keras

# Keras has no public way to tell a functional model from one with a `call` of its own.
from keras.src.models.functional import Functional

from kerasbnn.larq.weight_files.names import class_base, split_number
from kerasbnn.models.layer_paths import sublayers


@dataclass(frozen=True)
class ModelLayer:
    """A layer in the place where it is looked for.

    Attributes:
        layer: The layer.
        path: Name to tell a user: the names on the way joined by `"/"`.
        chain: The layer, after the layers between it and the one that holds it here.
        claimed: Layers that have their weights from elsewhere, by id.
    """

    layer: keras.layers.Layer
    path: str
    chain: tuple[keras.layers.Layer, ...]
    claimed: frozenset[int] = frozenset()


def own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the weights of a layer without those of the layers in it.

    Args:
        layer: Any layer.

    Returns:
        Variables, the trainable ones first, in the order in which they were added.

    Example:
        >>> import keras
        >>> from kerasbnn.larq.weight_files.model_layers import own_variables
        >>> dense = keras.layers.Dense(2)
        >>> model = keras.Sequential([keras.Input((3,)), dense])
        >>> [variable.name for variable in own_variables(dense)]
        ['kernel', 'bias']
        >>> own_variables(model)
        []
    """
    inner = {id(weight) for below in sublayers(layer) for weight in below.weights}
    return [weight for weight in layer.weights if id(weight) not in inner]


def with_below(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Yield a layer and all layers in it, each owner before what it holds.

    Args:
        layer: Any layer.

    Yields:
        Layers; a shared one as often as it is found.
    """
    yield layer
    for below in sublayers(layer):
        yield from with_below(below)


def direct(layers: Iterable, owner_path: str, claimed=frozenset(), shares=True):
    """Return the layers of a list that expect weights.

    Args:
        layers: What a layer holds in a list.
        owner_path: Its path.
        claimed: Layers that have their weights from elsewhere, by id.
        shares: Whether a layer that is found again expects its weights again.

    Returns:
        List of `ModelLayer`.
    """
    found, claimed = [], set(claimed)
    for layer in layers:
        below = list(with_below(layer))
        expecting = {id(inner) for inner in below if own_variables(inner)}
        if not expecting - (set() if shares else claimed):
            continue
        path = joined(owner_path, layer.name)
        found.append(ModelLayer(layer, path, (layer,), frozenset(claimed)))
        if not shares:
            claimed |= expecting
    return found


def flat(owner: keras.layers.Layer, owner_path: str) -> list[ModelLayer]:
    """Return all layers below one that have weights of their own.

    Args:
        owner: Any layer.
        owner_path: Its path.

    Returns:
        Those layers, each once. Functional models on the way do not count in their
        chains: tf_keras leaves them out of the names of weights.
    """
    found, seen = [], set()

    def walk(layer, path, chain):
        for below in sublayers(layer):
            if id(below) in seen:
                continue
            seen.add(id(below))
            below_path = joined(path, below.name)
            below_chain = (*chain, below)
            if own_variables(below):
                found.append(ModelLayer(below, below_path, below_chain))
            is_named = not isinstance(below, (Functional, keras.Sequential))
            walk(below, below_path, below_chain if is_named else chain)

    walk(owner, owner_path, ())
    return found


def automatic_name(layer: keras.layers.Layer) -> tuple[str, int] | None:
    """Split the name of a layer, if Keras has made it up.

    Args:
        layer: Any layer.

    Returns:
        Its class and its number; None for a name that somebody gave.

    Example:
        >>> import keras
        >>> from kerasbnn.larq.weight_files.model_layers import automatic_name
        >>> automatic_name(keras.layers.Dense(2, name="dense_3"))
        ('dense', 3)
        >>> automatic_name(keras.layers.Dense(2, name="stem")) is None
        True
    """
    text, number = split_number(layer.name)
    base = class_base(type(layer).__name__)
    return (base, number) if class_base(text) == base else None


def joined(path: str, name: str) -> str:
    """Join the names of a path.

    Args:
        path: Path of the owner, empty for the model itself.
        name: Name of a layer in it.
    """
    return f"{path}/{name}" if path else name

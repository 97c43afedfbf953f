"""Names for the layers of a model, wherever they are nested."""

from collections.abc import Iterator

import keras


def checked_model(model) -> keras.Model:
    """Return `model` if it is a Keras model, or raise.

    Args:
        model: What a user passed.

    Returns:
        `model`, unchanged.

    Raises:
        TypeError: It is something else.

    Example:
        >>> import keras
        >>> from kerasbnn.models.layer_paths import checked_model
        >>> model = checked_model(keras.Sequential())
    """
    if isinstance(model, keras.Model):
        return model
    of_keras_2 = any(
        cls.__module__.startswith("tf_keras") for cls in type(model).__mro__
    )
    raise TypeError(
        f"Expected a keras.Model. Received: {model!r} of type {type(model).__name__}. "
        + (
            "It is one of tf_keras: pass kerasbnn.tfmot.from_tfmot(model)."
            if of_keras_2
            else "For a single layer, pass keras.Sequential([layer])."
        )
    )


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Return the layers that a layer holds directly.

    Args:
        layer: Any layer or model.

    Returns:
        Layers, in the order in which the owner tracks them.

    Example:
        >>> import keras
        >>> from kerasbnn.models.layer_paths import sublayers
        >>> model = keras.Sequential([keras.layers.Flatten(name="flat")])
        >>> [layer.name for layer in sublayers(model)]
        ['flat']
    """
    # Only models have a public `layers`; other layers hold layers too.
    return layer._flatten_layers(include_self=False, recursive=False)


def own_weights(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Return the weights of a layer without those of the layers in it.

    Args:
        layer: Any layer or model.

    Returns:
        Variables, in the order of `layer.weights`.

    Example:
        >>> import keras
        >>> from kerasbnn.models.layer_paths import own_weights
        >>> dense = keras.layers.Dense(2)
        >>> model = keras.Sequential([keras.Input((3,)), dense])
        >>> [weight.name for weight in own_weights(dense)], own_weights(model)
        (['kernel', 'bias'], [])
    """
    inside = {id(w) for part in sublayers(layer) for w in part.weights}
    return [w for w in layer.weights if id(w) not in inside]


def named_layers(model: keras.layers.Layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    """Yield every layer below a model once, each with a path that no other has.

    A path is the names of the layers on the way down, joined by `"/"`. Unlike
    `variable.path` it does not depend on when the model was built. A shared layer has
    the path of the first place where it is found. Layers of equal path get `_1`, `_2`,
    ... after theirs.

    Args:
        model: Any layer or model.

    Yields:
        Path and layer, each owner before the layers it holds.

    Example:
        >>> import keras
        >>> from kerasbnn.models.layer_paths import named_layers
        >>> block = keras.Sequential([keras.layers.ReLU(name="relu")], name="block")
        >>> [path for path, layer in named_layers(keras.Sequential([block]))]
        ['block', 'block/relu']
    """
    seen_layers, seen_paths = {id(model)}, set()

    def walk(owner, prefix):
        for layer in sublayers(owner):
            if id(layer) in seen_layers:
                continue
            seen_layers.add(id(layer))
            path = _unique(f"{prefix}{layer.name}", seen_paths)
            yield path, layer
            yield from walk(layer, f"{path}/")

    return walk(model, "")


def _unique(path, taken):
    candidate, number = path, 0
    while candidate in taken:
        number += 1
        candidate = f"{path}_{number}"
    taken.add(candidate)
    return candidate

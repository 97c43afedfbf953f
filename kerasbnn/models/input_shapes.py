"""Which inputs a model takes."""

import inspect

import keras


def symbolic_inputs(model: keras.Model, input_shape=None) -> tuple[tuple, dict, int]:
    """Make symbolic inputs for one call of a model.

    Args:
        model: A Keras model.
        input_shape: Shape of one sample, without the batch axis; a list or dict of
            shapes for several inputs; a dict by the names of the arguments that `call`
            takes; or None for what the model was built with.

    Returns:
        Positional arguments, keyword arguments, and the batch size of them: 1, or what
        the model insists on.

    Raises:
        ValueError: The shape is malformed, or not known.

    Example:
        >>> import keras
        >>> from kerasbnn.models.input_shapes import symbolic_inputs
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Flatten()])
        >>> symbolic_inputs(model)[0][0].shape
        (1, 4)
    """
    declared = _declared_inputs(model)
    flat = keras.tree.flatten(declared)
    batch_size = (flat[0].shape[0] if flat and flat[0].shape else None) or 1

    if input_shape is not None:
        given = _map_shapes(
            lambda shape: keras.KerasTensor((batch_size, *_checked(shape))), input_shape
        )
        if not flat:
            if isinstance(given, dict) and set(given) <= set(_arguments(model)):
                return (), given, batch_size
            return (given,), {}, batch_size
        given = _in_declared_order(given, declared, flat, model)
        tensors = []
        for x, known in zip(given, flat, strict=True):
            _check_fit(x.shape, known.shape, model)
            tensors.append(keras.KerasTensor(x.shape, known.dtype))
        return (keras.tree.pack_sequence_as(declared, tensors),), {}, batch_size

    if flat:
        tensors = [_sample_of(x.shape, x.dtype, batch_size, model) for x in flat]
        return (keras.tree.pack_sequence_as(declared, tensors),), {}, batch_size
    args, kwargs = _inputs_of_last_build(model)
    return args, kwargs, 1


def build(model: keras.Model, input_shape):
    """Build a model that was not called yet.

    Args:
        model: A Keras model.
        input_shape: As for `symbolic_inputs`.

    Raises:
        ValueError: The shape is malformed, or not known.

    Example:
        >>> import keras
        >>> from kerasbnn.models.input_shapes import build
        >>> model = keras.Sequential([keras.layers.Dense(2)])
        >>> build(model, (4,))
        >>> model.input_shape
        (None, 4)
    """
    if model.built:
        return
    args, kwargs, _ = symbolic_inputs(model, input_shape)
    if isinstance(model, keras.Sequential):
        # Called on numbers it would insist on their batch size.
        (tensor,) = keras.tree.flatten((args, kwargs))
        model.build((None, *tensor.shape[1:]))
        return
    args, kwargs = keras.tree.map_structure(
        lambda tensor: keras.ops.zeros(tensor.shape, tensor.dtype), (args, kwargs)
    )
    model(*args, **kwargs, training=False)


def _declared_inputs(model):
    try:
        inputs = model.inputs
    except AttributeError:
        return []
    if inputs is None:
        return []
    if len(inputs) == 1:
        return inputs[0]
    # A functional model may take a dict; Keras publishes only the flat list.
    return getattr(model, "_inputs_struct", inputs)


def _in_declared_order(given, declared, flat, model):
    """Return the given tensors as a list, in the order of the declared inputs."""
    names = list(declared) if isinstance(declared, dict) else [x.name for x in flat]
    if isinstance(given, dict) and sorted(given) == sorted(names):
        ordered = (
            given if isinstance(declared, dict) else [given[name] for name in names]
        )
        return keras.tree.flatten(ordered)
    tensors = keras.tree.flatten(given)
    if isinstance(given, dict) or len(tensors) != len(flat):
        raise ValueError(
            f"Model '{model.name}' has the inputs {names}, which `input_shape` does "
            "not match. Pass one shape, without the batch axis, for each input: a list "
            "in this order, or a dict by these names."
        )
    return tensors


def _check_fit(shape, known, model):
    fits = len(shape) == len(known) and all(
        expected in (None, size)
        for size, expected in zip(shape[1:], known[1:], strict=True)
    )
    if not fits:
        raise ValueError(
            f"Model '{model.name}' takes samples of shape {tuple(known[1:])}, where "
            "None may be any size. `input_shape` does not match. Received: "
            f"{tuple(shape[1:])}."
        )


def _inputs_of_last_build(model):
    config = (model.get_build_config() if model.built else None) or {}

    def sample(shape):
        return _sample_of(shape, "float32", 1, model)

    if "shapes_dict" in config:
        shapes = config["shapes_dict"]
        kwargs = {
            name.removesuffix("_shape"): _map_shapes(sample, shape)
            for name, shape in shapes.items()
        }
        return (), kwargs
    required = [name for name, needed in _arguments(model).items() if needed]
    if len(required) > 1:
        # Keras keeps the shape of the first argument only.
        raise ValueError(
            f"Model '{model.name}' takes the arguments {required}, and their shapes "
            "are not known. Pass `input_shape`, a dict with the shape of one sample "
            "for each of these names."
        )
    if config.get("input_shape") is not None:
        return (_map_shapes(sample, config["input_shape"]),), {}
    raise ValueError(
        f"The shape of the inputs of model '{model.name}' is not known: it was not "
        "called yet. Call it on data, or pass `input_shape`, the shape of one sample, "
        "for example input_shape=(32, 32, 3)."
    )


def _arguments(model):
    """Return the names of what `call` takes, and whether each must be given."""
    parameters = inspect.signature(model.call).parameters.values()
    return {
        parameter.name: parameter.default is parameter.empty
        for parameter in parameters
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }


def _sample_of(shape, dtype, batch_size, model):
    if len(shape) and None in shape[1:]:
        raise ValueError(
            f"Model '{model.name}' takes inputs of shape {tuple(shape)}, where None "
            "may be any size, but one size is needed here. Pass `input_shape`, the "
            "shape of one sample, for example input_shape=(32, 32, 3)."
        )
    return keras.KerasTensor((batch_size, *shape[1:]), dtype)


def _is_shape(value):
    return isinstance(value, (tuple, list)) and all(
        size is None or (isinstance(size, int) and not isinstance(size, bool))
        for size in value
    )


def _map_shapes(function, shapes):
    """Apply a function to each shape of a nested structure of shapes."""
    if _is_shape(shapes):
        return function(shapes)
    if isinstance(shapes, dict):
        return {key: _map_shapes(function, value) for key, value in shapes.items()}
    if isinstance(shapes, (tuple, list)):
        return [_map_shapes(function, value) for value in shapes]
    return function(shapes)


def _checked(shape):
    if _is_shape(shape) and None not in shape and all(size > 0 for size in shape):
        return tuple(shape)
    raise ValueError(
        "`input_shape` must be the shape of one sample, positive ints without the "
        f"batch axis, such as (32, 32, 3). Received: {shape!r}."
    )

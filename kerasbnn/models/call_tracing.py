"""Which layer of a model is called with what: intercepts calls, changes no model."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import keras

from kerasbnn.models.layer_paths import named_layers

# Handlers of the running thread, the innermost last.
_handlers: ContextVar[tuple[Callable, ...]] = ContextVar("call_handlers", default=())
_lock = threading.Lock()
_open_scopes = 0
_keras_call = None


@contextlib.contextmanager
def intercept_calls(handler: Callable) -> Iterator[None]:
    """Hand every call of a layer in this thread to `handler` first.

    Layers are intercepted where Python calls them, so a step that `fit` or `predict`
    has compiled already passes unseen: call the model itself. A layer that another one
    runs by its `call` method, as `keras.layers.TimeDistributed` does, passes too.

    Args:
        handler: Function of `(layer, proceed, args, kwargs)` that returns the outputs
            of the call; `proceed(*args, **kwargs)` does the call.

    Example:
        >>> import keras, numpy as np
        >>> from kerasbnn.models.call_tracing import intercept_calls
        >>> def say(layer, proceed, args, kwargs):
        ...     print(layer.name)
        ...     return proceed(*args, **kwargs)
        >>> relu = keras.layers.ReLU(name="relu")
        >>> with intercept_calls(say):
        ...     y = relu(np.ones(2))
        relu
    """
    _open()
    token = _handlers.set((*_handlers.get(), handler))
    try:
        yield
    finally:
        _handlers.reset(token)
        _close()


def _open():
    global _open_scopes, _keras_call
    with _lock:
        if _open_scopes == 0:
            _keras_call = keras.layers.Layer.__call__
            # Python looks `__call__` up on the class, so no instance can be wrapped.
            keras.layers.Layer.__call__ = _intercepting(_keras_call)
        _open_scopes += 1


def _close():
    global _open_scopes
    with _lock:
        _open_scopes -= 1
        if _open_scopes == 0:
            keras.layers.Layer.__call__ = _keras_call


def _intercepting(keras_call):
    @functools.wraps(keras_call)
    def call(self, *args, **kwargs):
        proceed = functools.partial(keras_call, self)
        for handler in _handlers.get():
            proceed = _handled(handler, self, proceed)
        return proceed(*args, **kwargs)

    return call


def _handled(handler, layer, proceed):
    return lambda *args, **kwargs: handler(layer, proceed, args, kwargs)


@dataclass(eq=False)
class LayerCall:
    """One call of a layer.

    Attributes:
        layer: The layer that was called.
        path: Where it is in the model, as `named_layers` says; `""` is the model.
        args: Positional arguments of the call.
        kwargs: Keyword arguments of the call.
        parent: The call during which this one was made, or None.
        outputs: What the call returned; None until then.
    """

    layer: keras.layers.Layer
    path: str
    args: tuple
    kwargs: dict = field(default_factory=dict)
    parent: "LayerCall | None" = None
    outputs: Any = None

    @property
    def inputs(self) -> list:
        """The tensors among the arguments, in order."""
        return tensors_in((self.args, self.kwargs))

    @property
    def output_tensors(self) -> list:
        """The tensors among the outputs, in order."""
        return tensors_in(self.outputs)


def tensors_in(structure) -> list:
    """Return what has a shape in a nested structure, in order."""
    return [x for x in keras.tree.flatten(structure) if hasattr(x, "shape")]


def shape_of(tensor) -> tuple[int | None, ...]:
    """Return a tensor's shape as a tuple of plain ints, on any backend."""
    return tuple(None if size is None else int(size) for size in tensor.shape)


@contextlib.contextmanager
def trace_calls(model: keras.Model) -> Iterator[list[LayerCall]]:
    """Record every call of the model and of the layers in it.

    The records hold the very tensors, so they take as much memory as all of them
    together. They are in the order in which the calls began. Calling a model that is
    not built also records the calls by which Keras builds it.

    Args:
        model: The model to watch. Nothing about it changes.

    Yields:
        A list that fills with `LayerCall` while the model is called.

    Example:
        >>> import keras, numpy as np
        >>> from kerasbnn.models.call_tracing import trace_calls
        >>> relu = keras.layers.ReLU(name="relu")
        >>> model = keras.Sequential([keras.Input((4,)), relu])
        >>> with trace_calls(model) as calls:
        ...     y = model(np.ones((2, 4)))
        >>> [call.path for call in calls]
        ['', 'relu']
    """
    paths = _LayerPaths(model)
    calls: list[LayerCall] = []
    running: list[LayerCall] = []

    def record(layer, proceed, args, kwargs):
        path = paths.find(layer)
        if path is None:
            return proceed(*args, **kwargs)
        parent = running[-1] if running else None
        call = LayerCall(layer, path, args, kwargs, parent)
        calls.append(call)
        running.append(call)
        try:
            call.outputs = proceed(*args, **kwargs)
        finally:
            running.pop()
        return call.outputs

    with intercept_calls(record):
        yield calls


class _LayerPaths:
    """The paths of a model's layers, also of those it makes while it is built."""

    def __init__(self, model):
        self.model = model
        self.strangers = []
        self.paths = {}
        self._refresh()

    def _refresh(self):
        self.paths = {id(layer): path for path, layer in named_layers(self.model)}
        self.paths[id(self.model)] = ""

    def find(self, layer):
        if id(layer) not in self.paths:
            if any(layer is stranger for stranger in self.strangers):
                return None
            self._refresh()
            if id(layer) not in self.paths:
                # Kept alive, so that no later layer can have the same id.
                self.strangers.append(layer)
        return self.paths.get(id(layer))


def trace_shapes(model: keras.Model, *args, **kwargs) -> list[LayerCall]:
    """Record the calls of one forward pass in inference mode, without the arithmetic.

    Args:
        model: The model. If it is not built yet, it is built.
        *args: Its arguments, with a `keras.KerasTensor` for each tensor.
        **kwargs: Its keyword arguments, likewise.

    Returns:
        The calls, whose tensors have shapes and dtypes but no values.

    Example:
        >>> import keras
        >>> from kerasbnn.models.call_tracing import shape_of, trace_shapes
        >>> model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])
        >>> calls = trace_shapes(model, keras.KerasTensor((1, 8, 8, 1)))
        >>> shape_of(calls[-1].outputs)
        (1, 64)
    """
    if not all(layer.built for layer in (model, *dict(named_layers(model)).values())):
        _Forward(model, []).compute_output_spec(*args, **kwargs)
    with trace_calls(model) as calls:
        _Forward(model, calls).compute_output_spec(*args, **kwargs)
    return calls


class _Forward(keras.Operation):
    """A model's forward pass, as an operation of which Keras can infer the shapes.

    A model called on symbolic tensors itself asks its layers only for their output
    shapes; inside of an operation it calls them.
    """

    def __init__(self, model, calls):
        super().__init__()
        self.model = model
        self.calls = calls

    def call(self, *args, **kwargs):
        # PyTorch runs it again where an operation knows no shape inference.
        self.calls.clear()
        return self.model(*args, training=False, **kwargs)

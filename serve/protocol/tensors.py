"""Turns the values of an input, JSON or binary data, into an array."""

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ServiceError
from ..models.datatypes import size_of
from ..models.tensor_spec import TensorSpec
from .checks import shown

if TYPE_CHECKING:
    from ..settings import Settings

# What JSON's values must be, by the kind of the dtype.
_TYPES = {
    "f": frozenset({float, int}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "b": frozenset({bool}),
}
_WORDS = {"f": "numbers", "b": "true or false"}


def values_from_json(
    spec: TensorSpec, data: Any, shape: list[int], count: int
) -> np.ndarray:
    """Return the values of an input from JSON.

    Args:
        spec: The input.
        data: Its `data`: nested lists in its shape, or one list.
        shape: Its shape, checked.
        count: Number of its values.

    Returns:
        Array `(count,)`.

    Raises:
        ServiceError: They are not as many, not of the right type, or too large; 400.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.serve.models.tensor_spec import TensorSpec
        >>> from kerasbnn.serve.protocol.tensors import values_from_json
        >>> x = TensorSpec("x", "INT8", np.dtype("int8"), (-1, 2))
        >>> values_from_json(x, [[1, 2], [3, 4]], [2, 2], 4)
        array([1, 2, 3, 4], dtype=int8)
    """
    if type(data) is not list:
        raise ServiceError(
            400,
            f"Input '{spec.name}' must have 'data', a list of {_expected(spec)}, or "
            f"'binary_data_size' among its parameters. Received: {shown(data)}.",
        )
    if len(data) != count or type(data[0]) is list:
        data = _flat(spec, data, shape)
    kind = spec.dtype.kind
    if not _TYPES[kind].issuperset(map(type, data)):
        wrong = next(value for value in data if type(value) not in _TYPES[kind])
        raise ServiceError(
            400,
            f"Input '{spec.name}' is {spec.datatype}: expected {_expected(spec)}. "
            f"Received: {_as_in_json(wrong)}.",
        )
    try:
        if kind != "f":
            return np.fromiter(data, spec.dtype, count)
        with np.errstate(over="ignore"):
            values = np.fromiter(data, spec.dtype, count)
    except OverflowError:
        info = np.iinfo(spec.dtype)
        wrong = next(value for value in data if not info.min <= value <= info.max)
        raise _too_large(spec, wrong, info) from None
    finite = np.isfinite(values)
    if not finite.all():
        # JSON has no infinity: these were finite.
        raise _too_large(spec, data[int(finite.argmin())], np.finfo(spec.dtype))
    return values


def values_from_bytes(
    spec: TensorSpec, data, start: int, count: int, limits: "Settings"
) -> np.ndarray:
    """Return the values of an input from binary data.

    Args:
        spec: The input.
        data: Bytes that hold them.
        start: Where in these they start.
        count: Number of the values.
        limits: Whether they may be NaN or infinite.

    Returns:
        Array `(count,)`, which may share memory with the data.

    Raises:
        ServiceError: They are not finite, or no truth values; 400.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.serve import Settings
        >>> from kerasbnn.serve.models.tensor_spec import TensorSpec
        >>> from kerasbnn.serve.protocol.tensors import values_from_bytes
        >>> x = TensorSpec("x", "INT16", np.dtype("int16"), (-1,))
        >>> values_from_bytes(x, bytes([0, 1, 2, 3]), 2, 1, Settings())
        array([770], dtype=int16)
    """
    values = np.frombuffer(data, spec.dtype, count, start)
    kind = spec.dtype.kind
    if kind == "f":
        finite = np.isfinite(values)
        if not (finite.all() or limits.allow_non_finite):
            wrong = int(finite.argmin())
            raise ServiceError(
                400,
                f"Input '{spec.name}' has values that are not finite, such as "
                f"{values[wrong]} at {wrong}. Expected finite numbers; the setting "
                "allow_non_finite takes others.",
            )
    elif kind == "b" and values.view(np.uint8).max(initial=0) > 1:
        raise ServiceError(
            400,
            f"Input '{spec.name}' is BOOL: expected bytes of 0 or 1. Received: "
            f"{values.view(np.uint8).max()}.",
        )
    return values if values.flags.aligned else values.copy()


def _flat(spec, data, shape) -> list:
    """Flatten nested lists, each of which must be as long as its axis is."""
    level = [data]
    for axis, size in enumerate(shape):
        are_lists = {list}.issuperset(map(type, level))
        if not (are_lists and {size}.issuperset(map(len, level))):
            raise _misfit(spec, shape, axis, level if are_lists else None)
        level = list(chain.from_iterable(level))
    return level


def _misfit(spec, shape, axis, lists):
    found = "a value beside or instead of a list"
    if lists:
        lengths = sorted(set(map(len, lists)))
        found = " and ".join(str(length) for length in lengths[:4])
    return ServiceError(
        400,
        f"Input '{spec.name}' has 'data' that does not fit its shape {shape}: expected "
        f"{size_of(shape)} values in one list, or lists nested like the shape. "
        f"Received: {found} on axis {axis}.",
    )


def _expected(spec):
    if spec.dtype.kind in _WORDS:
        return _WORDS[spec.dtype.kind]
    info = np.iinfo(spec.dtype)
    return f"whole numbers from {info.min} to {info.max}"


def _as_in_json(value):
    if value is None:
        return "null"
    return str(value).lower() if type(value) is bool else shown(value)


def _too_large(spec, value, info):
    return ServiceError(
        400,
        f"Input '{spec.name}' is {spec.datatype}: expected values from {info.min} to "
        f"{info.max}. Received: {value}.",
    )

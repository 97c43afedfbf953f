"""Checks that the parts of a request share."""

from collections.abc import Iterable
from typing import Any

from ..errors import ServiceError
from ..models.tensor_spec import TensorSpec

_LONGEST = 80
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false"}


def shown(value: Any) -> str:
    """Return a value of JSON as errors show it, which is short.

    Args:
        value: The value.

    Returns:
        Its beginning.

    Example:
        >>> from kerasbnn.serve.protocol.checks import shown
        >>> shown([1, 2, None])
        '[1, 2, None]'
        >>> shown(list(range(1000)))
        'a list of 1000'
        >>> shown(None)
        'nothing'
    """
    if value is None:
        return "nothing"
    if isinstance(value, dict | list):
        if len(value) > 8 or any(isinstance(v, dict | list) for v in value):
            return f"{_KINDS[type(value)]} of {len(value)}"
    elif isinstance(value, str) and len(value) > _LONGEST:
        return f"{value[:_LONGEST]!r}..."
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def optional(values: dict[str, Any], name: str, kind: type, where: str) -> Any:
    """Return what an object has by a name, and check its type.

    Args:
        values: The object.
        name: The name.
        kind: Type that it must have; null is as if it were left out.
        where: What the error calls the object.

    Returns:
        The value, or None.

    Raises:
        ServiceError: It is of another type; 400.
    """
    value = values.get(name)
    if value is None or type(value) is kind:
        return value
    raise ServiceError(
        400, f"'{name}' of {where} must be {_KINDS[kind]}. Received: {shown(value)}."
    )


def number_of_bytes(text: str | bytes, header: str) -> int:
    """Read a number of bytes from a header.

    Args:
        text: What the header says.
        header: Its name.

    Returns:
        The number.

    Raises:
        ServiceError: It is no number; 400.

    Example:
        >>> from kerasbnn.serve.protocol.checks import number_of_bytes
        >>> number_of_bytes(b"12", "Content-Length")
        12
    """
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    # No body has a size of more digits, and Python reads only so many.
    if text.isascii() and text.isdigit() and len(text) < 20:
        return int(text)
    raise ServiceError(
        400, f"{header} must be a number of bytes. Received: {shown(text)}."
    )


def refuse_shared_memory(parameters: dict[str, Any], where: str):
    """Refuse a tensor that lies in the memory of another process.

    Args:
        parameters: Parameters of the tensor.
        where: What the error calls it.

    Raises:
        ServiceError: It does; 400.
    """
    if "shared_memory_region" in parameters:
        raise ServiceError(
            400,
            f"{where} is to be in shared memory, which this service does not have. "
            "Send binary data, or 'data'.",
        )


def described(specs: Iterable[TensorSpec]) -> str:
    """Return tensors as errors describe them.

    Args:
        specs: The tensors.

    Returns:
        Name, datatype and shape of each.
    """
    return ", ".join(f"'{s.name}' {s.datatype} {list(s.shape)}" for s in specs)

"""Parses the JSON of a request, with bounds on what it becomes in memory."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from ..errors import ServiceError
from ..models.datatypes import size_of
from ..models.tensor_spec import TensorSpec
from .checks import shown

if TYPE_CHECKING:
    from ..settings import Settings

# What has more bytes than this is measured before it is parsed.
_UNMEASURED = 2**20

# A number has up to 24 characters, and stands on a line of its own, indented by 4 for
# each of up to 9 lists and objects, where JSON is written to be read.
_BYTES_PER_VALUE = 64


def parsed(
    content: bytes, inputs: Mapping[str, TensorSpec], limits: "Settings"
) -> dict[str, Any]:
    """Parse the JSON of a request.

    Args:
        content: The JSON.
        inputs: What the model takes, by name.
        limits: Rows and depth that a request may have.

    Returns:
        The object.

    Raises:
        ServiceError: It is no object of JSON, or too deep (400), or has more values or
            bytes than the model takes (413).

    Example:
        >>> from kerasbnn.serve import Settings
        >>> from kerasbnn.serve.protocol.documents import parsed
        >>> parsed(b'{"inputs": []}', {}, Settings())
        {'inputs': []}
    """
    if len(content) > _UNMEASURED:
        _check_size(content, inputs, limits)
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ServiceError(400, f"The body is not JSON: {error}.") from error
    if type(document) is not dict:
        raise ServiceError(
            400,
            "The body must be an object of JSON with 'inputs'. Received: "
            f"{shown(document)}.",
        )
    if content.count(b"[") + content.count(b"{") > limits.max_nesting:
        _check_depth(document, limits.max_nesting)
    return document


def number_of_values(content: bytes) -> int:
    """Count the values of JSON, about, without the memory that parsing it takes.

    One of two bytes, such as `0,` or `[]`, becomes up to 64 once it is parsed.

    Args:
        content: The JSON.

    Returns:
        Number of commas, lists and objects, also of those in texts.

    Example:
        >>> from kerasbnn.serve.protocol.documents import number_of_values
        >>> number_of_values(b'{"a": [1, 2]}')
        3
    """
    return content.count(b",") + content.count(b"[") + content.count(b"{")


def _check_size(content, inputs, limits):
    """Refuse what has far more bytes or values than the model takes."""
    if any(-1 in spec.shape[1:] for spec in inputs.values()):
        return
    most = 0
    for spec in inputs.values():
        rows = limits.max_rows if spec.shape[:1] == (-1,) else 1
        # The values of a row, and all lists that they may be nested in.
        most += rows * sum(
            size_of(spec.shape[1:axis]) for axis in range(1, len(spec.shape) + 1)
        )
    taken = (
        f"and the model takes no more than {most} values and lists in "
        f"{limits.max_rows} rows"
    )
    longest = most * _BYTES_PER_VALUE + _UNMEASURED
    if len(content) > longest:
        raise ServiceError(
            413,
            f"The JSON has {len(content)} bytes, {taken}, for which {longest} bytes "
            "are enough. Send fewer rows at once, or less space between the values.",
        )
    found = number_of_values(content)
    # A list has a bracket and a comma. Names and parameters are few.
    if found > 2 * most + _UNMEASURED // 16:
        raise ServiceError(
            413, f"The JSON has about {found} values, {taken}. Send fewer rows at once."
        )


def _check_depth(document, most):
    """Refuse what is nested deeper, but for data, whose depth its shape gives."""
    level: list[Any] = [document]
    for _ in range(most):
        level = [
            child
            for parent in level
            for key, child in _children(parent)
            if isinstance(child, dict | list) and key != "data"
        ]
        if not level:
            return
    raise ServiceError(
        400,
        f"The JSON is nested more than {most} deep. The data of an input is nested as "
        "deep as its shape is long, and nothing else needs to be deep.",
    )


def _children(parent):
    return parent.items() if isinstance(parent, dict) else enumerate(parent)

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

# Values are counted before they are parsed where there are more bytes than this.
_UNCOUNTED = 2**20


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
        ServiceError: It is no object of JSON, or too deep (400), or has more values
            than the model takes (413).

    Example:
        >>> from kerasbnn.serve import Settings
        >>> from kerasbnn.serve.protocol.documents import parsed
        >>> parsed(b'{"inputs": []}', {}, Settings())
        {'inputs': []}
    """
    if len(content) > _UNCOUNTED:
        _check_count(content, inputs, limits)
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


def _check_count(content, inputs, limits):
    """Refuse what has far more values than the model takes.

    One of two bytes, such as `0,` or `[]`, becomes up to 64 once it is parsed.
    """
    if any(-1 in spec.shape[1:] for spec in inputs.values()):
        return
    most = 0
    for spec in inputs.values():
        rows = limits.max_rows if spec.shape[:1] == (-1,) else 1
        # The values of a row, and all lists that they may be nested in.
        most += rows * sum(
            size_of(spec.shape[1:axis]) for axis in range(1, len(spec.shape) + 1)
        )
    found = content.count(b",") + content.count(b"[") + content.count(b"{")
    # A list has a bracket and a comma. Names and parameters are few.
    if found > 2 * most + _UNCOUNTED // 16:
        raise ServiceError(
            413,
            f"The JSON has about {found} values and lists, and the model takes no more "
            f"than {most} in {limits.max_rows} rows. Send fewer rows at once.",
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

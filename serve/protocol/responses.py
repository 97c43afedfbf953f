"""Encodes what was inferred, as JSON or binary data."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson

from ..errors import ServiceError
from ..models.datatypes import BYTES, packed_strings
from .classification import classified
from .requested_outputs import RequestedOutput
from .requests import HEADER_LENGTH, InferRequest

if TYPE_CHECKING:
    from ..models.served_model import ServedModel

Headers = list[tuple[bytes, bytes]]

_JSON = (b"content-type", b"application/json")
_BINARY = (b"content-type", b"application/octet-stream")
_HEADER_LENGTH = HEADER_LENGTH.lower().encode()


def encode_response(
    request: InferRequest, model: "ServedModel", outputs: Mapping[str, np.ndarray]
) -> tuple[bytes, Headers]:
    """Encode the outputs of a model.

    Args:
        request: What was asked.
        model: The model that has answered.
        outputs: Its outputs, by name.

    Returns:
        The body, and headers that say how it is encoded.

    Raises:
        ServiceError: JSON cannot hold a value that is not finite; 400.
    """
    wanted = request.outputs
    if wanted is None:
        wanted = [RequestedOutput(name, request.binary) for name in model.outputs]
    tensors: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for output in wanted:
        tensor, content = _encoded(output, outputs[output.name], model)
        tensors.append(tensor)
        if content is not None:
            binary.append(content)
    document: dict[str, Any] = {
        "model_name": model.name,
        "model_version": model.version,
    }
    if request.id is not None:
        document["id"] = request.id
    document["outputs"] = tensors
    header = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if not binary:
        return header, [_JSON]
    length = str(len(header)).encode()
    return b"".join([header, *binary]), [_BINARY, (_HEADER_LENGTH, length)]


def _encoded(output, array, model) -> tuple[dict[str, Any], bytes | None]:
    """Return the JSON of an output and, where it is to be that, its binary data."""
    if output.classes:
        texts, shape = classified(array, output.classes, model.labels)
        tensor = {"name": output.name, "datatype": BYTES, "shape": shape}
        if not output.binary:
            return tensor | {"data": texts}, None
        content = packed_strings(texts)
    else:
        datatype = model.outputs[output.name].datatype
        tensor = {"name": output.name, "datatype": datatype, "shape": array.shape}
        if not output.binary:
            tensor["data"] = _in_json(array, output.name)
            return tensor, None
        content = array.tobytes()
    tensor["parameters"] = {"binary_data_size": len(content)}
    return tensor, content


def _in_json(array, name) -> np.ndarray:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ServiceError(
            400,
            f"For these inputs output '{name}' has values that are not finite, which "
            "JSON cannot hold. Ask for them as 'binary_data'.",
        )
    return np.ascontiguousarray(array).reshape(-1)

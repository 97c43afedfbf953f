"""Decodes what is to be inferred, and checks all of it before anything is computed."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ServiceError
from ..models.datatypes import BYTES, size_of
from ..models.tensor_spec import TensorSpec
from .checks import described, number_of_bytes, optional, refuse_shared_memory, shown
from .documents import parsed
from .requested_outputs import RequestedOutput, requested_outputs
from .tensors import values_from_bytes, values_from_json

if TYPE_CHECKING:
    from ..settings import Settings

HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(slots=True)
class InferRequest:
    """What is to be inferred.

    Attributes:
        arrays: An array for each input, of its dtype and shape.
        rows: Number of samples.
        id: What the client calls the request, or None.
        parameters: Those of the request.
        outputs: Outputs that it asks for; None for all.
        binary: Whether outputs are binary data where it does not say.
    """

    arrays: dict[str, np.ndarray]
    rows: int = 1
    id: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    outputs: list[RequestedOutput] | None = None
    binary: bool = False


def decode_request(
    body: bytes,
    header_length: str | bytes | None,
    inputs: Mapping[str, TensorSpec],
    limits: "Settings",
    outputs: Collection[str] | None = None,
) -> InferRequest:
    """Decode a request to infer.

    Args:
        body: The body, decompressed.
        header_length: The header `Inference-Header-Content-Length`: bytes of the JSON
            that binary data follows. None where all is JSON, "0" where all is data.
        inputs: What the model takes, by name.
        limits: Rows and depth that a request may have, and whether it may have NaN.
        outputs: Names that it may ask for; None for any.

    Returns:
        The request; its arrays may share memory with the body.

    Raises:
        ServiceError: It is not what the model takes (400), or has too many rows (413).

    Example:
        >>> import numpy as np
        >>> from kerasbnn.serve import Settings
        >>> from kerasbnn.serve.models.tensor_spec import TensorSpec
        >>> from kerasbnn.serve.protocol.requests import decode_request
        >>> x = TensorSpec("x", "FP32", np.dtype("float32"), (-1, 2))
        >>> body = (
        ...     b'{"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32",'
        ...     b' "data": [1, 2]}]}'
        ... )
        >>> decode_request(body, None, {"x": x}, Settings()).arrays["x"]
        array([[1., 2.]], dtype=float32)
    """
    binary: bytes | memoryview = b""
    if header_length is not None:
        length = number_of_bytes(header_length, HEADER_LENGTH)
        if not length:
            return _raw_request(body, inputs, limits)
        if length > len(body):
            raise ServiceError(
                400,
                f"{HEADER_LENGTH} is {length}, but the body has {len(body)} bytes. It "
                "is the number of bytes of the JSON before compression.",
            )
        body, binary = body[:length], memoryview(body)[length:]
    document = parsed(body, inputs, limits)
    request = _without_inputs(document, outputs)
    tensors = document.get("inputs")
    if type(tensors) is not list or not tensors:
        raise ServiceError(
            400,
            f"'inputs' must be a list with an object for each of "
            f"{described(inputs.values())}. Received: {shown(tensors)}.",
        )
    start = 0
    for tensor in tensors:
        spec = _spec_of(tensor, inputs)
        if spec.name in request.arrays:
            raise ServiceError(400, f"Input '{spec.name}' is given twice.")
        array, start = _decoded(tensor, spec, binary, start, limits)
        request.arrays[spec.name] = array
    if start != len(binary):
        raise ServiceError(
            400,
            f"{len(binary) - start} bytes at the end of the body belong to no input. "
            f"{HEADER_LENGTH} is the number of bytes of the JSON, 'binary_data_size' "
            "of those of an input.",
        )
    request.rows = _checked_rows(request.arrays, inputs)
    return request


def _raw_request(body, inputs, limits) -> InferRequest:
    """Decode a body that is nothing but the values of the only input."""
    spec, *others = inputs.values()
    if others or -1 in spec.shape[1:] or not spec.shape:
        raise ServiceError(
            400,
            f"{HEADER_LENGTH} is 0: the body is the data of the only input, of which "
            "all sizes but that of the batch are known. But the model takes "
            f"{described(inputs.values())}. Put JSON before the data.",
        )
    per_row = size_of(spec.shape[1:]) * spec.dtype.itemsize
    rows, left = divmod(len(body), per_row)
    if not rows or left or spec.shape[0] not in (-1, rows):
        raise ServiceError(
            400,
            f"The body has {len(body)} bytes, but a row of {described([spec])} takes "
            f"{per_row}.",
        )
    shape = [rows, *spec.shape[1:]]
    _check_limit(shape, spec, limits)
    values = values_from_bytes(spec, body, 0, size_of(shape), limits)
    return InferRequest({spec.name: values.reshape(shape)}, rows, binary=True)


def _without_inputs(document, outputs) -> InferRequest:
    request = InferRequest({}, id=optional(document, "id", str, "the request"))
    parameters = optional(document, "parameters", dict, "the request")
    if parameters:
        request.parameters = parameters
        request.binary = bool(
            optional(parameters, "binary_data_output", bool, "the request")
        )
    request.outputs = requested_outputs(document, outputs, request.binary)
    return request


def _spec_of(tensor, inputs) -> TensorSpec:
    if type(tensor) is not dict:
        raise ServiceError(
            400,
            "Each of 'inputs' must be an object with name, shape, datatype and data. "
            f"Received: {shown(tensor)}.",
        )
    name = tensor.get("name")
    spec = inputs.get(name) if type(name) is str else None
    if spec is None:
        raise ServiceError(
            400,
            f"The model has no input {shown(name)}. It takes "
            f"{described(inputs.values())}.",
        )
    return spec


def _decoded(tensor, spec, binary, start, limits) -> tuple[np.ndarray, int]:
    """Decode an input; return it and where the binary data of the next one starts."""
    datatype = tensor.get("datatype")
    if datatype != spec.datatype:
        raise ServiceError(
            400,
            f"Input '{spec.name}' is {spec.datatype}. Received: the datatype "
            f"{shown(datatype)}."
            + (" The model takes no texts." if datatype == BYTES else ""),
        )
    shape = _checked_shape(tensor.get("shape"), spec)
    _check_limit(shape, spec, limits)
    count = size_of(shape)
    where = f"input '{spec.name}'"
    parameters = optional(tensor, "parameters", dict, where)
    if parameters:
        refuse_shared_memory(parameters, f"Input '{spec.name}'")
    if not parameters or "binary_data_size" not in parameters:
        values = values_from_json(spec, tensor.get("data"), shape, count)
        return values.reshape(shape), start
    if "data" in tensor:
        raise ServiceError(
            400, f"'data' and 'binary_data_size' of {where} exclude each other."
        )
    size, expected = parameters["binary_data_size"], count * spec.dtype.itemsize
    if type(size) is not int or size != expected or start + size > len(binary):
        raise ServiceError(
            400,
            f"'binary_data_size' of {where} is {shown(size)}: {spec.datatype} of the "
            f"shape {shape} takes {expected} bytes, and {len(binary) - start} are left "
            "in the body.",
        )
    values = values_from_bytes(spec, binary, start, count, limits)
    return values.reshape(shape), start + size


def _checked_shape(shape, spec) -> list[int]:
    expected = spec.shape
    if (
        type(shape) is list
        and len(shape) == len(expected)
        and {int}.issuperset(map(type, shape))
        and all(
            size == wanted or (wanted == -1 and size > 0)
            for size, wanted in zip(shape, expected, strict=True)
        )
    ):
        return shape
    raise ServiceError(
        400,
        f"Input '{spec.name}' has the shape {shown(shape)}, expected {list(expected)}"
        + (", where -1 is any number from 1." if -1 in expected else "."),
    )


def _check_limit(shape, spec, limits):
    if spec.shape[:1] == (-1,) and shape[0] > limits.max_rows:
        raise ServiceError(
            413,
            f"The request has {shape[0]} rows, and {limits.max_rows} are the most that "
            "is taken. Send them in parts.",
        )


def _checked_rows(arrays, inputs) -> int:
    """Check that no input is missing, and that all have as many rows."""
    if len(arrays) != len(inputs):
        missing = [spec for name, spec in inputs.items() if name not in arrays]
        raise ServiceError(
            400, f"The model also needs {described(missing)}. Add it to 'inputs'."
        )
    rows = {len(arrays[n]) for n, s in inputs.items() if s.shape[:1] == (-1,)}
    if len(rows) > 1:
        raise ServiceError(
            400,
            f"All inputs must have the same number of rows. Received: {sorted(rows)}.",
        )
    return rows.pop() if rows else 1

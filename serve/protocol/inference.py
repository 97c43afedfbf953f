"""Answers a request to infer; every other request may take its time."""

import asyncio
from collections.abc import Mapping, MutableMapping
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ServiceError
from .bodies import Receive, read_body
from .checks import shown
from .compression import SHORTEST, accepted_encoding, compressed
from .requests import HEADER_LENGTH, InferRequest, decode_request
from .responses import Headers, encode_response

if TYPE_CHECKING:
    from ..application import Service
    from ..models.served_model import ServedModel

_HEADER_LENGTH = HEADER_LENGTH.lower().encode()


async def infer(
    service: "Service",
    scope: MutableMapping[str, Any],
    receive: Receive,
    model_name: str,
    version: str | None = None,
) -> tuple[int, Headers, bytes]:
    """Answer a request to infer.

    Args:
        service: The service.
        scope: The request, as ASGI describes it.
        receive: Gives the messages of ASGI.
        model_name: Name of the model.
        version: Its version; None for the last.

    Returns:
        Status, headers and body.

    Raises:
        ServiceError: There is no such model, or it cannot answer the request.
    """
    model = service.models.get(model_name, version)
    # Before the body is read, for under overload most requests are refused.
    model.check_queue()
    headers = dict(scope["headers"])
    begin = perf_counter_ns()
    try:
        body = await read_body(headers, receive, service.settings)
        received = perf_counter_ns()
        request = decode_request(
            body,
            headers.get(_HEADER_LENGTH),
            model.inputs,
            service.settings,
            model.outputs,
        )
        decoded = perf_counter_ns()
        outputs = await _inferred(model, request)
        inferred = perf_counter_ns()
        answer, fields = encode_response(request, model, outputs)
    except Exception:
        model.statistics.record_failure(perf_counter_ns() - begin)
        raise
    accept = headers.get(b"accept-encoding")
    if accept is not None and len(answer) >= SHORTEST:
        encoding = accepted_encoding(accept)
        if encoding is not None:
            answer = await compressed(answer, encoding)
            fields.append((b"content-encoding", encoding.encode()))
    model.statistics.record(
        rows=request.rows,
        received=received,
        decoded=decoded,
        inferred=inferred,
        encoded=perf_counter_ns(),
    )
    return 200, fields, answer


async def _inferred(
    model: "ServedModel", request: InferRequest
) -> Mapping[str, np.ndarray]:
    """Compute the outputs, within the time that the request gives."""
    microseconds = request.parameters.get("timeout")
    if microseconds is None or microseconds == 0:
        return await model.infer(request.arrays)
    if type(microseconds) is not int or microseconds < 0:
        raise ServiceError(
            400,
            "'timeout' of the request must be a number of microseconds. Received: "
            f"{shown(microseconds)}.",
        )
    try:
        async with asyncio.timeout(microseconds / 1e6):
            return await model.infer(request.arrays)
    except TimeoutError:
        raise ServiceError(
            504,
            f"Model '{model.name}' did not answer within {microseconds} us, the "
            "'timeout' of the request. Give it more.",
        ) from None

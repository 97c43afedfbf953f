"""The paths of the geometry: at the export, of live requests, of given inputs."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response

from kerasbnn.runtime import ModelError

from ..errors import ServiceError
from ..protocol.bodies import read_body
from ..protocol.requests import HEADER_LENGTH, decode_request
from ..protocol.schemas import (
    INFER_HEADERS,
    Schema,
    answer,
    errors,
    infer_body,
    path_parameter,
)
from . import schemas
from .monitor import GeometryMonitor
from .turns import Turns

if TYPE_CHECKING:
    from ..application import Service
    from ..models.served_model import ServedModel

Content = Callable[["ServedModel", Request], Awaitable[dict[str, Any]]]

_EXPORT = (
    "`kerasbnn export model.keras MODEL_DIR/NAME/VERSION --data x.npz` writes all that "
    "is needed"
)
_HEADER_LENGTH = HEADER_LENGTH.lower().encode()
_MODEL = "/v2/models/{model_name}"
_VERSION = "/v2/models/{model_name}/versions/{version}"


def add_geometry(app: FastAPI, service: "Service"):
    """Add the paths of the geometry.

    Args:
        app: The application.
        service: What its parts share.
    """
    turns = {id(model): Turns(model.name) for model in service.models}

    async def exported(model: "ServedModel", request: Request):
        if model.report is None:
            raise ServiceError(
                404,
                f"Model '{model.name}' came without the geometry of its layers: there "
                f"is no geometry.json beside '{model.files.model.name}'. {_EXPORT}.",
            )
        return model.report.to_dict(histograms=False)

    async def live(model: "ServedModel", request: Request):
        return await asyncio.to_thread(_monitor(model).live)

    async def given(model: "ServedModel", request: Request):
        monitor, turn = _monitor(model), turns[id(model)]
        # Before the body is read, as it may be large.
        turn.check()
        headers = dict(request.scope["headers"])
        body = await read_body(headers, request.receive, service.settings)
        length = headers.get(_HEADER_LENGTH)
        decoded = decode_request(body, length, model.inputs, service.settings)
        seconds = service.settings.inference_timeout
        try:
            async with turn.taken(seconds):
                return await asyncio.to_thread(monitor.measure, decoded.arrays, seconds)
        except TimeoutError as error:
            raise ServiceError(
                504,
                f"To measure the inputs took more than {seconds:g} s: {error} Send "
                "fewer rows.",
            ) from error
        except (ModelError, ValueError, TypeError) as error:
            raise ServiceError(400, str(error)) from error

    _add(
        app,
        service,
        ("GET", "/geometry", "Geometry of the layers at the export"),
        exported,
        schemas.GEOMETRY,
    )
    _add(
        app,
        service,
        ("GET", "/geometry/live", "Geometry of live requests, beside the reference"),
        live,
        schemas.LIVE,
    )
    _add(
        app,
        service,
        ("POST", "/geometry", "Geometry of given inputs, beside the reference"),
        given,
        schemas.MEASURED_INPUTS,
    )


def _add(
    app: FastAPI,
    service: "Service",
    route: tuple[str, str, str],
    content: Content,
    schema: Schema,
):
    method, ending, summary = route

    async def endpoint(request: Request):
        asked = request.path_params
        model = service.models.get(asked["model_name"], asked.get("version"))
        identity = {"model_name": model.name, "model_version": model.version}
        body = orjson.dumps({**identity, **await content(model, request)})
        return Response(body, media_type="application/json")

    versions = sorted({model.version for model in service.models})
    for path in (_MODEL, _VERSION):
        parameters = [path_parameter("model_name", service.models.names)]
        if path == _VERSION:
            parameters.append(path_parameter("version", versions))
        more: dict[str, Any] = {}
        statuses = [404]
        if method == "POST":
            parameters += INFER_HEADERS
            more["requestBody"] = infer_body(next(iter(service.models)))
            statuses += [400, 408, 413, 415, 503, 504]
        app.add_api_route(
            path + ending,
            endpoint,
            methods=[method],
            response_class=Response,
            responses={200: answer("The geometry", schema), **errors(*statuses)},
            summary=summary,
            tags=["Geometry"],
            openapi_extra={"parameters": parameters, **more},
        )


def _monitor(model: "ServedModel") -> GeometryMonitor:
    if model.monitor is not None:
        return model.monitor
    lacking = "model.probe.tflite" if model.files.probe is None else "reference"
    raise ServiceError(
        404,
        f"Model '{model.name}' came without a {lacking}, so that inputs cannot be "
        f"measured. {_EXPORT}.",
    )

"""The paths of the Open Inference Protocol."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response

from ..errors import ServiceError
from . import metadata, schemas
from .inference import infer

if TYPE_CHECKING:
    from ..application import Service
    from ..models.served_model import ServedModel

__all__ = ["add_protocol", "infer"]

Endpoint = Callable[[Request], Awaitable[Response]]

_MODEL = "/v2/models/{model_name}"
_VERSION = "/v2/models/{model_name}/versions/{version}"

# What clients of other servers ask for, by path.
_MISSING = {
    "/v2/repository/{rest:path}": "loads its models when it is started only",
    "/v2/systemsharedmemory/{rest:path}": "has no shared memory. Send binary data",
    "/v2/cudasharedmemory/{rest:path}": "has no shared memory. Send binary data",
    "/v2/trace/setting": "has no traces",
    f"{_MODEL}/trace/setting": "has no traces",
    "/v2/logging": "takes the settings of its log when it is started only",
}


def add_protocol(app: FastAPI, service: "Service"):
    """Add the paths of the Open Inference Protocol.

    Args:
        app: The application.
        service: What its parts share.
    """
    _add_server(app, service)
    _add_models(app, service)
    _add_infer(app, service)
    for path, what in _MISSING.items():
        app.add_api_route(
            path, _refusal(what), methods=["GET", "POST"], include_in_schema=False
        )


def _add_server(app, service):
    async def server_metadata(request: Request):
        return _json(metadata.server_metadata())

    async def server_live(request: Request):
        return _json({"live": True})

    async def server_ready(request: Request):
        return _json({"ready": service.ready}, 200 if service.ready else 503)

    async def all_statistics(request: Request):
        return _json(metadata.model_statistics(list(service.models)))

    _add(app, "/v2", server_metadata, schemas.SERVER, "Name, version, extensions")
    _add(app, "/v2/health/live", server_live, schemas.LIVE, "Does the service run?")
    for path, endpoint in (("live", server_live), ("ready", server_ready)):
        app.add_api_route(
            f"/v2/health/{path}", endpoint, methods=["HEAD"], include_in_schema=False
        )
    _add(
        app,
        "/v2/health/ready",
        server_ready,
        schemas.READY,
        "Does the service answer requests?",
        {503: schemas.answer("It does not yet, or not any more", schemas.READY)},
    )
    _add(
        app,
        "/v2/models/stats",
        all_statistics,
        schemas.STATISTICS,
        "What all models have answered",
    )


def _add_models(app, service):
    models, max_rows = service.models, service.settings.max_rows

    def add(ending, schema, summary, content: Callable[["ServedModel"], Any]):
        async def endpoint(request: Request):
            asked = request.path_params
            model = models.get(asked["model_name"], asked.get("version"))
            return _json(content(model))

        for path in (_MODEL, _VERSION):
            _add(
                app,
                path + ending,
                endpoint,
                schema,
                summary,
                schemas.errors(404),
                _path_parameters(path, models),
            )

    add(
        "",
        schemas.METADATA,
        "Inputs and outputs of a model",
        lambda model: metadata.model_metadata(model, models),
    )
    add(
        "/ready",
        schemas.MODEL_READY,
        "Does a model answer requests?",
        lambda model: {"name": model.name, "ready": service.ready},
    )
    add(
        "/config",
        schemas.CONFIG,
        "Configuration of a model, with the times of its batches",
        lambda model: metadata.model_config(model, max_rows),
    )
    add(
        "/stats",
        schemas.STATISTICS,
        "What a model has answered",
        lambda model: metadata.model_statistics([model]),
    )


def _add_infer(app, service):
    """Document what the gate answers; these answer the same where there is no gate."""

    async def endpoint(request: Request):
        status, headers, body = await infer(
            service, request.scope, request.receive, **request.path_params
        )
        fields = {name.decode(): value.decode() for name, value in headers}
        return Response(body, status, fields)

    for path in (_MODEL, _VERSION):
        parameters = _path_parameters(path, service.models)
        app.add_api_route(
            f"{path}/infer",
            endpoint,
            methods=["POST"],
            response_class=Response,
            responses={
                200: schemas.INFERRED,
                **schemas.errors(400, 404, 408, 413, 415, 503, 504),
            },
            summary="Compute the outputs of a model",
            tags=["Open Inference Protocol"],
            openapi_extra={
                "parameters": [*parameters, *schemas.INFER_HEADERS],
                "requestBody": schemas.infer_body(next(iter(service.models))),
            },
        )


def _add(app, path, endpoint, schema, summary, errors=None, parameters=()):
    app.add_api_route(
        path,
        endpoint,
        methods=["GET"],
        response_class=Response,
        responses={200: schemas.answer("The answer", schema), **(errors or {})},
        summary=summary,
        tags=["Open Inference Protocol"],
        openapi_extra={"parameters": list(parameters)} if parameters else None,
    )


def _path_parameters(path, models):
    parameters = [schemas.path_parameter("model_name", models.names)]
    if path == _VERSION:
        versions = sorted({model.version for model in models})
        parameters.append(schemas.path_parameter("version", versions))
    return parameters


def _refusal(what) -> Endpoint:
    async def refuse(request: Request):
        raise ServiceError(404, f"This service {what}.")

    return refuse


def _json(content, status=200):
    return Response(orjson.dumps(content), status, media_type="application/json")

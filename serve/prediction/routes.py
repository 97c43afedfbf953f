"""`POST /v2/models/{model}/predict`: an image in, labels and scores out."""

from typing import TYPE_CHECKING

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response

from ..errors import ServiceError
from ..page.origin import check_origin
from ..protocol.schemas import answer, errors, path_parameter
from . import schemas
from .predictor import Predictor
from .ranking import TOP

if TYPE_CHECKING:
    from ..application import Service

MOST = 1000
"""How many predictions may be asked for."""


def add_prediction(app: FastAPI, service: "Service"):
    """Add the paths that predict what an image shows.

    Args:
        app: The application; `app.state.predictor` is what they use.
        service: The service.
    """
    predictor = app.state.predictor = Predictor(service.settings)

    async def predict(request: Request) -> Response:
        check_origin(request.headers)
        asked = request.path_params
        model = service.models.get(asked["model_name"], asked.get("version"))
        top = _top(request.query_params.get("top"))
        found = await predictor.predict(model, request, top)
        return Response(orjson.dumps(found.answer), media_type="application/json")

    name = path_parameter("model_name", service.models.names)
    versions = sorted({model.version for model in service.models})
    for path, parameters in (
        ("/v2/models/{model_name}", [name]),
        (
            "/v2/models/{model_name}/versions/{version}",
            [name, path_parameter("version", versions)],
        ),
    ):
        app.add_api_route(
            f"{path}/predict",
            predict,
            methods=["POST"],
            summary="Predict what an image shows",
            tags=["Prediction"],
            response_class=Response,
            responses={
                200: answer("The classes with the highest scores", schemas.PREDICTION),
                **errors(400, 403, 404, 408, 413, 415, 503, 504),
            },
            openapi_extra={
                "parameters": [*parameters, schemas.top_parameter(TOP, MOST)],
                "requestBody": schemas.BODY,
            },
        )


def _top(text: str | None) -> int:
    if text is None:
        return TOP
    is_number = text.isascii() and text.isdecimal() and len(text) <= len(str(MOST))
    if not (is_number and 1 <= int(text) <= MOST):
        raise ServiceError(
            400,
            f"'top' must be a whole number from 1 to {MOST}. Received: '{text[:50]}'.",
        )
    return int(text)

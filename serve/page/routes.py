"""The pages of the service: `/`, `/models/{model}` and `/docs`."""

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, Response

from kerasbnn import runtime

from ..errors import ServiceError
from .commands import infer_command, predict_command
from .documentation import add_documentation
from .durations import durations_of, histogram_of
from .origin import check_origin
from .rendering import HERE, Files, Pages
from .sample import SAMPLE, has_sample
from .views import Details, ModelView, PredictionView, since

if TYPE_CHECKING:
    from ..application import Service
    from ..models.served_model import ServedModel

ICON = HERE / "static" / "icon.svg"


def add_page(app: FastAPI, service: "Service"):
    """Add the pages, and the files that they load.

    Args:
        app: The application.
        service: The service.
    """
    pages = Pages()
    add_documentation(app, pages)
    app.mount("/static", Files(HERE / "static"), name="static")

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return FileResponse(ICON, media_type="image/svg+xml")

    @app.get("/", include_in_schema=False)
    async def overview(request: Request) -> Response:
        return await asyncio.to_thread(_overview, pages, service, request)

    async def model_page(request: Request) -> Response:
        try:
            model = _model(service, request)
        except ServiceError as error:
            return pages.render(
                request, "error.html", status=error.status, message=error.message
            )
        tried: dict[str, Any] = {}
        if request.method == "POST":
            tried = await _tried(app, model, request)
        others = _other_versions(service, model)
        return await asyncio.to_thread(
            _model_page, pages, request, model, others, **tried
        )

    for path in (
        "/models/{model_name}",
        "/models/{model_name}/versions/{version}",
    ):
        app.add_api_route(
            path, model_page, methods=["GET", "POST"], include_in_schema=False
        )


def _model(service, request) -> "ServedModel":
    asked = request.path_params
    return service.models.get(asked["model_name"], asked.get("version"))


def _other_versions(service, model) -> dict[str, str]:
    """Return paths of the pages of the other versions of a model, by their names."""
    return {
        version: f"/models/{model.name}/versions/{version}"
        for version in service.models.versions(model.name)
        if version != model.version
    }


async def _tried(app, model, request) -> dict[str, Any]:
    """Predict what the image of the form shows, or say why not."""
    try:
        check_origin(request.headers)
        predictor = app.state.predictor
        if "sample" in request.query_params and has_sample(model):
            found = await predictor.predict_file(model, SAMPLE)
        else:
            found = await predictor.predict(model, request)
    except ServiceError as error:
        return {"refusal": error}
    return {"prediction": PredictionView.of(found)}


def _overview(pages, service, request):
    models = [ModelView.of(model, _live(model)) for model in service.models]
    started, ago = since(service.started)
    status = runtime.status()
    return pages.render(
        request,
        "overview.html",
        models=models,
        times=_times(service),
        ready=service.ready,
        started=started,
        ago=ago,
        implementation=status.implementation or "LiteRT's own operations",
        reason=status.reason,
    )


def _times(service):
    """Return a histogram of what the requests for each model took, by its name."""
    found = {}
    for name in service.models.names:
        histogram = histogram_of(durations_of(service.metrics.collect(), name), name)
        if histogram:
            found[name] = histogram
    return found


def _model_page(
    pages,
    request,
    model,
    others,
    *,
    refusal: ServiceError | None = None,
    prediction: PredictionView | None = None,
) -> Response:
    live = _live(model)
    view = ModelView.of(model, live)
    address = str(request.base_url).rstrip("/")
    if view.takes_images:
        command = predict_command(address + view.api)
    else:
        command = infer_command(address + view.api, model.inputs.values())
    return pages.render(
        request,
        "model.html",
        status=refusal.status if refusal else 200,
        headers=refusal.headers if refusal else None,
        model=view,
        others=others,
        command=command,
        sample=f"{address}/static/{SAMPLE.name}" if has_sample(model) else "",
        details=Details.of(model, live),
        prediction=prediction,
        refusal=refusal.message if refusal else "",
    )


def _live(model) -> dict[str, Any] | None:
    return None if model.monitor is None else model.monitor.live()

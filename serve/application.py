"""The application: its parts, and when they begin and end."""

import asyncio
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.routing import Match

from kerasbnn._version import __version__

from .admission import Admission
from .errors import ServiceError
from .gate import UNEXPECTED, Gate
from .geometry.routes import add_geometry
from .models.served_model import ModelSet
from .page.routes import add_page
from .prediction.routes import add_prediction
from .protocol.routes import add_protocol
from .security import KeyCheck
from .settings import Settings
from .telemetry.metrics import Metrics, add_metrics

DESCRIPTION = """Predictions of binary neural networks by the Open Inference Protocol,
version 2, and the geometry of their layers: as it was when they were exported, and as
it is for live requests."""

logger = logging.getLogger(__name__)


@dataclass
class Service:
    """What the parts of the application share.

    Attributes:
        settings: As given.
        models: The models.
        keys: Says who may ask.
        metrics: Counts.
        ready: Whether the service wants requests.
        draining: Whether it is about to end, and connections close with their answers.
        admission: Places for connections.
        started: When it began, in seconds since 1970.
    """

    settings: Settings
    models: ModelSet
    keys: KeyCheck
    metrics: Metrics
    admission: Admission
    ready: bool = False
    draining: bool = False
    started: float = field(default_factory=time.time)

    def drain(self):
        """Say to who asks that the service is about to end."""
        self.ready = False
        self.draining = True


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the application, with its models loaded.

    Args:
        settings: Settings; None takes those of the environment.

    Returns:
        An application for any server of ASGI; `app.state.service` is the `Service`.

    Raises:
        CommandError: There is no model, or a file cannot be served.

    Example:
        >>> from kerasbnn.serve import Settings, create_app
        >>> app = create_app(Settings(port=9000))
        >>> app.state.service.models.names
        ['digits']
    """
    settings = settings or Settings()  # pyright: ignore[reportCallIssue]
    models = ModelSet.load(settings)
    service = Service(
        settings,
        models,
        KeyCheck(settings),
        Metrics(models),
        Admission(settings.max_connections),
    )
    app = _Application(
        title="kerasbnn",
        version=__version__,
        description=DESCRIPTION,
        lifespan=_lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.service = service
    add_protocol(app, service)
    add_prediction(app, service)
    add_geometry(app, service)
    add_metrics(app, service)
    add_page(app, service)
    _answer_errors_alike(app)
    app.gate = Gate(app.answer, service)
    return app


class _Application(FastAPI):
    """An application that every request enters through a gate."""

    gate: Gate

    async def __call__(self, scope, receive, send):
        await self.gate(scope, receive, send)

    async def answer(self, scope, receive, send):
        """Answer a request that has passed the gate."""
        await super().__call__(scope, receive, send)


@asynccontextmanager
async def _lifespan(app: FastAPI):
    service: Service = app.state.service
    for model in service.models:
        model.start()
    service.ready = True
    # A server hands this to its connections.
    yield {"admission": service.admission}
    service.drain()
    seconds = service.settings.shutdown_timeout
    try:
        async with asyncio.timeout(seconds):
            await asyncio.gather(*(model.close() for model in service.models))
    except TimeoutError:
        logger.warning("After %g s the models still compute. They are left.", seconds)


def _answer_errors_alike(app: FastAPI):
    """Give every error the form that clients of the protocol read."""

    def answer(status, message, headers=None):
        body = orjson.dumps({"error": message})
        return Response(body, status, headers, "application/json")

    @app.exception_handler(ServiceError)
    async def refused(request: Request, error: ServiceError):
        return answer(error.status, error.message, error.headers)

    @app.exception_handler(HTTPException)
    async def failed(request: Request, error: HTTPException):
        message = str(error.detail)
        if error.status_code == 404:
            message = f"There is nothing at '{request.url.path[:200]}'. See /docs."
        elif error.status_code == 405:
            message = f"'{request.url.path[:200]}' has no {request.method[:20]}."
            return answer(405, message, {"Allow": ", ".join(_methods(request))})
        return answer(error.status_code, message, error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError):
        texts = []
        for found in error.errors():
            where = " ".join(str(part) for part in found["loc"])
            texts.append(f"{where}: {found['msg']}.")
        return answer(400, " ".join(texts))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception):
        return answer(500, UNEXPECTED)


def _methods(request: Request) -> list[str]:
    """Return the methods that a path has, of all of its routes."""
    return sorted(
        {
            method
            for route in request.app.routes
            if route.matches(request.scope)[0] is not Match.NONE
            # A folder of files has none of its own.
            for method in getattr(route, "methods", ("GET", "HEAD"))
        }
    )

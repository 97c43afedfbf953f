"""What every request passes first: keys, an id, the clock, and the short way."""

import asyncio
import itertools
import logging
import secrets
import string
import time
from typing import TYPE_CHECKING

import orjson

from .admission import SURPLUS
from .errors import ServiceError
from .protocol.routes import infer
from .security import CHALLENGE, MISSING_KEY, is_open
from .telemetry.logs import log_request

if TYPE_CHECKING:
    from .application import Service

logger = logging.getLogger(__name__)

REQUEST_ID = b"x-request-id"
_LONGEST_ID = 128
_ID_CHARACTERS = frozenset((string.ascii_letters + string.digits + "._-").encode())

CLOSE = (b"connection", b"close")
OVERLOADED = 503
GONE = 499  # The client, before it was answered.
JSON_TYPE = (b"content-type", b"application/json")
UNEXPECTED = "The service failed at this request, which is an error of its own."


class Gate:
    """The outermost application of ASGI.

    It knows the paths that infer, and answers them itself: the routes, the validation
    and the middleware of a web framework would take longer than the network does.

    Args:
        app: The application for everything else.
        service: The service.
    """

    def __init__(self, app, service: "Service"):
        self._app = app
        self._service = service
        self._paths: dict[str, tuple[str, str | None]] | None = None
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    async def __call__(self, scope, receive, send):
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        exchange = _Exchange(send, self._request_id(scope), self._service)
        target = self._target(scope)
        try:
            self._check_admission(scope)
            if not self._is_allowed(scope):
                raise ServiceError(401, MISSING_KEY, CHALLENGE)
            if target is None:
                scope["request_id"] = exchange.id.decode()
                await self._app(scope, receive, exchange.send)
            else:
                status, headers, body = await infer(
                    self._service, scope, receive, *target
                )
                await exchange.answer(status, headers, body)
        except ServiceError as error:
            await exchange.refuse(error)
        except Exception:
            logger.exception("Request %s failed", exchange.id.decode())
            await exchange.refuse(ServiceError(500, UNEXPECTED))
        self._record(scope, target, exchange, time.perf_counter() - started)

    def _target(self, scope):
        """Return name and version of the model that is to infer, or None."""
        if scope["method"] != "POST":
            return None
        if self._paths is None:
            self._paths = infer_paths(self._service.models)
        return self._paths.get(scope["path"])

    def _is_allowed(self, scope):
        keys = self._service.keys
        return (
            not keys.is_needed
            or is_open(scope["path"])
            or keys.allows(scope["headers"])
        )

    def _check_admission(self, scope):
        """Refuse what comes on a connection too many: each that waits delays all."""
        if SURPLUS in scope.get("extensions", ()) and not is_open(scope["path"]):
            raise ServiceError(
                503,
                f"More than {self._service.admission.most} connections are open. Try "
                "again later, or ask on fewer connections.",
                {"Retry-After": "1", "Connection": "close"},
            )

    def _request_id(self, scope) -> bytes:
        for name, value in scope["headers"]:
            if (
                name == REQUEST_ID
                and 0 < len(value) <= _LONGEST_ID
                and _ID_CHARACTERS.issuperset(value)
            ):
                return value
        return f"{self._prefix}-{next(self._numbers):x}".encode()

    def _record(self, scope, target, exchange, seconds):
        status = exchange.status
        if target is not None:
            route, model = "infer", target[0]
        else:
            route = getattr(scope.get("route"), "path", "other")
            model = scope.get("path_params", {}).get("model_name", "")
        self._service.metrics.observe(route, model, status, seconds)
        wanted = self._service.settings.log_requests
        # Overload refuses thousands a second; the metrics count them.
        is_error = status >= 400 and status != OVERLOADED
        if wanted == "all" or (wanted == "errors" and is_error):
            reason = exchange.reason
            log_request(scope, exchange.id.decode(), status, seconds, reason)


class _Exchange:
    """The answer to one request."""

    def __init__(self, send, request_id: bytes, service: "Service"):
        self._send = send
        self._service = service
        self.id = request_id
        self.status = GONE  # Nothing was sent.
        self.reason: str | None = None

    async def send(self, message):
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._headers()]
        await self._deliver(message)

    async def answer(self, status, headers, body):
        self.status = status
        headers.append((b"content-length", b"%d" % len(body)))
        headers += self._headers()
        await self._deliver(
            {"type": "http.response.start", "status": status, "headers": headers}
        )
        await self._deliver({"type": "http.response.body", "body": body})

    async def _deliver(self, message):
        try:
            await self._send(message)
        except (OSError, RuntimeError) as error:
            # uvloop raises the latter, with this text.
            if not isinstance(error, OSError) and "handler is closed" not in str(error):
                raise
            self.status = GONE
            logger.debug("Request %s was not answered: %s", self.id.decode(), error)
            # Lets the server take note before more is sent.
            await asyncio.sleep(0)

    def _headers(self):
        if self._service.draining:
            return ((REQUEST_ID, self.id), CLOSE)
        return ((REQUEST_ID, self.id),)

    async def refuse(self, error: ServiceError):
        self.reason = error.message
        if self.status != GONE:
            return  # The answer has begun.
        headers = [
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in error.headers.items()
        ]
        body = orjson.dumps({"error": error.message})
        await self.answer(error.status, [JSON_TYPE, *headers], body)


def infer_paths(models) -> dict[str, tuple[str, str | None]]:
    """Return the paths on which models infer.

    Args:
        models: The models.

    Returns:
        Dict from the path to name and version, None for the last one.
    """
    paths: dict[str, tuple[str, str | None]] = {}
    for model in models:
        root = f"/v2/models/{model.name}"
        paths[f"{root}/infer"] = (model.name, None)
        paths[f"{root}/versions/{model.version}/infer"] = (model.name, model.version)
    return paths

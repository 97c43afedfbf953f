"""Runs the application in uvicorn."""

import asyncio
import contextlib
import errno
import gc
import logging
import os
import socket
import time
from typing import Any

import uvicorn

from kerasbnn._errors import CommandError

from .application import Service, create_app
from .connections import Connection
from .security import check_exposure
from .settings import Settings
from .telemetry.logs import set_up

logger = logging.getLogger(__name__)

# Connections that may wait to be accepted.
WAITING_CONNECTIONS = 2048

# Longer than proxies keep a connection, or they send a request as it closes.
IDLE_SECONDS = 75

# At the end, what is silent for so long, in seconds, has nothing more to say.
SILENCE = 0.5


class Server(uvicorn.Server):
    """A server that answers what was sent before it ends.

    uvicorn alone closes connections at once where no request is running, although one
    may have been sent already. Here each connection is told to close with its next
    answer, and closed by the server only when all are silent.

    Args:
        settings: Settings.

    Raises:
        CommandError: There is no model, or a file cannot be served.
    """

    def __init__(self, settings: Settings):
        app = create_app(settings)
        self.service: Service = app.state.service
        super().__init__(_configuration(app, settings))

    async def startup(self, sockets=None):
        """Begin to answer, and say what is served, and where."""
        # What is there now stays; looking through it again would delay requests.
        gc.collect()
        gc.freeze()
        for model in self.service.models:
            logger.info("%s", _described(model))
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            where = f"http://{f'[{host}]' if ':' in host else host}:{port}"
            logger.info("Serving on %s: /, /docs, /metrics. Ctrl-C ends it.", where)

    async def shutdown(self, sockets=None):
        """Answer what was sent, then close."""
        self.service.drain()
        await self._accept_what_waits()
        state = self.server_state
        deadline = time.monotonic() + self.service.settings.shutdown_timeout
        while state.connections and not self.force_exit:
            answered = state.total_requests
            await asyncio.sleep(SILENCE)
            is_silent = state.total_requests == answered and not state.tasks
            if is_silent or time.monotonic() > deadline:
                break
        await super().shutdown(sockets)

    async def _accept_what_waits(self):
        """Stop listening, but serve the connections that the system has taken already.

        To close a socket resets those that wait on it, with the requests that they
        carry.
        """
        waiting = []
        for server in self.servers:
            # A second handle keeps the socket open while the loop lets it go.
            listeners = [
                socket.socket(fileno=os.dup(found.fileno())) for found in server.sockets
            ]
            server.close()
            for listener in listeners:
                listener.setblocking(False)
                with listener, contextlib.suppress(BlockingIOError):
                    while True:
                        waiting.append(listener.accept()[0])
        loop = asyncio.get_running_loop()
        for connection in waiting:
            await loop.connect_accepted_socket(self._protocol, connection)

    def _protocol(self):
        protocol: Any = self.config.http_protocol_class
        return protocol(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )


def serve(settings: Settings) -> int:
    """Serve until a signal ends it.

    Args:
        settings: Settings.

    Returns:
        Exit status: 0.

    Raises:
        CommandError: A setting or a model is not usable, or the address is not free.
    """
    check_exposure(settings)
    # Before models are loaded, for that takes a while.
    with _bound(settings) as listener:
        set_up(settings)
        with contextlib.suppress(KeyboardInterrupt):
            Server(settings).run([listener])
    return 0


def _bound(settings):
    """Return a socket that is bound to the address of the settings."""
    host, port = settings.host, settings.port
    try:
        family, kind, *_, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise CommandError(
            f"'{host}' is no address to listen on: {error.strerror}. Give --host one "
            "of this machine, such as 127.0.0.1."
        ) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            text = "is in use. Choose another with --port, or 0 for a free one."
        else:
            text = f"cannot be listened on: {error.strerror}. Choose another by --port."
        raise CommandError(f"port {port} of {host} {text}") from error
    listener.set_inheritable(True)
    return listener


def _described(model):
    taken, all_layers = len(model.interpreter.delegated), model.interpreter.composites
    inputs, outputs = (
        ", ".join(f"{spec.name} {list(spec.shape)}" for spec in specs.values())
        for specs in (model.inputs, model.outputs)
    )
    watched = "measured" if model.monitor else "not measured, without an export"
    return (
        f"Model {model.name}, version {model.version}: {inputs} -> {outputs}. "
        f"{taken} of {len(all_layers)} binary layers by the native delegate. Geometry "
        f"of live requests {watched}. {model.plan.reason}"
    )


def _configuration(app, settings):
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http=Connection,
        ws="none",
        # Anyone may send X-Forwarded-For.
        proxy_headers=False,
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=WAITING_CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=max(round(settings.shutdown_timeout), 1),
    )

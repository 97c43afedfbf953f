"""Runs the application in uvicorn."""

import uvicorn

from .application import create_app
from .security import check_exposure
from .settings import Settings
from .telemetry.logs import set_up

# Heads of requests that are larger are refused by the parser.
LARGEST_HEAD = 64 * 1024
WAITING_CONNECTIONS = 2048


def serve(settings: Settings) -> int:
    """Serve until a signal ends it.

    Args:
        settings: Settings.

    Returns:
        Exit status: 0.

    Raises:
        CommandError: A setting or a model is not usable.
    """
    check_exposure(settings)
    set_up(settings)
    server = uvicorn.Server(configuration(settings))
    server.run()
    return 0


def configuration(settings: Settings) -> uvicorn.Config:
    """Return how uvicorn is to run the application.

    Args:
        settings: Settings.

    Returns:
        The configuration, with the application in it.
    """
    return uvicorn.Config(
        create_app(settings),
        host=settings.host,
        port=settings.port,
        # What costs most per request after the application itself.
        http="httptools",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=WAITING_CONNECTIONS,
        timeout_graceful_shutdown=round(settings.shutdown_timeout) or 1,
    )

"""A real server for the tests of the service."""

import contextlib
import threading
import time

import pytest


@contextlib.contextmanager
def running(**settings):
    """Run a server in a thread; yields its address, such as http://127.0.0.1:4711."""
    from kerasbnn.serve.server import Server
    from kerasbnn.serve.settings import Settings

    settings = {"port": 0, "log_requests": "none", "batching": "off"} | settings
    server = Server(Settings(**settings))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 60
    while not server.started:
        assert thread.is_alive(), "the server has ended"
        assert time.monotonic() < deadline, "the server does not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)


@pytest.fixture(scope="session")
def serve_folder():
    """Return `running`: a context manager that serves a folder of models."""
    return running


@pytest.fixture(scope="session")
def digits_server():
    """Return the address of a server of the packaged digits."""
    with running() as address:
        yield address

"""What `docker/healthcheck.py` makes of a service's answers."""

import os
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker/healthcheck.py"


def check(port):
    return subprocess.run(
        [sys.executable, "-IS", SCRIPT],
        env=os.environ | {"KERASBNN_SERVE_PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=30,
    )


@pytest.mark.parametrize(("status", "exit_status"), [(200, 0), (503, 1), (404, 1)])
def test_status_of_the_answer(status, exit_status):
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        result = check(server.server_port)
        thread.join()
    assert asked == ["/v2/health/ready"]
    assert result.returncode == exit_status
    assert (str(status) in result.stderr) == (status != 200)


def test_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        result = check(taken.getsockname()[1])
    assert result.returncode == 1
    assert "no answer" in result.stderr


def test_not_http():
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer():
            connection, _ = server.accept()
            connection.recv(1000)
            connection.sendall(b"SSH-2.0-something\r\n")
            connection.close()

        thread = threading.Thread(target=answer)
        thread.start()
        result = check(server.getsockname()[1])
        thread.join()
    assert result.returncode == 1
    assert "no answer" in result.stderr


def test_nobody_answers():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        result = check(silent.getsockname()[1])
    assert result.returncode == 1
    assert "no answer" in result.stderr

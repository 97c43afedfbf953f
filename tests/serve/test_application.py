"""The service as a whole: ids, errors, keys, versions, and how it ends."""

import asyncio
import http.client
import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import numpy as np
import pytest
import uvloop

from kerasbnn._errors import CommandError
from kerasbnn.runtime import Interpreter
from kerasbnn.serve import Settings, create_app, gate
from kerasbnn.serve.models.repository import packaged_models
from kerasbnn.serve.server import Server
from tests.helpers.processes import ROOT

DIGITS = packaged_models() / "digits" / "1"
INFER = "/v2/models/digits/infer"
KEY = "the-right-key-of-the-test"


def body_of(x):
    (name,) = Interpreter(DIGITS / "model.tflite").signatures["serving_default"].inputs
    tensor = {"name": name, "shape": list(x.shape), "datatype": "FP32"}
    return {"inputs": [{**tensor, "data": x.ravel().tolist()}]}


@pytest.fixture(scope="module")
def body():
    return body_of(np.zeros((1, 8, 8, 1), np.float32))


def test_an_answer_is_that_of_the_interpreter(digits_server):
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 1)).astype(np.float32)
    answer = httpx.post(digits_server + INFER, json=body_of(x))
    assert answer.status_code == 200
    (output,) = answer.json()["outputs"]
    expected = Interpreter(DIGITS / "model.tflite").predict(x)
    assert output["shape"] == [3, 10]
    np.testing.assert_array_equal(
        np.reshape(output["data"], (3, 10)).astype(np.float32), expected
    )


@pytest.mark.parametrize("path", [INFER, "/v2", "/v2/models/none", "/nowhere"])
def test_every_answer_has_an_id(path, body, digits_server):
    with httpx.Client(base_url=digits_server) as client:

        def answer_to(request_id):
            headers = {} if request_id is None else {"X-Request-Id": request_id}
            if path == INFER:
                return client.post(path, json=body, headers=headers)
            return client.get(path, headers=headers)

        assert answer_to("my-id_1.2").headers["x-request-id"] == "my-id_1.2"
        made = [answer_to(None).headers["x-request-id"] for _ in range(3)]
        assert len(set(made)) == 3
        for wrong in ("", "a b", "x" * 129, 'x"y', "é"):
            sent = wrong.encode("utf-8")
            assert answer_to(sent).headers["x-request-id"] != wrong


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/none", 404),
        ("GET", "/v2/models/digits/versions/7", 404),
        ("POST", "/v2/models/none/infer", 404),
        ("POST", "/v2/models/digits/versions/7/infer", 404),
        ("GET", INFER, 405),
        ("DELETE", "/v2/models/digits", 405),
        ("GET", "/v2/nothing", 404),
        ("GET", "/v2/models/digits/infer/", 404),
        ("POST", "/v2/models/digits%2f..%2fx/infer", 404),
    ],
)
def test_errors_are_words_in_one_form(method, path, status, digits_server):
    answer = httpx.request(method, digits_server + path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]
    assert len(answer.json()["error"]) > 10


def test_an_error_of_the_service_itself_is_logged_and_not_told(
    body, serve_folder, monkeypatch, caplog
):
    async def broken(*arguments):
        raise ZeroDivisionError("the secret")

    with serve_folder() as address:
        monkeypatch.setattr(gate, "infer", broken)
        with caplog.at_level(logging.ERROR):
            answer = httpx.post(address + INFER, json=body)
        monkeypatch.undo()
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert list(answer.json()) == ["error"]
        assert "ZeroDivisionError" in caplog.text
        assert answer.headers["x-request-id"] in caplog.text
        assert httpx.post(address + INFER, json=body).status_code == 200


def test_without_a_key_only_health_is_told(body, serve_folder):
    with serve_folder(api_keys=(KEY,)) as address, httpx.Client() as client:
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert client.get(address + path).status_code == 200
        for path in ("/v2", "/v2/models/digits", "/", "/metrics", "/docs"):
            assert client.get(address + path).status_code == 401, path
        answer = client.post(address + INFER, json=body)
        assert answer.status_code == 401
        assert "error" in answer.json()
        assert answer.headers["www-authenticate"].startswith("Basic")
        for headers, status in (
            ({"Authorization": f"Bearer {KEY}"}, 200),
            ({"X-API-Key": KEY}, 200),
            ({"Authorization": "Bearer wrong"}, 401),
        ):
            answer = client.post(address + INFER, json=body, headers=headers)
            assert answer.status_code == status


def test_too_many_connections_are_refused_and_closed(body, serve_folder):
    with serve_folder(max_connections=2) as address:
        host = address.removeprefix("http://")
        connections = [http.client.HTTPConnection(host, timeout=30) for _ in range(4)]

        def ask(connection, path="/v2"):
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

        assert [ask(connection)[0] for connection in connections[:2]] == [200, 200]
        connections[3].connect()
        status, headers, content = ask(connections[2])
        assert (status, headers["retry-after"], headers["connection"]) == (
            503,
            "1",
            "close",
        )
        assert "2 connections" in json.loads(content)["error"]
        # Who asks for health is answered all the same.
        assert ask(connections[3], "/v2/health/ready")[0] == 200
        for connection in connections[2:]:
            connection.close()
        time.sleep(0.2)
        assert ask(connections[0])[0] == 200
        for connection in connections:
            connection.close()


def test_connections_too_many_do_not_lock_out_the_others(serve_folder):
    with serve_folder(max_connections=4) as address:
        host = address.removeprefix("http://")
        connections = [http.client.HTTPConnection(host, timeout=30) for _ in range(6)]
        for connection in connections:
            connection.connect()
        # All are sent before the first answer is read.
        for connection in connections:
            connection.request("GET", "/v2")
        answers = [connection.getresponse() for connection in connections]
        assert [answer.status for answer in answers] == [200] * 4 + [503] * 2
        for answer in answers:
            answer.read()
        # Where one has left, one that came too late is answered.
        late = http.client.HTTPConnection(host, timeout=30)
        late.connect()
        connections[0].close()
        time.sleep(0.2)
        for connection in (late, connections[1]):
            connection.request("GET", "/v2")
            answer = connection.getresponse()
            assert (answer.status, answer.read()[:1]) == (200, b"{")
        for connection in (*connections, late):
            connection.close()


def test_the_highest_version_answers_where_none_is_named(body, serve_folder, tmp_path):
    for version in ("9", "10", "beta"):
        shutil.copytree(DIGITS, tmp_path / "digits" / version)
    with serve_folder(model_dir=tmp_path) as address, httpx.Client() as client:
        answer = client.post(address + INFER, json=body)
        assert answer.status_code == 200
        assert answer.json().get("model_version", "10") == "10"
        for version in ("9", "10", "beta"):
            path = f"/v2/models/digits/versions/{version}/infer"
            answer = client.post(address + path, json=body)
            assert answer.json()["model_version"] == version
        found = client.get(address + "/v2/models/digits").json()
        assert found["versions"] == ["beta", "9", "10"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.tflite", b"TFL3", "cannot be served"),
        ("model.tflite", b"", "cannot be served"),
        ("model.probe.tflite", b"PK\x03\x04", "cannot be served"),
        ("geometry.json", b"{", "not the geometry of an export"),
        ("geometry.json", b"[1]", "not the geometry of an export"),
        ("labels.txt", b"\xff\xfe", "no text in UTF-8"),
    ],
)
def test_damaged_files_are_named_at_the_start(file, content, message, tmp_path):
    shutil.copytree(DIGITS, tmp_path / "digits" / "1")
    (tmp_path / "digits" / "1" / file).write_bytes(content)
    with pytest.raises(CommandError, match=message):
        create_app(Settings(model_dir=tmp_path))


def test_a_bare_file_is_a_model(body, serve_folder, tmp_path):
    shutil.copy(DIGITS / "model.tflite", tmp_path / "net.tflite")
    with serve_folder(model_dir=tmp_path / "net.tflite") as address:
        answer = httpx.post(address + "/v2/models/net/infer", json=body)
        assert answer.status_code == 200
        # Nothing is known of its geometry, and that is said.
        for path in ("geometry", "geometry/live"):
            answer = httpx.get(f"{address}/v2/models/net/{path}")
            assert answer.status_code == 404
            assert "kerasbnn export" in answer.json()["error"]


@pytest.fixture
def process():
    """A server in a process of its own, as the command line starts it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = subprocess.Popen(
        [sys.executable, "-m", "kerasbnn.serve", "--port", str(port)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            if httpx.get(address + "/v2/health/ready").status_code == 200:
                break
        except httpx.TransportError:
            assert started.poll() is None, started.stdout and started.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield started, port
    started.kill()
    started.communicate()


def test_a_signal_under_load_fails_no_request_that_was_sent(process, body):
    server, port = process
    text, answered, problems = json.dumps(body).encode(), [], []

    def ask_until_closed():
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        connection.connect()
        while True:
            try:
                connection.request("POST", INFER, text)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                problems.append(repr(error))
                return
            answered.append(answer.status)
            if answer.getheader("connection") == "close":
                return

    threads = [threading.Thread(target=ask_until_closed) for _ in range(16)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    server.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(30)
    output = server.communicate(timeout=30)[0]
    assert not problems, problems[:3]
    assert set(answered) == {200}
    assert len(answered) > 100
    assert server.returncode in (0, -signal.SIGTERM, 128 + signal.SIGTERM)
    assert "Traceback" not in output


def test_a_busy_port_and_a_missing_model_are_said_in_a_line(process, tmp_path):
    _, port = process
    for arguments, message in (
        ([str(tmp_path / "none")], "there is no file or folder"),
        (["--host", "0.0.0.0"], "key"),
    ):
        result = subprocess.run(
            [sys.executable, "-m", "kerasbnn", "serve", *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == 2, result.stderr
        assert re.search(message, result.stderr), result.stderr
        assert "Traceback" not in result.stderr


def test_a_full_queue_refuses_before_the_body_is_read():
    app = create_app(Settings())
    batcher = app.state.service.models.get("digits").batcher
    batcher.queued_rows, batcher._is_busy = 10**6, True
    sent = []

    async def receive():
        raise AssertionError("the body was read")

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": INFER, "headers": []}
    asyncio.run(app(scope, receive, send))
    assert sent[0]["status"] == 503
    assert b"retry-after" in dict(sent[0]["headers"])


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_connection_that_was_not_accepted_yet_is_answered_at_the_end(new_loop, body):
    server = Server(Settings(port=0))
    content = json.dumps(body).encode()
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(content)}\r\n\r\n"

    async def main():
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup()
        address = server.servers[0].sockets[0].getsockname()
        # The event loop does not turn between these, so it accepts none of them.
        clients = [socket.create_connection(address, 10) for _ in range(5)]
        for client in clients:
            client.sendall(head.encode() + content)
        await server.shutdown()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 10)
        answers = [client.recv(65536) for client in clients]
        for client in clients:
            client.close()
        return answers

    with asyncio.Runner(loop_factory=new_loop) as runner:
        answers = runner.run(main())
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 200")
        assert b"\r\nconnection: close" in answer.lower()


def test_what_still_computes_at_the_end_is_left(monkeypatch, caplog):
    app = create_app(Settings(shutdown_timeout=0.3))
    monkeypatch.setattr(
        app.state.service.models.get("digits").batcher, "drain", asyncio.Event().wait
    )

    async def main():
        async with app.router.lifespan_context(app):
            return time.perf_counter()

    started = asyncio.run(main())
    assert 0.2 < time.perf_counter() - started < 3
    assert "After 0.3 s" in caplog.text

"""What a connection may cost: bytes of heads, silence, upgrades, resets."""

import asyncio
import contextlib
import json
import logging
import socket
import struct
import time

import httpx
import numpy as np
import pytest
import uvloop

from kerasbnn.serve import Settings, connections, create_app, gate
from kerasbnn.serve.connections import MOST_HEAD
from kerasbnn.serve.protocol.routes import infer
from kerasbnn.serve.server import IDLE_SECONDS, Server
from kerasbnn.serve.telemetry import logs
from tests.serve.test_application import INFER, body_of

LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: a\r\n"


@pytest.fixture(scope="module")
def server(serve_folder):
    """A server of our own, for limits change while it runs; it tells no drift."""
    with serve_folder(geometry_budget=0) as address:
        yield address


@pytest.fixture
def connect(server):
    """Return a function that opens a raw connection."""
    host, port = server.removeprefix("http://").split(":")
    with contextlib.ExitStack() as opened:

        def new(receive_buffer=None):
            client = socket.socket()
            client.settimeout(20)
            if receive_buffer:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            client.connect((host, int(port)))
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return opened.enter_context(client)

        yield new


def post(x, *fields):
    """Return head and body of a request that infers."""
    body = json.dumps(body_of(x)).encode()
    lines = [f"POST {INFER} HTTP/1.1".encode(), b"Host: a", *fields]
    lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n", body


def lines_of(caplog):
    """Return what was logged, but for the drift of other servers of this process."""
    return [one for one in caplog.records if one.name != "kerasbnn.serve.geometry"]


def send(client, data):
    """Send as much as is taken."""
    with contextlib.suppress(ConnectionError):
        client.sendall(data)


def read(client, number=1):
    """Return status, headers and body of answers that have a Content-Length."""
    data, answers = b"", []
    while len(answers) < number:
        while b"\r\n\r\n" not in data:
            data += (more := client.recv(65536))
            assert more, f"closed after {len(answers)} answers: {data}"
        head, data = data.split(b"\r\n\r\n", 1)
        first, *lines = head.decode().lower().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        size = int(headers["content-length"])
        while len(data) < size:
            data += (more := client.recv(65536))
            assert more
        answers.append((int(first.split()[1]), headers, data[:size]))
        data = data[size:]
    assert not data
    return answers


def seconds_until_closed(client):
    started = time.perf_counter()
    with contextlib.suppress(ConnectionResetError):
        while client.recv(65536):
            pass
    return time.perf_counter() - started


def seconds_until_refused(client):
    """Send a byte now and then, for 5 s at most."""
    started = time.perf_counter()
    with contextlib.suppress(ConnectionError):
        while time.perf_counter() - started < 5:
            client.sendall(b"X")
            time.sleep(0.05)
    return time.perf_counter() - started


# -- bytes of a head
@pytest.mark.parametrize(
    "head",
    [
        b"a: b\r\n" * 200_000,
        b"X: " + b"x" * 2_000_000,
        b"X" * 2_000_000,
        b"X: y\r\nX: " + b"y" * MOST_HEAD,
    ],
    ids=["lines", "value", "name", "second value"],
)
def test_a_large_head_is_refused_and_the_connection_closed(head, connect):
    client = connect()
    send(client, LIVE + head)
    ((status, headers, body),) = read(client)
    assert status == 431
    assert headers["connection"] == "close"
    assert headers["content-type"] == "application/json"
    assert str(MOST_HEAD) in json.loads(body)["error"]
    assert seconds_until_closed(client) < 1


def test_a_large_target_is_refused(connect):
    client = connect()
    send(client, b"GET /" + b"a" * 2_000_000)
    assert read(client)[0][0] == 431


@pytest.mark.parametrize("size", [1000, 4096, 10**6])
def test_a_head_of_just_the_size_is_taken_and_one_byte_more_is_not(size, connect):
    for length, expected in ((MOST_HEAD, 200), (MOST_HEAD + 1, 431)):
        client = connect()
        head = LIVE + b"X: " + b"x" * (length - len(LIVE) - 7) + b"\r\n\r\n"
        assert len(head) == length
        for begin in range(0, length, size):
            send(client, head[begin : begin + size])
        assert read(client)[0][0] == expected


@pytest.mark.parametrize(
    "after",
    [b"a: b\r\n" * 100_000, b"T: " + b"t" * 2_000_000],
    ids=["lines", "value"],
)
def test_large_trailers_are_refused(after, connect):
    client = connect()
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    send(client, head.encode() + b"2\r\n{}\r\n0\r\n")
    time.sleep(0.2)
    send(client, after)
    ((status, _, body),) = read(client)
    assert (status, list(json.loads(body))) == (431, ["error"])
    assert seconds_until_closed(client) < 1


def test_trailers_do_not_count_for_the_next_head(connect):
    filler = b"X: " + b"x" * 40_000 + b"\r\n\r\n"
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    client = connect()
    for _ in range(3):
        send(client, head.encode() + b"2\r\n{}\r\n")
        time.sleep(0.05)
        send(client, b"0\r\n" + filler)
        assert read(client)[0][0] == 400
        send(client, LIVE + filler)
        assert read(client)[0][0] == 200


def test_a_trailer_is_no_header(connect):
    client = connect()
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    send(client, head.encode() + b"2\r\n{}\r\n0\r\nX-Request-Id: late\r\n\r\n")
    ((status, headers, _),) = read(client)
    assert status == 400
    assert headers["x-request-id"] != "late"


@pytest.mark.parametrize("is_chunked", [False, True])
def test_the_bytes_of_a_body_do_not_count(is_chunked, connect):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 8, 8, 1)).astype(np.float32)
    head, body = post(x)
    assert len(body) > 15 * MOST_HEAD
    if is_chunked:
        head = head[: head.index(b"Content-Length")]
        head += b"Transfer-Encoding: chunked\r\n\r\n"
        chunks = [body[i : i + 1000] for i in range(0, len(body), 1000)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        body += b"0\r\n\r\n"
    client = connect()
    for _ in range(2):
        send(client, head + body)
        ((status, _, content),) = read(client)
        assert status == 200
        assert json.loads(content)["outputs"][0]["shape"] == [1000, 10]


@pytest.mark.parametrize("size", [7, 4096, 10**6])
def test_pipelined_requests_are_answered_in_their_order(size, connect):
    rng = np.random.default_rng(size)
    rows = rng.integers(1, 4, 100 if size > 10 else 5)
    requests = [post(np.zeros((n, 8, 8, 1), np.float32)) for n in rows]
    data = b"".join(head + body for head, body in requests)
    client = connect()
    for begin in range(0, len(data), size):
        send(client, data[begin : begin + size])
    answers = read(client, len(rows))
    assert [status for status, _, _ in answers] == [200] * len(rows)
    shapes = [json.loads(body)["outputs"][0]["shape"] for _, _, body in answers]
    assert shapes == [[n, 10] for n in rows]


def test_what_came_before_a_malformed_request_is_answered(connect):
    client = connect()
    head, body = post(np.zeros((1, 8, 8, 1), np.float32))
    send(client, head + body + b"nonsense\r\n\r\n")
    assert read(client)[0][0] == 200
    assert seconds_until_closed(client) < 1
    client = connect()
    send(client, b"nonsense\r\n\r\n")
    ((status, headers, content),) = read(client)
    assert (status, headers["connection"]) == (400, "close")
    assert list(json.loads(content)) == ["error"]


# -- silence
@pytest.mark.parametrize(
    "sent",
    [b"", b"\r\n", b"GET", LIVE, LIVE + b"\r\n" + LIVE],
    ids=["nothing", "empty line", "method", "part of a head", "part of the second"],
)
def test_silence_before_the_end_of_a_head_closes(sent, connect, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    client = connect()
    send(client, sent)
    assert 0.3 < seconds_until_closed(client) < 3


def test_a_head_that_comes_byte_by_byte_is_late(connect, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    client = connect()
    assert seconds_until_refused(client) < 3


def test_the_rest_of_a_body_that_nobody_reads_is_late(connect, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.5)
    client = connect()
    send(client, LIVE + b"Content-Length: 1000\r\n\r\n")
    assert read(client)[0][0] == 200
    assert seconds_until_refused(client) < 3


def test_who_was_answered_may_be_silent_for_longer(connect, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    client = connect()
    for _ in range(3):
        send(client, LIVE + b"\r\n")
        assert read(client)[0][0] == 200
        time.sleep(0.6)
    assert IDLE_SECONDS > 60


def test_who_waits_for_us_is_not_silent(connect, monkeypatch):
    async def slow(*arguments):
        await asyncio.sleep(0.8)
        return await infer(*arguments)

    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.3)
    monkeypatch.setattr(gate, "infer", slow)
    head, body = post(np.zeros((1, 8, 8, 1), np.float32))
    client = connect()
    send(client, (head + body) * 2 + head[:20])
    time.sleep(0.1)
    # No more is read until the first is answered.
    send(client, head[20:] + body)
    assert [status for status, _, _ in read(client, 3)] == [200] * 3


def test_silent_connections_make_room_for_others(serve_folder, monkeypatch):
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1)
    with serve_folder(max_connections=4) as address:
        host, port = address.removeprefix("http://").split(":")
        silent = [socket.create_connection((host, int(port))) for _ in range(8)]
        time.sleep(0.2)
        assert httpx.get(address + "/v2").status_code == 503
        time.sleep(1.5)
        assert httpx.get(address + "/v2").status_code == 200
        for client in silent:
            client.close()


# -- who does not read
LARGE = b"GET /openapi.json HTTP/1.1\r\nHost: a\r\n"


def test_who_does_not_read_is_disconnected(server, connect, monkeypatch, caplog):
    size, number = len(httpx.get(server + "/openapi.json").content), 500
    monkeypatch.setattr(connections, "WRITE_SECONDS", 0.5)
    client = connect(receive_buffer=4096)
    send(client, (LARGE + b"\r\n") * number)
    time.sleep(3)
    received = 0
    with contextlib.suppress(ConnectionResetError):
        while data := client.recv(2**20):
            received += len(data)
    assert received < size * number / 2
    assert not lines_of(caplog)


def test_who_reads_slowly_gets_all(connect, monkeypatch):
    monkeypatch.setattr(connections, "WRITE_SECONDS", 1)
    number, received = 400, 0
    client = connect(receive_buffer=2**16)
    send(
        client, (LARGE + b"\r\n") * (number - 1) + LARGE + b"Connection: close\r\n\r\n"
    )
    started = time.perf_counter()
    while data := client.recv(2**16):
        received += len(data)
        time.sleep(0.01)
    assert time.perf_counter() - started > 3
    assert received > number * 50_000


@pytest.mark.parametrize("fields", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_the_end_of_an_answer_may_be_left_unread(fields, new_loop, monkeypatch):
    monkeypatch.setattr(connections, "WRITE_SECONDS", 0.5)
    server = Server(Settings(port=0))
    server.config.timeout_keep_alive = 1
    seen = []

    async def main():
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup()
        (listener,) = server.servers[0].sockets
        # So small that the answer waits in the service, but below its high water mark.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(listener.getsockname())
            client.sendall(LARGE + fields + b"\r\n")
            for seconds in (0.4, 2):
                await asyncio.sleep(seconds)
                seen.append(len(server.server_state.connections))
        await server.shutdown()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    assert seen == [1, 0]


# -- upgrades
@pytest.mark.parametrize(
    "fields",
    [
        (
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
        ),
        (b"Connection: upgrade", b"Upgrade: websocket"),
        (b"UPGRADE: a", b"upgrade: b/1", b"connection: keep-alive, Upgrade"),
    ],
)
@pytest.mark.parametrize("segments", ["one", "head and body", "bytes"])
@pytest.mark.parametrize("number", [1, 3])
def test_an_upgrade_is_ignored_and_its_body_read(fields, segments, number, connect):
    rng = np.random.default_rng(number)
    x = rng.normal(size=(2, 8, 8, 1)).astype(np.float32)
    plain, upgraded = post(x), post(x, *fields)
    client = connect()
    send(client, b"".join(plain))
    ((_, _, expected),) = read(client)
    if segments == "one":
        send(client, b"".join(upgraded) * number)
        answers = read(client, number)
    else:
        answers = []
        for _ in range(number):
            head, body = upgraded
            parts = [head, body]
            if segments == "bytes":
                parts = [bytes([byte]) for byte in head] + [body[:9], body[9:]]
            for part in parts:
                send(client, part)
                time.sleep(0.001 if segments == "bytes" else 0.1)
            answers += read(client)
    assert [status for status, _, _ in answers] == [200] * number
    outputs = [json.loads(body)["outputs"] for _, _, body in answers]
    assert outputs == [json.loads(expected)["outputs"]] * number
    send(client, LIVE + b"\r\n")
    assert read(client)[0][0] == 200


@pytest.mark.parametrize("pause", [0, 0.2])
def test_the_body_of_an_upgrade_is_no_request(pause, connect):
    inner = b"GET /v2/models/smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
    client = connect()
    head = f"POST {INFER} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(inner)}\r\n"
    head += "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    if pause:
        send(client, head.encode())
        time.sleep(pause)
        send(client, inner)
    else:
        send(client, head.encode() + inner)
    time.sleep(0.2)
    send(client, LIVE + b"\r\n")
    first, second = read(client, 2)
    assert first[0] == 400
    assert (second[0], json.loads(second[2])) == (200, {"live": True})


def test_many_upgrades_in_a_segment_are_answered(connect):
    client = connect()
    head = LIVE + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n"
    send(client, head * 2000)
    assert {status for status, _, _ in read(client, 2000)} == {200}


def test_a_tunnel_is_refused(connect):
    client = connect()
    send(client, b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n")
    assert read(client)[0][0] == 400


# -- resets
# While the first request is answered, or the second.
@pytest.mark.parametrize("seconds", [0.1, 0.3])
@pytest.mark.parametrize("number", [1, 3, 50])
def test_a_reset_is_no_failure_of_the_service(
    number, seconds, connect, monkeypatch, caplog
):
    async def slow(*arguments):
        await asyncio.sleep(0.2)
        return await infer(*arguments)

    monkeypatch.setattr(gate, "infer", slow)
    head, body = post(np.zeros((1, 8, 8, 1), np.float32))
    client = connect()
    with caplog.at_level(logging.WARNING):
        send(client, (head + body) * number)
        time.sleep(seconds)
        linger = struct.pack("ii", 1, 0)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        client.close()
        time.sleep(0.8)
    assert not lines_of(caplog)


@pytest.mark.parametrize("path", [INFER, "/v2"])
def test_to_send_on_a_closed_connection_is_no_failure(path, server, caplog):
    app = create_app(Settings())
    scope = {"type": "http", "method": "GET", "path": path, "headers": []}
    scope |= {"query_string": b"", "root_path": ""}
    if path == INFER:
        scope["method"] = "POST"

    async def receive():
        return {"type": "http.request", "body": b"{}"}

    async def main():
        host, port = server.removeprefix("http://").split(":")
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, host, port)
        transport.abort()
        await asyncio.sleep(0.1)
        raised = []

        async def send(message):
            try:
                transport.write(b"x")
            except RuntimeError as error:
                raised.append(error)
                raise

        await app(scope, receive, send)
        return raised

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main())
    assert "failed" not in caplog.text
    assert "Traceback" not in caplog.text


# -- the rest of the configuration
def test_an_address_that_a_client_claims_is_not_believed(serve_folder, capfd):
    with serve_folder(log_requests="all") as address:
        logs.set_up(Settings(log_format="json"))
        try:
            httpx.get(address + "/v2", headers={"X-Forwarded-For": "9" * 1000})
        finally:
            logs.tear_down()
    written = capfd.readouterr().err
    assert '"client":"127.0.0.1"' in written
    assert "999" not in written


@pytest.mark.parametrize("path", ["live", "ready"])
def test_health_answers_a_head(path, server):
    answer = httpx.head(f"{server}/v2/health/{path}")
    assert (answer.status_code, answer.content) == (200, b"")

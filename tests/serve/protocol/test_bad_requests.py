"""Bad requests to a real server: refused in words, and the next good one answered."""

import contextlib
import gzip
import http.client
import json
import re
import socket
import time
import zlib
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.serve.protocol.conftest import LIMIT
from tests.serve.protocol.messages import LENGTH, binary_request, json_request

PATH = "/v2/models/row/versions/1/infer"
GOOD = {
    "inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]
}
ARRAY = np.array([[1, 2, 3, 4]], np.float32)
BINARY, BINARY_HEADERS = binary_request({"x": ("FP32", ARRAY)})
NAN_BINARY = BINARY[:-4] + np.array([np.nan], "<f4").tobytes()


def changed(**entries):
    """Return the good request with another input; ... leaves an entry out."""
    entry = GOOD["inputs"][0] | entries
    kept = {name: value for name, value in entry.items() if value is not ...}
    return json.dumps({"inputs": [kept]}).encode()


def beside(**entries):
    """Return the good request with something beside its input."""
    return json.dumps(GOOD | entries).encode()


def post(address, body, headers=None, path=PATH):
    """Return status, headers and body of the answer."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    with contextlib.closing(connection):
        connection.request("POST", path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()


def assert_refused(address, status, *arguments, **options):
    """Check that a request is refused, and that the next one is answered."""
    found, headers, body = post(address, *arguments, **options)
    assert (found, headers["content-type"]) == (status, "application/json"), body
    error = json.loads(body)
    assert list(error) == ["error"]
    assert 10 < len(error["error"]) < 600
    assert "Traceback" not in error["error"]
    status, _, body = post(address, json.dumps(GOOD).encode())
    assert status == 200
    assert json.loads(body)["outputs"][0]["data"] == [1, 2, 3, 4]
    return error["error"]


GZIP = {"Content-Encoding": "gzip"}
BAD = {
    "empty": (400, b""),
    "no JSON": (400, b"predict this"),
    "JSON cut short": (400, json.dumps(GOOD).encode()[:-1]),
    "JSON and more": (400, json.dumps(GOOD).encode() + b"{}"),
    "a list": (400, b"[]"),
    "a number": (400, b"1"),
    "null": (400, b"null"),
    "no inputs": (400, b"{}"),
    "inputs empty": (400, b'{"inputs": []}'),
    "inputs null": (400, b'{"inputs": null}'),
    "inputs no list": (400, b'{"inputs": {"x": 1}}'),
    "input no object": (400, b'{"inputs": [5]}'),
    "input null": (400, b'{"inputs": [null]}'),
    "fewer values": (400, changed(data=[1, 2, 3])),
    "more values": (400, changed(data=[1, 2, 3, 4, 5])),
    "no values": (400, changed(data=[])),
    "no data": (400, changed(data=...)),
    "data null": (400, changed(data=None)),
    "wrong width": (400, changed(shape=[1, 5], data=[1, 2, 3, 4, 5])),
    "wrong rank": (400, changed(shape=[4])),
    "huge shape": (413, changed(shape=[2**62, 4])),
    "shape that overflows": (413, changed(shape=[2**62, 4], data=[])),
    "more than 64 bits": (400, changed(shape=[1, 2**64])),
    "shape -1": (400, changed(shape=[-1, 4])),
    "shape 0": (400, changed(shape=[0, 4], data=[])),
    "shape of floats": (400, changed(shape=[1.0, 4])),
    "shape of truth values": (400, changed(shape=[True, 4])),
    "shape of texts": (400, changed(shape=["1", "4"])),
    "shape null": (400, changed(shape=None)),
    "no shape": (400, changed(shape=...)),
    "texts": (400, changed(data=["1", "2", "3", "4"])),
    "truth values": (400, changed(data=[True, False, True, True])),
    "nulls": (400, changed(data=[None] * 4)),
    "objects": (400, changed(data=[{}] * 4)),
    "ragged": (400, changed(shape=[2, 4], data=[[1, 2, 3, 4], [5, 6, 7]])),
    "too deep": (400, changed(data=[[[1, 2, 3, 4]]])),
    "another datatype": (400, changed(datatype="FP64")),
    "texts as datatype": (400, changed(datatype="BYTES", data=["a"] * 4)),
    "unknown datatype": (400, changed(datatype="FLOAT")),
    "datatype null": (400, changed(datatype=None)),
    "unknown input": (400, changed(name="y")),
    "name a number": (400, changed(name=1)),
    "no name": (400, changed(name=...)),
    "parameters no object": (400, changed(parameters=[1])),
    "shared memory": (400, changed(parameters={"shared_memory_region": "r"})),
    "input twice": (400, beside(inputs=GOOD["inputs"] * 2)),
    "unknown output": (400, beside(outputs=[{"name": "y"}])),
    "output no object": (400, beside(outputs=[5])),
    "output without name": (400, beside(outputs=[{}])),
    "outputs no list": (400, beside(outputs="flat_x")),
    "output twice": (400, beside(outputs=[{"name": "flat_x"}] * 2)),
    "output in shared memory": (
        400,
        beside(
            outputs=[{"name": "flat_x", "parameters": {"shared_memory_region": "r"}}]
        ),
    ),
    "binary_data no truth value": (
        400,
        beside(outputs=[{"name": "flat_x", "parameters": {"binary_data": 1}}]),
    ),
    "classification negative": (
        400,
        beside(outputs=[{"name": "flat_x", "parameters": {"classification": -1}}]),
    ),
    "classification true": (
        400,
        beside(outputs=[{"name": "flat_x", "parameters": {"classification": True}}]),
    ),
    "id a number": (400, beside(id=5)),
    "parameters a list": (400, beside(parameters=[])),
    "binary_data_output no truth value": (
        400,
        beside(parameters={"binary_data_output": "yes"}),
    ),
    "timeout a text": (400, beside(parameters={"timeout": "1"})),
    "timeout negative": (400, beside(parameters={"timeout": -1})),
    "NaN": (400, changed(data=...)[:-3] + b', "data": [NaN, 2, 3, 4]}]}'),
    "1e400": (400, changed(data=...)[:-3] + b', "data": [1e400, 2, 3, 4]}]}'),
    "too large for float32": (400, changed(data=[1, 2, 3, 3.5e38])),
    "100000 deep": (400, b'{"inputs": ' + b"[" * 90_000),
    "lone surrogate": (400, b'{"inputs": [{"name": "\\ud800"}]}'),
    "no UTF-8": (400, b'{"inputs": [{"name": "\xff"}]}'),
    "UTF-16": (400, json.dumps(GOOD).encode("utf-16")),
    "too many rows": (413, json_request({"x": ("FP32", np.ones((65, 4)))})),
    "too large a body": (413, b" " * (LIMIT + 1)),
    "far too large a body": (413, b" " * 3_000_000),
    "gzip bomb": (413, gzip.compress(bytes(200_000_000), 1)[:LIMIT], GZIP),
    "gzip that is none": (400, b"{}", GZIP),
    "gzip cut short": (400, gzip.compress(json.dumps(GOOD).encode())[:-3], GZIP),
    "gzip and more": (400, gzip.compress(json.dumps(GOOD).encode()) + b"x", GZIP),
    "deflate bomb": (
        413,
        zlib.compress(bytes(90_000_000)),
        {"Content-Encoding": "deflate"},
    ),
    "deflate that is none": (400, b"{}", {"Content-Encoding": "deflate"}),
    "unknown compression": (415, b"{}", {"Content-Encoding": "br"}),
    "binary data cut short": (400, BINARY[:-1], BINARY_HEADERS),
    "binary data and more": (400, BINARY + b"x", BINARY_HEADERS),
    "binary data without header": (400, BINARY),
    "length of JSON too large": (400, BINARY, {LENGTH: str(len(BINARY) + 1)}),
    "length of JSON wrong": (400, BINARY, {LENGTH: "10"}),
    "length of JSON negative": (400, BINARY, {LENGTH: "-1"}),
    "length of JSON no number": (400, BINARY, {LENGTH: "many"}),
    "length of JSON huge": (400, BINARY, {LENGTH: "9" * 5000}),
    "NaN in binary data": (400, NAN_BINARY, BINARY_HEADERS),
    "raw data cut short": (400, ARRAY.tobytes()[:-1], {LENGTH: "0"}),
    "raw data empty": (400, b"", {LENGTH: "0"}),
}


@pytest.mark.parametrize("case", BAD)
def test_is_refused(small_server, case):
    status, *request = BAD[case]
    assert_refused(small_server, status, *request)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/v2/models/none/infer", "There are: "),
        ("/v2/models/row/versions/7/infer", "It has: 1, 2, 10."),
        ("/v2/models/row/versions//infer", ""),
        (f"/v2/models/{'x' * 5000}/infer", ""),
        ("/v2/models/%00/infer", ""),
        ("/v2/models/..%2f..%2fetc/infer", ""),
    ],
)
def test_there_is_no_such_model(small_server, path, words):
    message = assert_refused(small_server, 404, json.dumps(GOOD).encode(), path=path)
    assert words in message


def test_what_is_wrong_is_said(small_server):
    message = assert_refused(small_server, 400, changed(name="image"))
    assert "no input 'image'" in message
    assert "'x' FP32 [-1, 4]" in message
    message = assert_refused(small_server, 400, beside(outputs=[{"name": "y"}]))
    assert "'flat_x'" in message


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
def test_large_bodies_are_refused_at_once(small_server, connection):
    """Also where the server closes the connection, the client gets the answer."""
    begin = time.monotonic()
    headers = {"Connection": connection}
    assert_refused(small_server, 413, b" " * 38_000_000, headers)
    assert time.monotonic() - begin < 2


def talk(address, *parts, pause=0.0):
    """Send parts of a request, and return all of the answer."""
    place = urlsplit(address)
    with socket.create_connection((place.hostname, place.port), timeout=20) as client:
        for part in parts:
            client.sendall(part)
            time.sleep(pause)
        answer = b""
        while True:
            received = client.recv(65536)
            answer += received
            if not received:
                return answer


HEAD = f"POST {PATH} HTTP/1.1\r\nHost: localhost\r\n".encode()


def test_a_body_that_never_comes_is_given_up(small_server):
    begin = time.monotonic()
    answer = talk(small_server, HEAD + b"Content-Length: 100\r\n\r\n{")
    # The server closes the connection, so that all of the answer has been read.
    assert 1.5 < time.monotonic() - begin < 10
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer.lower()
    assert b'{"error":"The body did not arrive within 2 s.' in answer


def test_a_body_in_chunks_is_bounded(small_server):
    chunk = b"1000\r\n" + b" " * 4096 + b"\r\n"
    parts = [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *[chunk] * 30]
    end = b"0\r\n\r\nGET /v2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = talk(small_server, *parts, end)
    assert answer.startswith(b"HTTP/1.1 413")
    # What follows in the connection is answered as ever.
    assert b"HTTP/1.1 200" in answer


def test_a_client_may_go_at_any_time(small_server):
    place = urlsplit(small_server)
    for body in (b"", b'{"inp'):
        with socket.create_connection((place.hostname, place.port)) as client:
            client.sendall(HEAD + b"Content-Length: 100\r\n\r\n" + body)
    with socket.create_connection((place.hostname, place.port)) as client:
        good = json.dumps(GOOD).encode()
        client.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(good) + good)
    time.sleep(0.1)
    assert_refused(small_server, 400, b"")


def test_requests_may_follow_each_other_at_once(small_server):
    good = json.dumps(GOOD).encode()
    head = HEAD + b"Content-Length: %d\r\n" % len(good)
    bad = HEAD + b"Content-Length: 1\r\n\r\n{"
    answer = talk(
        small_server,
        head + b"\r\n" + good + bad + head + b"Connection: close\r\n\r\n" + good,
    )
    assert re.findall(rb"HTTP/1.1 (\d+)", answer) == [b"200", b"400", b"200"]

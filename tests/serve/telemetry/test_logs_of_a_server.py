"""What a whole service writes, from its start to its end."""

import http.client
import json
import re
import signal
import subprocess
import sys

import pytest

KEY = "a-key-for-the-tests-only"
BODY = "a-body-that-nobody-else-may-read"
QUERY = "a-query-that-nobody-else-may-read"


@pytest.fixture(scope="module", params=["json", "text"])
def written(request):
    """The form of the logs, and all lines of a service that was asked this and that."""
    command = [sys.executable, "-m", "kerasbnn.serve", "--port", "0"]
    command += ["--log-requests", "all", "--log-format", request.param]
    process = subprocess.Popen(
        [*command, "--log-level", "debug", "--api-keys", KEY],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        started = ""
        while not (found := re.search(r"http://127\.0\.0\.1:(\d+)", started)):
            line = process.stdout.readline()
            assert line, started
            started += line
        connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=10)
        for path, key, request_id in (
            (f"/v2/models/digits/infer?secret={QUERY}", KEY, "my-id.1"),
            ("/v2/models/digits/infer", KEY[:-1], "bad id"),
            ("/%0a%7B%22forged%22:1%7D%E2%80%A8%1b[31m", KEY, "x" * 500),
        ):
            headers = {"Authorization": f"Bearer {key}", "X-Request-Id": request_id}
            connection.request("POST", path, BODY, headers)
            connection.getresponse().read()
        connection.close()
        process.send_signal(signal.SIGTERM)
        rest, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    lines = (started + rest).splitlines()
    # LiteRT says a word of its own, which nothing can silence.
    return request.param, [line for line in lines if not line.startswith("INFO: ")]


def test_every_event_is_a_line(written):
    form, lines = written
    if form == "json":
        events = [json.loads(line) for line in lines]
        assert all("forged" not in event for event in events)
        requests = [event for event in events if event["message"] == "request"]
        assert [request["status"] for request in requests] == [400, 401, 404]
        assert requests[0]["path"] == "/v2/models/digits/infer"
        assert requests[0]["request_id"] == "my-id.1"
        assert all(0 < len(request["request_id"]) < 100 for request in requests)
        assert requests[2]["path"] == '/\n{"forged":1}\u2028\x1b[31m'
    else:
        begin = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warn)")
        assert all(begin.match(line) for line in lines)
    assert all(line.isprintable() for line in lines)


def test_what_is_served_is_said_and_where(written):
    assert any("Model digits, version 1" in line for line in written[1])
    assert any("Serving on http://127.0.0.1:" in line for line in written[1])


@pytest.mark.parametrize("secret", [KEY, KEY[:-1], BODY, QUERY])
def test_no_secret_is_written(written, secret):
    assert not [line for line in written[1] if secret in line]

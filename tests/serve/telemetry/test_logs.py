"""Lines of the logs, and what no client can do to them."""

import io
import json
import logging
import re
import warnings

import pytest

from kerasbnn.serve.settings import Settings
from kerasbnn.serve.telemetry import logs

NASTY = [
    'x"y\\z',
    "a\nb",
    "a\r\n2026-01-01T00:00:00.000Z error kerasbnn: forged",
    "tab\tbell\x07escape\x1b[31m",
    "line\u2028separator\u2029paragraph\x85next",
    "b\u00fccher/\u732b/\U0001f600",
    "lone \ud800 surrogate",
    "x status=500",
    "\x00",
]


@pytest.fixture
def read_lines(capsys):
    """Set the logs up; returns a function that gives the lines written since."""

    def start(**settings):
        logs.set_up(Settings(**settings))
        return lambda: capsys.readouterr().err.splitlines()

    yield start
    logs.tear_down()


def scope_of(path="/v2", method="GET", client=("192.0.2.7", 4711)):
    return {"method": method, "path": path, "client": client}


def emit(message, *arguments):
    """Log past pytest's own handlers, which cannot report all texts."""
    values = {"name": "kerasbnn.serve", "levelname": "INFO", "levelno": logging.INFO}
    record = logging.makeLogRecord({"msg": message, "args": arguments, **values})
    logs._handler.handle(record)


def test_request_as_json(read_lines):
    read = read_lines()
    logs.log_request(scope_of("/v2/models/m/infer", "POST"), "id-1", 200, 0.0123456)
    (line,) = read()
    event = json.loads(line)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", event.pop("time"))
    assert event == {
        "level": "info",
        "logger": "kerasbnn.serve.requests",
        "message": "request",
        "request_id": "id-1",
        "method": "POST",
        "path": "/v2/models/m/infer",
        "status": 200,
        "milliseconds": 12.346,
        "client": "192.0.2.7",
    }


def test_request_as_text(read_lines):
    read = read_lines(log_format="text")
    logs.log_request(scope_of("/a b", client=None), "id-1", 404, 0.5)
    (line,) = read()
    time, rest = line.split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", time)
    assert rest == (
        "warning kerasbnn.serve.requests: request request_id=id-1 method=GET "
        'path="/a b" status=404 milliseconds=500.0'
    )


@pytest.mark.parametrize(
    ("status", "level"),
    [(101, "info"), (200, "info"), (304, "info"), (400, "warning"), (499, "warning")]
    + [(500, "error"), (503, "error")],
)
def test_level_of_a_status(read_lines, status, level):
    read = read_lines(log_level="debug")
    logs.log_request(scope_of(), "id", status, 0.0)
    assert json.loads(read()[0])["level"] == level


def test_level_of_the_settings(read_lines):
    read = read_lines(log_level="error")
    for status in (200, 404, 500):
        logs.log_request(scope_of(), "id", status, 0.0)
    logging.getLogger("kerasbnn.serve").warning("not this")
    logging.getLogger("uvicorn.error").info("nor this")
    assert [json.loads(line)["status"] for line in read()] == [500]


@pytest.mark.parametrize("text", NASTY)
def test_client_cannot_break_a_line_of_json(read_lines, text):
    read = read_lines()
    logs.log_request(scope_of("/" + text, method=text), "id", 200, 0.0)
    emit("seen %s", text)
    request, message = (json.loads(line) for line in read())
    expected = text.encode("utf-8", "backslashreplace").decode()
    assert request["path"] == "/" + expected
    assert request["method"] == expected
    assert request["status"] == 200
    assert message["message"] == "seen " + expected


@pytest.mark.parametrize("text", NASTY)
def test_client_cannot_break_a_line_of_text(read_lines, text):
    read = read_lines(log_format="text")
    logs.log_request(scope_of("/" + text), "id", 200, 0.0)
    emit("seen %s", text)
    lines = read()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    outside_of_quotes = re.sub(r'"(\\.|[^"\\])*"', "", lines[0])
    assert outside_of_quotes.count(" status=") == 1


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_client_cannot_break_a_traceback(read_lines, log_format):
    read = read_lines(log_format=log_format)
    try:
        raise ValueError("bad\n2026-01-01T00:00:00.000Z info kerasbnn: forged")
    except ValueError:
        logging.getLogger("kerasbnn.serve").exception("Request %s failed", "id-1")
    first, *rest = read()
    assert "Request id-1 failed" in first
    if log_format == "json":
        assert not rest
        assert "ValueError: bad\n2026" in json.loads(first)["traceback"]
    else:
        assert any("ValueError: bad" in line for line in rest)
        assert all(line.startswith("    ") for line in rest)


def test_long_paths_are_cut(read_lines):
    read = read_lines()
    logs.log_request(scope_of("/" + "x" * 10_000), "id", 404, 0.0)
    assert len(read()[0]) < 500


def test_query_and_headers_are_not_logged(read_lines):
    read = read_lines(log_level="debug")
    headers = [(b"authorization", b"Bearer secret-1"), (b"cookie", b"secret-2")]
    scope = scope_of() | {"query_string": b"key=secret-3", "headers": headers}
    logs.log_request(scope, "id", 200, 0.0)
    assert "secret" not in "".join(read())


def test_uvicorn_and_warnings_are_routed(read_lines):
    read = read_lines()
    colored = {"color_message": "\x1b[36mStarted\x1b[0m %d"}
    logging.getLogger("uvicorn.error").info("Started twice")
    logging.getLogger("uvicorn.error").warning("Started %d", 7, extra=colored)
    logging.getLogger("another.library").warning("careful")
    logging.getLogger("another.library").info("not this")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old\nway", DeprecationWarning, stacklevel=1)
    events = [json.loads(line) for line in read()]
    assert [event["logger"] for event in events] == [
        "uvicorn.error",
        "another.library",
        "py.warnings",
    ]
    assert events[0]["message"] == "Started 7"
    assert "DeprecationWarning: old\nway" in events[2]["message"]


def test_arguments_that_do_not_fit(capsys):
    # Past the logger, since the handlers of pytest raise at such a record.
    record = logging.makeLogRecord({"msg": "%d of %d", "args": ("x",)})
    logs.LineHandler(logs.json_line).emit(record)
    event = json.loads(capsys.readouterr().err)
    assert event["message"] == "%d of %d (its arguments do not fit)"


@pytest.mark.parametrize("failure", [BrokenPipeError(), ValueError("closed file")])
def test_a_reader_that_has_gone_fails_nothing(monkeypatch, failure):
    class Gone(io.StringIO):
        def write(self, text):
            raise failure

    logs.set_up(Settings())
    try:
        with monkeypatch.context() as patch:
            patch.setattr("sys.stderr", Gone())
            logs.log_request(scope_of(), "id", 200, 0.0)
            logging.getLogger("kerasbnn").error("lost")
    finally:
        logs.tear_down()


def test_set_up_twice_writes_once(read_lines):
    read_lines()
    read = read_lines(log_format="text")
    logging.getLogger("kerasbnn").info("once")
    assert len(read()) == 1


def test_without_set_up_the_standard_logging_tells(caplog):
    caplog.set_level(logging.INFO, logs.REQUESTS)
    logs.log_request(scope_of("/a\nb"), "id-1", 200, 0.0)
    assert "request_id='id-1'" in caplog.text
    assert r"path='/a\nb'" in caplog.text

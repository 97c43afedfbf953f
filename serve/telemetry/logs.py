"""Structured logs, a line of JSON or text for each event.

Neither bodies nor headers nor query strings are logged, so no key is. What comes from a
client is escaped: it cannot begin a line of its own.
"""

import json
import logging
import sys
import threading
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from ..settings import Settings

REQUESTS = "kerasbnn.serve.requests"
LONGEST_PATH = 200
LONGEST_REASON = 300

_OURS = ("kerasbnn", "uvicorn")
_OPTIONS = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z
_LEVELS = {100: "info", 200: "info", 300: "info", 400: "warning", 500: "error"}
_NUMBERS = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

_requests = logging.getLogger(REQUESTS)
_handler: "LineHandler | None" = None


def set_up(settings: Settings):
    """Send the logs of the service, of uvicorn and of warnings to standard error.

    Other libraries are heard from `warning` on.

    Args:
        settings: `log_format` and `log_level` are used.

    Example:
        >>> from kerasbnn.serve import Settings
        >>> from kerasbnn.serve.telemetry.logs import set_up, tear_down
        >>> set_up(Settings(log_format="text", log_level="warning"))
        >>> tear_down()
    """
    global _handler
    tear_down()
    form = settings.log_format
    if form == "auto":
        form = "text" if sys.stderr.isatty() else "json"
    _handler = LineHandler(json_line if form == "json" else text_line)
    level = logging.getLevelNamesMapping()[settings.log_level.upper()]
    root = logging.getLogger()
    root.addHandler(_handler)
    root.setLevel(max(level, logging.WARNING))
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    if level == logging.INFO:
        # What it does at the start and the end, the service says better.
        logging.getLogger("uvicorn").setLevel(logging.WARNING)
    logging.captureWarnings(True)


def tear_down():
    """Undo `set_up`: the standard library's defaults hold again."""
    global _handler
    if _handler is None:
        return
    logging.captureWarnings(False)
    root = logging.getLogger()
    root.removeHandler(_handler)
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(logging.NOTSET)
    _handler = None


def log_request(
    scope: Mapping[str, Any],
    request_id: str,
    status: int,
    seconds: float,
    reason: str | None = None,
):
    """Log that a request was answered.

    Args:
        scope: Scope of ASGI.
        request_id: The id that the answer has.
        status: Status of HTTP.
        seconds: What it took.
        reason: Why it was refused, or None.
    """
    level = _LEVELS.get(status // 100 * 100, "error")
    if not _requests.isEnabledFor(_NUMBERS[level]):
        return
    client = scope.get("client")
    event = {
        "time": datetime.now(UTC),
        "level": level,
        "logger": REQUESTS,
        "message": "request",
        "request_id": request_id,
        "method": scope["method"],
        "path": scope["path"][:LONGEST_PATH],
        "status": status,
        "milliseconds": round(seconds * 1e3, 3),
        "client": client[0] if client else None,
    }
    if reason is not None:
        event["reason"] = reason[:LONGEST_REASON]
    if _handler is not None:
        _handler.write(event)
    else:
        words = ("request_id", "method", "path", "status", "milliseconds")
        text = " ".join(f"{word}={event[word]!r}" for word in words)
        _requests.log(_NUMBERS[level], "request %s", text)


class LineHandler(logging.Handler):
    """Writes events to standard error, each on a line.

    Args:
        line_of: Makes the line of a dict: `json_line` or `text_line`.
    """

    def __init__(self, line_of):
        super().__init__()
        self._line_of = line_of
        self._writing = threading.Lock()

    def emit(self, record: logging.LogRecord):
        """Write a record of the standard library's logging."""
        self.write(_event_of(record))

    def write(self, event: Mapping[str, Any]):
        """Write an event; what cannot be written is lost, and nothing fails.

        Args:
            event: `time`, `level`, `logger`, `message` and further plain values.
        """
        line = self._line_of(event)
        with self._writing:
            try:
                sys.stderr.write(line)
                sys.stderr.flush()
            except (OSError, ValueError):
                pass  # The reader of a pipe has gone, or the disk is full.


def json_line(event: Mapping[str, Any]) -> str:
    r"""Return an event as a line of JSON.

    Args:
        event: The event.

    Returns:
        The line, with its end.

    Example:
        >>> from kerasbnn.serve.telemetry.logs import json_line
        >>> json_line({"level": "info", "path": "/a\nb"})
        '{"level":"info","path":"/a\\nb"}\n'
    """
    try:
        line = orjson.dumps(event, option=_OPTIONS).decode()
    except TypeError:  # A lone surrogate, which is not Unicode.
        valid = {key: _valid(value) for key, value in event.items()}
        line = orjson.dumps(valid, option=_OPTIONS).decode()
    # Beyond ASCII there are characters that some readers take for the end of a line.
    return line if line.isascii() else json.dumps(orjson.loads(line)) + "\n"


def text_line(event: Mapping[str, Any]) -> str:
    r"""Return an event as a line of text; a traceback follows, indented.

    Args:
        event: The event.

    Returns:
        The line, with its end.

    Example:
        >>> from datetime import UTC, datetime
        >>> from kerasbnn.serve.telemetry.logs import text_line
        >>> event = {"time": datetime(2026, 1, 2, tzinfo=UTC), "level": "info"}
        >>> event |= {"logger": "kerasbnn", "message": "request", "path": "/a\nb"}
        >>> text_line(event)
        '2026-01-02T00:00:00.000Z info kerasbnn: request path=/a\\nb\n'
    """
    rest = dict(event)
    time = rest.pop("time").strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    head = f"{time} {rest.pop('level')} {rest.pop('logger')}: "
    trace = rest.pop("traceback", "")
    words = [_escaped(str(rest.pop("message")))]
    words += [f"{k}={_quoted(str(v))}" for k, v in rest.items() if v is not None]
    lines = "".join(f"    {_escaped(line)}\n" for line in trace.splitlines())
    return f"{head}{' '.join(words)}\n{lines}"


def _event_of(record):
    try:
        message = record.getMessage()
    except (TypeError, ValueError):
        message = f"{record.msg} (its arguments do not fit)"
    event = {
        "time": datetime.fromtimestamp(record.created, UTC),
        "level": record.levelname.lower(),
        "logger": record.name,
        "message": message,
    }
    if record.exc_info:
        event["traceback"] = "".join(traceback.format_exception(*record.exc_info))
    return event


def _quoted(text):
    text = _escaped(text)
    if text and not set(text) & set(' "='):
        return text
    return '"' + text.replace('"', '\\"') + '"'


def _escaped(text):
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode() for c in text
    )


def _valid(value):
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value

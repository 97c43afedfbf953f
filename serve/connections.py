"""Connections: what they may send before the application reads, and how slowly."""

import asyncio
import logging
from collections import deque
from http import HTTPStatus

import orjson
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import (
    HttpToolsProtocol,
    RequestResponseCycle,
)

from .admission import SURPLUS, Admission

logger = logging.getLogger(__name__)

# Seconds from the first byte of a head, or from the connection, to the head's end.
HEAD_SECONDS = 10

# Seconds in which a client that has not read all takes at least LEAST_TAKEN bytes more.
WRITE_SECONDS = 60
LEAST_TAKEN = 2**15

# Bytes of a head, and of whatever else is sent around a body.
MOST_HEAD = 2**16

_MALFORMED = "This is no request of HTTP/1.1."
_TOO_LARGE = (
    f"The head of the request, or what follows its body, has more than {MOST_HEAD} "
    "bytes, the most that is taken. Send fewer and shorter headers."
)


class Connection(HttpToolsProtocol):
    """A connection that is bounded before any of its requests is.

    uvicorn alone waits for a head for ever, and keeps all of it. Here the bytes of a
    head are counted, and those of trailers and the like as well: all that is no body.
    Who is silent in the middle of a head, or does not read answers, is disconnected.
    `Upgrade` is ignored, as the standard permits, and the request answered as it is.
    """

    def connection_made(self, transport: asyncio.Transport):  # pyright: ignore[reportIncompatibleMethodOverride]
        """Wait for a head."""
        super().connection_made(transport)
        self._admission: Admission = self.app_state["admission"]
        self._is_admitted = self._admission.enter()
        self._is_refused = False
        self._bytes_around_bodies = 0
        self._earlier_cycles: deque[RequestResponseCycle] = deque()
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None
        self._untaken = 0
        self._limit_reading()

    def connection_lost(self, exc: Exception | None):
        """Tell all that still answer, not only the last one."""
        super().connection_lost(exc)
        if self._is_admitted:
            self._admission.leave()
        for cycle in self._earlier_cycles:
            cycle.disconnected = True
            cycle.message_event.set()
        self._cancel_reading()
        if self._writing is not None:
            self._writing.cancel()

    def eof_received(self):
        """Let the client have the answers that are written, if it reads them."""
        self._limit_writing()

    # -- what is received
    def data_received(self, data: bytes):
        """Parse what has come, in pieces that no head exceeds."""
        if self._is_refused:
            return
        self._unset_keepalive_if_required()
        room = MOST_HEAD - self._bytes_around_bodies
        if len(data) <= room:
            self._parse(data)
        else:
            rest = memoryview(data)
            while rest and not self._is_refused:
                self._parse(rest[:room])
                rest = rest[room:]
                room = MOST_HEAD - self._bytes_around_bodies
        cycle = self.cycle
        is_answering = cycle is not None and not cycle.response_complete
        if is_answering and cycle.scope is self.scope:
            return
        # A head has begun, or the rest comes of a body that nobody reads.
        if self._reading is None and not self._is_refused:
            self._limit_reading()

    def _parse(self, data: bytes | memoryview):
        self._bytes_around_bodies += len(data)
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            self._ignore_upgrade(memoryview(data), upgrade)
        except HttpParserError:
            self._refuse(400, _MALFORMED)
        if self._bytes_around_bodies >= MOST_HEAD:
            self._refuse(431, _TOO_LARGE)

    def _ignore_upgrade(self, data: memoryview, upgrade: HttpParserUpgrade):
        """Parse the head again without it, for the parser skips the body otherwise."""
        while not self._is_refused:
            data = data[upgrade.args[0] :]
            try:
                head = self._head_without_upgrade()
                self.parser = HttpRequestParser(self)
                self.parser.feed_data(head)
                self.parser.feed_data(data)
                return
            except HttpParserUpgrade as another:
                upgrade = another
            except HttpParserError:
                self._refuse(400, _MALFORMED)

    def _head_without_upgrade(self) -> bytes:
        method = self.parser.get_method()
        if method == b"CONNECT":
            raise HttpParserError("this is no proxy")
        version = self.parser.get_http_version().encode()
        lines = [method + b" " + self.url + b" HTTP/" + version]
        lines += [b": ".join(field) for field in self.headers if field[0] != b"upgrade"]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def on_headers_complete(self):
        """Begin to answer."""
        if self.parser.should_upgrade():
            return
        self._is_admitted = self._is_admitted or self._admission.enter()
        if not self._is_admitted:
            self.scope["extensions"] = {SURPLUS: {}}
        last = self.cycle
        super().on_headers_complete()
        self._bytes_around_bodies = 0
        self._cancel_reading()
        # Trailers come later, and are no headers.
        self.headers = []
        if self.pipeline:
            earlier = self._earlier_cycles
            while earlier and earlier[0].response_complete:
                earlier.popleft()
            earlier.append(last)

    def on_body(self, body: bytes):
        """Keep a piece of a body."""
        super().on_body(body)
        self._bytes_around_bodies = 0

    def on_message_complete(self):
        """Be ready for the next request."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        self._bytes_around_bodies = 0
        self._cancel_reading()

    # -- what is refused
    def send_400_response(self, msg: str):
        """Refuse what uvicorn finds malformed."""
        self._refuse(400, msg)

    def _refuse(self, status, message):
        """Answer, where no answer is under way, and take nothing more."""
        if self._is_refused:
            return
        self._is_refused = True
        self._cancel_reading()
        logger.debug("Refused what %s sent: %s", self.client, message)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete:
            cycle.keep_alive = False
            if not cycle.more_body or cycle.response_started or self.pipeline:
                return
            cycle.disconnected = True
            cycle.message_event.set()
        body = orjson.dumps({"error": message})
        fields = (
            *self.server_state.default_headers,
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"connection", b"close"),
        )
        phrase = HTTPStatus(status).phrase.encode()
        lines = [b"HTTP/1.1 %d %b" % (status, phrase), *map(b": ".join, fields)]
        self.transport.write(b"\r\n".join([*lines, b"", body]))
        # To close now would reset the connection of a client that still sends, and the
        # answer would be lost.
        self.transport.write_eof()
        self.flow.resume_reading()
        self._limit_reading()

    # -- what is slow
    def _limit_reading(self):
        self._reading = self.loop.call_later(HEAD_SECONDS, self._on_silence)

    def _cancel_reading(self):
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _on_silence(self):
        if self.flow.read_paused:
            # It is not the client that is slow.
            self._limit_reading()
        else:
            self.transport.abort()

    def on_response_complete(self):
        """Go on, or close once the client has taken the answer."""
        super().on_response_complete()
        if self.transport.is_closing():
            self._limit_writing()

    def timeout_keep_alive_handler(self):
        """Close a connection that was silent for long."""
        super().timeout_keep_alive_handler()
        self._limit_writing()

    def pause_writing(self):
        """Wait for the client to read."""
        super().pause_writing()
        self._limit_writing()

    def resume_writing(self):
        """Go on with the answer."""
        super().resume_writing()
        if self._writing is not None and not self.transport.is_closing():
            self._writing.cancel()
            self._writing = None

    def _limit_writing(self):
        untaken = self.transport.get_write_buffer_size()
        if untaken and self._writing is None:
            self._untaken = untaken
            self._writing = self.loop.call_later(WRITE_SECONDS, self._on_untaken)

    def _on_untaken(self):
        self._writing = None
        untaken = self.transport.get_write_buffer_size()
        if untaken > max(self._untaken - LEAST_TAKEN, 0):
            self.transport.abort()
        else:
            self._limit_writing()

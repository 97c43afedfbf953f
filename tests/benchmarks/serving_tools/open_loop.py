"""Open-loop load: requests at a fixed rate, whatever becomes of earlier ones."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass

TICK = 0.001


@dataclass(frozen=True)
class Answer:
    """An answer to a request.

    Attributes:
        kind: Which of the requests it answers.
        status: Status of HTTP.
        headers: The head, in lower case.
        body: The body.
        seconds: From the request to the last byte.
    """

    kind: int
    status: int
    headers: bytes
    body: bytes
    seconds: float


@dataclass
class Offer:
    """What became of the requests.

    Attributes:
        sent: Requests that were sent.
        held_back: Requests whose time had come when no connection was free.
        broken: Requests whose connection ended without a full answer.
        seconds: How long it took.
    """

    sent: int = 0
    held_back: int = 0
    broken: int = 0
    seconds: float = 0.0


class _Connection(asyncio.Protocol):
    """A connection that takes one request at a time."""

    def __init__(self, load):
        self.load = load
        self.kind = None
        self.buffer = b""
        self.begin = 0.0

    def connection_made(self, transport):
        self.transport = transport
        self.load.free.append(self)

    def ask(self, kind, content):
        self.kind, self.begin = kind, time.perf_counter()
        self.transport.write(content)

    def data_received(self, data):
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        length = int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0])
        if len(self.buffer) < end + 4 + length:
            return
        body, self.buffer = self.buffer[end + 4 :], b""
        seconds = time.perf_counter() - self.begin
        kind, self.kind = self.kind, None
        if b"\r\nconnection: close" not in head:
            self.load.free.append(self)
        self.load.on_answer(Answer(kind, int(head[9:12]), head, body, seconds))

    def connection_lost(self, error):
        self.load.lost(self)


class OpenLoop:
    """A load on a server.

    Args:
        port: Port of the server.
        contents: The bytes of the requests, which are sent in turn.
        connections: Connections, each of which carries one request at a time.
        on_answer: Is called with each `Answer`.
    """

    def __init__(self, port, contents, connections, on_answer):
        self.port, self.contents = port, contents
        self.connections = connections
        self.on_answer = on_answer
        self.free = deque()
        self.offer = Offer()
        self._opening = set()
        self._is_over = False

    async def run(self, rate, seconds, patience=15.0) -> Offer:
        """Send so many requests a second, and wait for the last answers."""
        while len(self.free) < self.connections:
            missing = self.connections - len(self.free)
            await asyncio.gather(*(self._open() for _ in range(min(missing, 100))))
        offer, begin = self.offer, time.perf_counter()
        due = 0
        while (elapsed := time.perf_counter() - begin) < seconds:
            while due < elapsed * rate:
                self._send(due)
                due += 1
            await asyncio.sleep(TICK)
        offer.seconds = elapsed
        end = time.perf_counter() + patience
        while len(self.free) < self.connections and time.perf_counter() < end:
            await asyncio.sleep(0.05)
        self._is_over = True
        for connection in self.free:
            connection.transport.abort()
        await asyncio.sleep(0)
        return offer

    def lost(self, connection):
        """Replace a connection that has ended."""
        if self._is_over:
            return
        self.offer.broken += connection.kind is not None
        if connection in self.free:
            self.free.remove(connection)
        task = asyncio.get_running_loop().create_task(self._open())
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def _send(self, number):
        if not self.free:
            self.offer.held_back += 1
            return
        kind = number % len(self.contents)
        self.offer.sent += 1
        self.free.popleft().ask(kind, self.contents[kind])

    async def _open(self):
        loop = asyncio.get_running_loop()
        await loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.port)


def run_until_complete(main):
    """Run a coroutine in uvloop, which leaves the server more of the machine."""
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)

"""The bytes that all bodies hold together, counted until requests are answered."""

import asyncio
import gzip
import socket
import threading
import time

import httpx
import numpy as np
import pytest

from kerasbnn.serve.errors import ServiceError
from kerasbnn.serve.protocol import bodies, in_flight
from kerasbnn.serve.protocol.bodies import read_body
from kerasbnn.serve.protocol.in_flight import BODIES, MOST_IN_FLIGHT, InFlight
from kerasbnn.serve.settings import MEBIBYTE, Settings
from tests.serve.protocol.messages import json_request

LIMITS = Settings()
# One object in all parts, so that many of them take no memory.
PART = bytes(MEBIBYTE)


def unfinished(count):
    """Give a body of so many MiB, whose end never arrives."""
    left = iter(range(count))

    async def receive():
        if next(left, None) is None:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": PART, "more_body": True}

    return read_body({}, receive, LIMITS)


async def sent(content, headers, limits=LIMITS):
    async def receive():
        await asyncio.sleep(0)
        return {"type": "http.request", "body": content, "more_body": False}

    return await read_body(headers, receive, limits)


async def settled(tasks):
    for _ in range(200):
        await asyncio.sleep(0)
    return [task for task in tasks if task.done()]


def test_bodies_together_are_bounded():
    before = BODIES.held

    async def main():
        tasks = [asyncio.create_task(unfinished(60)) for _ in range(12)]
        done = await settled(tasks)
        assert len(done) == 8
        assert BODIES.held == before + 4 * 60 * MEBIBYTE
        for task in done:
            error = task.exception()
            assert error.status == 503
            assert error.headers["Retry-After"] == "1"
            assert str(MOST_IN_FLIGHT) in error.message
        for task in set(tasks) - set(done):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert BODIES.held == before
        # Now there is room for the next.
        assert not await settled([task := asyncio.create_task(unfinished(60))])
        task.cancel()

    asyncio.run(main())
    assert BODIES.held == before


def test_a_body_is_held_until_its_request_is_answered():
    before = BODIES.held

    async def request(answer, fails):
        assert await sent(PART, {}) == PART
        await answer.wait()
        assert not fails

    async def main(fails):
        answer = asyncio.Event()
        task = asyncio.create_task(request(answer, fails))
        await settled([task])
        assert BODIES.held == before + MEBIBYTE
        answer.set()
        await asyncio.gather(task, return_exceptions=True)
        assert BODIES.held == before

    asyncio.run(main(False))
    asyncio.run(main(True))


def test_what_comes_out_of_gzip_is_counted_instead():
    before = BODIES.held
    content = np.random.default_rng(5).bytes(200_000) + bytes(10**6)

    async def main():
        headers = {b"content-encoding": b"gzip"}
        assert await sent(gzip.compress(content), headers) == content
        assert BODIES.held == before + len(content)

    asyncio.run(main())
    assert BODIES.held == before


def test_small_bodies_are_not_counted():
    before = BODIES.held

    async def main():
        assert await sent(bytes(64 * 1024), {}) == bytes(64 * 1024)
        assert BODIES.held == before
        assert await sent(bytes(64 * 1024 + 1), {})
        assert BODIES.held == before + 64 * 1024 + 1

    asyncio.run(main())


@pytest.mark.parametrize("limit", ["max_body", "max_decompressed_body"])
def test_two_of_the_largest_bodies_fit(limit):
    counted, limits = InFlight(), Settings(**{limit: "1G"})

    async def main():
        counted.share(limits).hold(2**30)
        counted.share(limits).hold(2**30)
        with pytest.raises(ServiceError) as caught:
            counted.share(limits).hold(100_000)
        assert caught.value.status == 503
        assert counted.held == 2**31

    asyncio.run(main())
    assert counted.held == 0


def test_bombs_are_decompressed_in_turn_and_beside_the_event_loop(monkeypatch):
    """Each is small enough to be decompressed at once, were it not a bomb."""
    bomb = gzip.compress(bytes(50_000_000))
    assert len(bomb) < 64 * 1024
    running, most_running, threads = [], [], set()

    def seen(*arguments):
        running.append(bomb)
        threads.add(threading.current_thread())
        most_running.append(len(running))
        try:
            return decompressed(*arguments)
        finally:
            running.pop()

    decompressed = bodies.decompressed
    monkeypatch.setattr(bodies, "decompressed", seen)
    before = BODIES.held

    async def main():
        headers = {b"content-encoding": b"gzip"}
        tasks = [asyncio.create_task(sent(bomb, headers)) for _ in range(6)]
        for task in tasks:
            assert len(await task) == 50_000_000

    asyncio.run(main())
    assert most_running == [1] * 6
    assert threading.current_thread() not in threads
    assert BODIES.held == before


def test_small_gzip_is_decompressed_at_once(monkeypatch):
    monkeypatch.setattr(bodies, "decompressed", None)
    headers, content = {b"content-encoding": b"gzip"}, bytes(64 * 1024)
    assert asyncio.run(sent(gzip.compress(content), headers)) == content


def test_who_waits_too_long_to_be_decompressed_is_refused():
    bomb = gzip.compress(bytes(60_000_000))
    limits = Settings(body_timeout=0.02)

    async def main():
        headers = {b"content-encoding": b"gzip"}
        tasks = [sent(bomb, headers, limits) for _ in range(4)]
        return await asyncio.gather(*tasks, return_exceptions=True)

    for error in asyncio.run(main())[1:]:
        assert isinstance(error, ServiceError)
        assert error.status == 503
        assert error.headers["Retry-After"] == "1"


def test_a_server_with_many_unfinished_bodies(small_models, serve_folder, monkeypatch):
    monkeypatch.setattr(in_flight, "MOST_IN_FLIGHT", 300_000)
    before, path = BODIES.held, "/v2/models/row/versions/1/infer"
    small = json_request({"x": ("FP32", np.ones((1, 4)))})
    limits = {"max_body": 100_000, "max_decompressed_body": 100_000}
    with (
        serve_folder(model_dir=small_models.folder, **limits) as address,
        httpx.Client(base_url=address) as client,
    ):
        host, _, port = address.partition("://")[2].partition(":")
        head = f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 99000\r\n\r\n"
        opened = [socket.create_connection((host, int(port))) for _ in range(3)]
        for connection in opened:
            connection.sendall(head.encode() + b" " * 98_000)
        wait_until(lambda: BODIES.held >= before + 3 * 90_000)
        refused = client.post(path, content=small.ljust(99_000))
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "1"
        assert "error" in refused.json()
        assert client.post(path, content=small).status_code == 200
        for connection in opened:
            connection.close()
        wait_until(lambda: BODIES.held == before)
        assert client.post(path, content=small.ljust(99_000)).status_code == 200
    wait_until(lambda: BODIES.held == before)


def wait_until(is_so):
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)

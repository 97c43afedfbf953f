"""The turns of requests that measure inputs: one at a time, and few wait."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

from kerasbnn.serve.errors import ServiceError
from kerasbnn.serve.geometry.turns import MOST_WAITING, Turns
from tests.probing.digits import held_out

GEOMETRY = "/v2/models/digits/geometry"
RAW = {"Inference-Header-Content-Length": "0"}


async def begun():
    for _ in range(50):
        await asyncio.sleep(0)


def test_one_at_a_time_and_few_wait():
    turns, measuring, order = Turns("digits"), [], []

    async def request(number, end, fails=False):
        async with turns.taken(10):
            measuring.append(number)
            order.append(number)
            assert measuring == [number]
            await end.wait()
            measuring.remove(number)
            assert not fails

    async def main():
        end = asyncio.Event()
        tasks = [
            asyncio.create_task(request(number, end, fails=number % 2 == 1))
            for number in range(MOST_WAITING + 1)
        ]
        await begun()
        with pytest.raises(ServiceError) as caught:
            turns.check()
        assert (caught.value.status, caught.value.headers) == (
            503,
            {"Retry-After": "1"},
        )
        assert f"'digits', and {MOST_WAITING} more wait" in caught.value.message
        with pytest.raises(ServiceError):
            await request(99, end)
        # Who goes away leaves room for the next.
        tasks.pop().cancel()
        await begun()
        turns.check()
        end.set()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert order == list(range(MOST_WAITING))
        await request(100, end)

    asyncio.run(main())


def test_waiting_too_long_is_a_503():
    turns = Turns("digits")

    async def main():
        async with turns.taken(10):
            with pytest.raises(ServiceError, match=r"0\.01 s") as caught:
                async with turns.taken(0.01):
                    pass
            assert caught.value.status == 503
        async with turns.taken(0.01):
            pass

    asyncio.run(main())


def test_a_timeout_of_the_measuring_is_its_own():
    async def main():
        async with Turns("digits").taken(10):
            raise TimeoutError("measured too long")

    with pytest.raises(TimeoutError, match="measured too long"):
        asyncio.run(main())


def test_many_requests_to_a_server(digits_server):
    x = held_out()
    body = np.resize(x, (512, *x.shape[1:])).astype(np.float32).tobytes()

    def ask(_):
        return httpx.post(
            digits_server + GEOMETRY, content=body, headers=RAW, timeout=60
        )

    with ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(ask, range(32)))
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) > MOST_WAITING
    for answer in answers:
        refused = answer.status_code == 503
        assert ("Other requests measure" in answer.text) is refused
        assert (answer.headers.get("retry-after") == "1") is refused
    assert ask(0).status_code == 200

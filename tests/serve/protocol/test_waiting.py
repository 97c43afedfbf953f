"""What is begun and then awaited, against a plain `await`."""

import asyncio

import pytest

from kerasbnn.serve.protocol.waiting import begun


async def plain(make):
    return await make()


async def in_two_steps(make):
    result, rest = begun(make())
    return result if rest is None else await rest


async def at_once():
    return "result"


async def after_others():
    await asyncio.sleep(0)
    return "result"


async def late():
    for _ in range(3):
        await asyncio.sleep(0.001)
    return "result"


async def failing_at_once():
    raise KeyError("no")


async def failing_late():
    await asyncio.sleep(0.001)
    raise KeyError("no")


async def failing_inside():
    try:
        await failing_late()
    except KeyError:
        return await late()


async def from_a_future():
    future = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_later(0.001, future.set_result, "result")
    return await future


async def within_a_time():
    try:
        async with asyncio.timeout(0.001):
            await asyncio.sleep(10)
    except TimeoutError:
        return await late()


@pytest.mark.parametrize("way", [plain, in_two_steps])
@pytest.mark.parametrize(
    "make",
    [at_once, after_others, late, failing_inside, from_a_future, within_a_time],
)
def test_gives_the_result(way, make):
    assert asyncio.run(way(make)) == "result"


@pytest.mark.parametrize("way", [plain, in_two_steps])
@pytest.mark.parametrize("make", [failing_at_once, failing_late])
def test_raises_what_is_raised(way, make):
    with pytest.raises(KeyError, match="no"):
        asyncio.run(way(make))


def test_tells_what_is_there_already():
    async def main():
        assert begun(at_once()) == ("result", None)
        result, rest = begun(late())
        assert result is None
        assert await rest == "result"

    asyncio.run(main())


@pytest.mark.parametrize("way", [plain, in_two_steps])
def test_is_cancelled_where_it_waits(way):
    seen = []

    async def careful():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            # It may still wait for what it has to put in order.
            await asyncio.sleep(0.001)
            seen.append("cancelled")
            raise
        finally:
            seen.append("left")

    async def main():
        task = asyncio.create_task(way(careful))
        await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    asyncio.run(main())
    assert seen == ["cancelled", "left"]


@pytest.mark.parametrize("way", [plain, in_two_steps])
def test_a_timeout_around_it_ends_it(way):
    async def main():
        async with asyncio.timeout(0.01):
            await way(lambda: asyncio.sleep(10))

    with pytest.raises(TimeoutError):
        asyncio.run(main())

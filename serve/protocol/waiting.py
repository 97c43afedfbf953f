"""Takes a result that is there already without the price of waiting for it."""

import types
from collections.abc import Awaitable, Generator
from typing import Any


def begun(awaitable: Awaitable[Any]) -> tuple[Any, Awaitable[Any] | None]:
    """Begin to wait for something, as `await` would.

    A timeout around an `await` costs as much as decoding a small request, even if there
    is nothing to wait for. This tells whether there is, so that one can do without.

    Args:
        awaitable: What is waited for.

    Returns:
        The result and None if it is there already; else None and what is still to be
        awaited, by the same task.

    Example:
        >>> import asyncio
        >>> from kerasbnn.serve.protocol.waiting import begun
        >>> async def main():
        ...     result, rest = begun(asyncio.sleep(0.01, "late"))
        ...     return result if rest is None else await rest
        >>> asyncio.run(main())
        'late'
    """
    steps = awaitable.__await__()
    try:
        blocked_on = steps.send(None)
    except StopIteration as done:
        return done.value, None
    return None, _rest(steps, blocked_on)


@types.coroutine
def _rest(steps: Generator[Any, Any, Any], blocked_on: Any):
    """Go on with what has been begun, as `yield from` does."""
    while True:
        try:
            try:
                sent = yield blocked_on
            except BaseException as error:
                blocked_on = steps.throw(error)
            else:
                blocked_on = steps.send(sent)
        except StopIteration as done:
            return done.value

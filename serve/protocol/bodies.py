"""Reads the body of a request: bounded in bytes and in time, decompressed."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from ..errors import ServiceError
from .checks import number_of_bytes
from .in_flight import BODIES, Share
from .waiting import begun

if TYPE_CHECKING:
    from ..settings import Settings

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# What zlib calls the formats.
_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}

# To decompress more than this, from or to, takes longer than to hand it to a thread.
_MOST_INLINE = 64 * 1024

# One large body at a time: their bytes are not counted before they are there.
_DECOMPRESSING = ThreadPoolExecutor(1, "decompressing")


async def read_body(
    headers: Mapping[bytes, bytes], receive: Receive, limits: "Settings"
) -> bytes:
    """Read a body, and decompress it as `Content-Encoding` says.

    Args:
        headers: Headers of the request, with names in lower case.
        receive: Gives the messages of ASGI.
        limits: Bytes and seconds that a body may take.

    Returns:
        The body.

    Raises:
        ServiceError: It is too large (413), too slow (408), compressed in an unknown
            way (415) or badly (400), all bodies together are too large or too many are
            to be decompressed (503), or the client has gone (499).
    """
    encoding = headers.get(b"content-encoding", b"identity").strip().lower()
    if encoding not in _WINDOW_BITS and encoding not in (b"identity", b""):
        raise ServiceError(
            415,
            f"Content-Encoding '{encoding[:50].decode('latin-1')}' is not known. "
            "Expected gzip or deflate, or none.",
            {"Accept-Encoding": "gzip, deflate"},
        )
    share = BODIES.share(limits)
    body = await _received(headers, receive, limits, share)
    if encoding not in _WINDOW_BITS:
        return body
    if len(body) <= _MOST_INLINE:
        most = min(limits.max_decompressed_body, _MOST_INLINE)
        content = _inflated(body, encoding, most)
        if content is not None:
            return content
    content = await _decompressed_in_turn(body, encoding, limits)
    share.hold(len(content))
    return content


def decompressed(body: bytes, encoding: bytes, most: int) -> bytes:
    """Decompress, but never to more than is allowed.

    Args:
        body: Compressed bytes.
        encoding: `b"gzip"`, or `b"deflate"` for the format of zlib.
        most: Bytes that may come out.

    Returns:
        The bytes.

    Raises:
        ServiceError: More would come out (413), or they are damaged, cut short or
            followed by others (400).

    Example:
        >>> import gzip
        >>> from kerasbnn.serve.protocol.bodies import decompressed
        >>> decompressed(gzip.compress(b"{}"), b"gzip", 100)
        b'{}'
    """
    content = _inflated(body, encoding, most)
    if content is None:
        raise ServiceError(
            413,
            f"The body has more than {most} bytes once decompressed, the most that is "
            "taken. Send fewer rows at once.",
        )
    return content


async def _decompressed_in_turn(body, encoding, limits):
    loop, most = asyncio.get_running_loop(), limits.max_decompressed_body
    waiting = loop.run_in_executor(_DECOMPRESSING, decompressed, body, encoding, most)
    try:
        async with asyncio.timeout(limits.body_timeout):
            return await waiting
    except TimeoutError:
        raise ServiceError(
            503,
            f"Other bodies were decompressed for {limits.body_timeout:g} s. Try again "
            "later, or do not compress the body.",
            {"Retry-After": "1"},
        ) from None


def _inflated(body, encoding, most) -> bytes | None:
    """Decompress; return None where more would come out than is allowed."""
    inflater = zlib.decompressobj(_WINDOW_BITS[encoding])
    name = encoding.decode()
    try:
        content = inflater.decompress(body, most + 1)
    except zlib.error as error:
        raise ServiceError(
            400,
            f"The body is not what Content-Encoding '{name}' says: {error}. Expected "
            "the format of gzip, or that of zlib for deflate.",
        ) from error
    if len(content) > most:
        return None
    if not inflater.eof:
        raise ServiceError(400, f"The {name} of the body is cut short. Send all of it.")
    if inflater.unused_data:
        raise ServiceError(
            400,
            f"{len(inflater.unused_data)} bytes follow the end of the {name} of the "
            "body. Compress all of it in one piece.",
        )
    return content


async def _received(headers, receive, limits, share: Share) -> bytes:
    # Most bodies are there already, and need no clock.
    body, rest = begun(_joined(headers, receive, limits.max_body, share))
    if rest is None:
        return body
    try:
        async with asyncio.timeout(limits.body_timeout):
            return await rest
    except TimeoutError:
        raise ServiceError(
            408,
            f"The body did not arrive within {limits.body_timeout:g} s. Send fewer "
            "rows at once, or compress them.",
            {"Connection": "close"},
        ) from None


async def _joined(headers, receive, most, share) -> bytes:
    announced = number_of_bytes(headers.get(b"content-length", b"0"), "Content-Length")
    if announced > most:
        await _discard(headers, receive)
        raise _too_large(f"{announced} bytes", most)
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ServiceError(499, "The client has gone before its body had arrived.")
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        more = message.get("more_body")
        try:
            if size > most:
                raise _too_large("more", most)
            share.hold(size)
        except ServiceError:
            parts.clear()
            share.hold(0)
            if more:
                await _discard(headers, receive)
            raise
        if not more:
            return b"".join(parts)


async def _discard(headers, receive):
    """Let a client finish that would else not read its answer.

    It finds its connection reset where that closes while it still sends.
    """
    if headers.get(b"connection", b"").lower() != b"close" or b"expect" in headers:
        return
    while (await receive()).get("more_body"):
        pass


def _too_large(found, most):
    return ServiceError(
        413,
        f"The body has {found}, and {most} bytes are the most that is taken. Send "
        "fewer rows at once.",
    )

"""Compresses answers where the client asks for it."""

import asyncio
import gzip
import zlib
from functools import lru_cache

# What is shorter fits into one packet anyway.
SHORTEST = 1024
# The levels above take several times as long for little.
_LEVEL = 1
# To compress more than this takes longer than to hand it to a thread.
_MOST_INLINE = 64 * 1024

_COMPRESS = {
    "gzip": lambda body: gzip.compress(body, _LEVEL, mtime=0),
    "deflate": lambda body: zlib.compress(body, _LEVEL),
}


@lru_cache(maxsize=128)
def accepted_encoding(accept: bytes) -> str | None:
    """Choose how to compress an answer.

    Args:
        accept: The header `Accept-Encoding`.

    Returns:
        "gzip" or "deflate", the one that it names with the higher weight; None where
        it names neither.

    Example:
        >>> from kerasbnn.serve.protocol.compression import accepted_encoding
        >>> accepted_encoding(b"gzip;q=0.5, deflate")
        'deflate'
    """
    weights = {}
    for part in accept.decode("latin-1").lower().split(","):
        name, *options = (word.strip() for word in part.split(";"))
        weights[name] = _weight(options)
    best = max(_COMPRESS, key=lambda name: weights.get(name, 0.0))
    weight = weights.get(best, 0.0)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


async def compressed(body: bytes, encoding: str) -> bytes:
    """Compress an answer.

    Args:
        body: The answer.
        encoding: "gzip", or "deflate" for the format of zlib.

    Returns:
        The compressed answer.
    """
    if len(body) <= _MOST_INLINE:
        return _COMPRESS[encoding](body)
    return await asyncio.to_thread(_COMPRESS[encoding], body)


def _weight(options):
    for option in options:
        name, _, value = option.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0

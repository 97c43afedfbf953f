"""Which compression is chosen, and what comes out of it."""

import asyncio
import gzip
import zlib

import pytest

from kerasbnn.serve.protocol.compression import accepted_encoding, compressed


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"gzip", "gzip"),
        (b"GZip", "gzip"),
        (b"deflate", "deflate"),
        (b"gzip, deflate, br", "gzip"),
        (b"deflate, gzip", "gzip"),
        (b"gzip;q=0.5, deflate;q=0.8", "deflate"),
        (b"gzip ; q=0.5 , deflate;q=0.4", "gzip"),
        (b"gzip;q=0", None),
        (b"gzip;q=0.000, deflate", "deflate"),
        (b"gzip;q=much", None),
        (b"gzip;q=nan", None),
        (b"gzip;level=9", "gzip"),
        (b"gzip;q=0.2, identity;q=0.8", None),
        (b"gzip;q=0.8, identity;q=0.2", "gzip"),
        (b"identity", None),
        (b"identity, gzip", "gzip"),
        (b"br", None),
        (b"*", None),
        (b"", None),
        (b",;,=;q", None),
        (b"\xff\xfe", None),
    ],
)
def test_the_best_of_what_is_named_is_chosen(accept, expected):
    assert accepted_encoding(accept) == expected


@pytest.mark.parametrize("size", [0, 10, 10_000, 500_000])
@pytest.mark.parametrize(
    ("encoding", "decompress"),
    [("gzip", gzip.decompress), ("deflate", zlib.decompress)],
)
def test_compresses(rng, encoding, decompress, size):
    body = rng.bytes(size // 2) + bytes(size - size // 2)
    found = asyncio.run(compressed(body, encoding))
    assert decompress(found) == body
    # The same answer is the same bytes at any time: the field of the time is empty.
    assert encoding == "deflate" or found[4:8] == bytes(4)
    assert size < 1000 or len(found) < 0.6 * size

"""The reading of bodies: limits in bytes and in time, and compression."""

import asyncio
import gzip
import tracemalloc
import zlib

import pytest

from kerasbnn.serve.errors import ServiceError
from kerasbnn.serve.protocol.bodies import decompressed, read_body
from kerasbnn.serve.settings import Settings

LIMITS = Settings(max_body=2000, max_decompressed_body=4000, body_timeout=0.2)


def zipped(content):
    """Compress to the same bytes at any time, as names of tests need."""
    return gzip.compress(content, mtime=0)


def read(parts, limits=LIMITS, last=False, pause=0.0, **headers):
    """Read a body that arrives in parts, with headers such as `content_encoding`."""

    def messages():
        for number, body in enumerate(parts, 1):
            more = not (last and number == len(parts))
            yield {"type": "http.request", "body": body, "more_body": more}
        yield {"type": "http.disconnect"}

    waiting = messages()

    async def receive():
        await asyncio.sleep(pause)
        return next(waiting)

    encoded = {k.replace("_", "-").encode(): v for k, v in headers.items()}
    return asyncio.run(read_body(encoded, receive, limits))


def refused(status, *arguments, **options):
    with pytest.raises(ServiceError) as caught:
        read(*arguments, **options)
    assert caught.value.status == status
    return caught.value


@pytest.mark.parametrize("encoding", [None, b"", b"identity", b"Identity"])
def test_parts_are_joined(encoding):
    headers = {} if encoding is None else {"content_encoding": encoding}
    assert read([b"a", b"", b"bc"], last=True, **headers) == b"abc"


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [(b"gzip", gzip.compress), (b"GZIP", gzip.compress), (b"deflate", zlib.compress)],
)
def test_decompresses(rng, encoding, compress):
    content = rng.bytes(1500)
    body = compress(content)
    assert read([body[:7], body[7:]], last=True, content_encoding=encoding) == content
    large = rng.bytes(200_000)
    limits = Settings(max_body=300_000)
    found = read([compress(large)], limits, last=True, content_encoding=encoding)
    assert found == large


def test_exactly_what_is_allowed_is_taken():
    assert len(read([b"x" * 2000], last=True)) == 2000
    assert len(read([b"x" * 1999, b"x"], last=True, content_length=b"2000")) == 2000
    body = gzip.compress(b"x" * 4000)
    assert len(read([body], last=True, content_encoding=b"gzip")) == 4000


def test_too_many_bytes_are_refused():
    assert "2000 bytes" in refused(413, [b"x" * 2001], last=True).message
    # Never more than the limit is held, however much arrives.
    refused(413, [b"x" * 1000] * 10**6)
    # What says so itself is not even read.
    error = refused(413, [], content_length=b"2001")
    assert "2001 bytes" in error.message


@pytest.mark.parametrize("announced", [{"content_length": b"3000000"}, {}])
@pytest.mark.parametrize(
    ("headers", "is_read"),
    [
        ({"connection": b"close"}, True),
        ({"connection": b"Close"}, True),
        ({"connection": b"keep-alive"}, False),
        ({}, False),
        ({"connection": b"close", "expect": b"100-continue"}, False),
    ],
)
def test_a_client_that_must_finish_may(announced, headers, is_read):
    parts = iter([b"x" * 3000] * 1000)
    refused(413, parts, **announced, **headers)
    assert (next(parts, None) is None) is is_read


@pytest.mark.parametrize("length", [b"many", b"-1", b"", b"1e3", b"9" * 5000])
def test_no_length_fails(length):
    with pytest.raises(ServiceError) as caught:
        read([b"x"], last=True, content_length=length)
    assert caught.value.status in (400, 413)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_bomb_takes_no_memory(encoding):
    compress = gzip.compress if encoding == "gzip" else zlib.compress
    bomb = compress(bytes(100_000_000))
    tracemalloc.start()
    with pytest.raises(ServiceError) as caught:
        decompressed(bomb, encoding.encode(), 100_000)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert caught.value.status == 413
    assert peak < 1_000_000


@pytest.mark.parametrize(
    ("encoding", "body", "words"),
    [
        (b"gzip", b"{}", "not what"),
        (b"gzip", b"", "cut short"),
        (b"gzip", zipped(b"content")[:-1], "cut short"),
        (b"gzip", zipped(b"content") + b"x", "1 bytes follow"),
        (b"gzip", zipped(b"a") + zipped(b"b"), "follow the end"),
        (b"gzip", zlib.compress(b"content"), "not what"),
        (b"deflate", zipped(b"content"), "not what"),
        (b"deflate", zlib.compress(b"content")[2:-4], "not what"),
        (b"deflate", zlib.compress(b"content")[:-5], "cut short"),
        (b"deflate", zlib.compress(b"content")[:-1] + b"x", "not what"),
    ],
)
def test_what_cannot_be_decompressed_is_refused(encoding, body, words):
    error = refused(400, [body], last=True, content_encoding=encoding)
    assert words in error.message


@pytest.mark.parametrize("encoding", [b"br", b"zstd", b"gzip, deflate", b"\xff" * 999])
def test_unknown_compression_is_refused(encoding):
    error = refused(415, [b"x"], last=True, content_encoding=encoding)
    assert error.headers == {"Accept-Encoding": "gzip, deflate"}
    assert len(error.message) < 200


def test_a_slow_body_is_refused_and_its_connection_closed():
    error = refused(408, [b"x"] * 100, pause=0.05)
    assert error.headers == {"Connection": "close"}
    assert "0.2 s" in error.message


def test_a_client_that_has_gone_is_no_failure():
    refused(499, [b"x"])
    refused(499, [])

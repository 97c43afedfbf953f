"""Files that nobody could have meant, and those that were meant to do harm."""

import io
import time
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from kerasbnn.serve.errors import ServiceError
from kerasbnn.serve.prediction.images import MAX_SCANS, read_image

from .pictures import chunk, encoded, png, smooth

MOST = 1_000_000
# Pillow says so of cameras' notes, and reads on.
pytestmark = pytest.mark.filterwarnings("ignore:.*EXIF:UserWarning")


def read(content):
    return read_image(content, 28, 28, 3, MOST)


def refused(content):
    with pytest.raises(ServiceError) as caught:
        read(content)
    assert 400 <= caught.value.status < 500
    assert caught.value.message.endswith(".")
    return caught.value


def attempted(content):
    """Read what may or may not be usable; return whether it is."""
    error = None
    try:
        pixels = read(content)
    except ServiceError as caught:
        error = caught
    if error is not None:
        assert error.status in (400, 413, 415)
        return False
    assert pixels.shape == (28, 28, 3)
    assert pixels.dtype == np.uint8
    return True


FILES = {
    "png": encoded(smooth(40, 50)),
    "alpha": encoded(Image.fromarray(smooth(40, 50, 4), "RGBA")),
    "palette": encoded(Image.fromarray(smooth(40, 50)).quantize(16)),
    "deep": encoded(smooth(40, 50, 1)[..., 0].astype(np.uint16) * 257),
    "jpeg": encoded(smooth(40, 50), "JPEG"),
    "progressive": encoded(smooth(40, 50), "JPEG", progressive=True),
    "print": encoded(Image.fromarray(smooth(40, 50, 4), "CMYK"), "JPEG"),
}


def test_nothing_and_the_wrong_kinds_of_files():
    assert "0 bytes" in refused(b"").message
    other = Image.fromarray(smooth(8, 8))
    for format in ("GIF", "BMP", "TIFF", "WEBP", "PPM", "PDF", "ICO", "TGA"):
        error = refused(encoded(other, format))
        assert error.status == 415
        assert "neither PNG nor JPEG" in error.message
    for text in (b"<svg/>", b"<script>alert(1)</script>", b"%!PS-Adobe", b"\0" * 99):
        assert refused(text).status == 415


def test_names_of_formats_without_what_follows():
    for start in (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"):
        assert "damaged or cut short" in refused(start).message
        assert refused(start + b"<script>" * 20).status == 400
        assert refused(start + FILES["jpeg"]).status == 400


def test_a_file_with_another_one_behind_it_is_the_first_one():
    archive = b"PK\x03\x04" + bytes(100)
    for kind in ("png", "jpeg"):
        expected = read(FILES[kind])
        for more in (archive, b"<script>alert(1)</script>", FILES["jpeg"], b"\xff" * 9):
            assert np.array_equal(read(FILES[kind] + more), expected)


@pytest.mark.parametrize("kind", FILES)
def test_files_that_are_cut_short(kind):
    content = FILES[kind]
    usable = [attempted(content[:length]) for length in range(0, len(content), 7)]
    assert not any(usable[: len(usable) // 2])
    assert not attempted(content[: len(content) * 3 // 4])


@pytest.mark.parametrize(
    ("width", "height"), [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (1001, 1000)]
)
def test_more_pixels_than_are_decoded(width, height):
    started = time.perf_counter()
    error = refused(png(width, height, bytes(100)))
    assert error.status == 413
    assert f"{width:,} x {height:,}" in error.message
    assert time.perf_counter() - started < 1
    rows = bytes(1001) * 1000
    assert refused(encoded(np.zeros((1001, 1000), np.uint8), "JPEG")).status == 413
    assert read(png(1000, 1000, rows)).max() == 0


def test_sizes_of_zero_and_of_more_than_there_is():
    for width, height in [(0, 10), (10, 0), (0, 0), (2**32 - 1, 1)]:
        assert refused(png(width, height, bytes(100))).status in (400, 413)
    assert refused(png(600, 600, bytes(100))).status == 400
    # More rows than the header says are passed over, as everywhere.
    assert attempted(png(5, 5, bytes(1000)))


@pytest.mark.parametrize(("color", "depth"), [(1, 8), (7, 8), (0, 3), (2, 1), (3, 8)])
def test_headers_that_make_no_sense(color, depth):
    assert refused(png(5, 5, bytes(100), color=color, depth=depth)).status == 400


def test_text_that_is_compressed_beyond_measure():
    bomb = zlib.compress(bytes(200_000_000), 9)
    text = chunk(b"zTXt", b"Comment\0\0" + bomb)
    profile = chunk(b"iCCP", b"icc\0\0" + bomb)
    for extra in (text, profile, text * 3):
        tracemalloc.start()
        attempted(png(5, 5, bytes(30), extra=extra))
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20_000_000


def test_more_scans_than_a_camera_writes():
    content = encoded(smooth(40, 50), "JPEG", progressive=True)
    start = content.rindex(b"\xff\xda")
    scan, end = content[start:-2], content[-2:]
    many = content[:start] + scan * (MAX_SCANS + 1) + end
    error = refused(many)
    assert error.status == 400
    assert "scans" in error.message
    assert attempted(content)
    # In a PNG the same bytes mean nothing.
    noise = np.frombuffer(b"\xff\xda" * 4500, np.uint8).reshape(100, 90)
    assert attempted(encoded(noise, compress_level=0))


def test_animations():
    frames = [Image.fromarray(smooth(9, 9) + step) for step in (0, 50)]
    file = io.BytesIO()
    frames[0].save(file, "PNG", save_all=True, append_images=frames[1:])
    assert "animation" in refused(file.getvalue()).message
    # Cameras put a second picture behind the first; the first is meant.
    file = io.BytesIO()
    frames[0].save(file, "MPO", save_all=True, append_images=frames[1:])
    assert attempted(file.getvalue())


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"]),
)
def test_any_bytes(content, start):
    attempted(start + content)


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(FILES)),
    st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=6)), max_size=6),
)
def test_bytes_that_were_changed(kind, changes):
    content = bytearray(FILES[kind])
    for place, data in changes:
        place %= len(content)
        content[place : place + len(data)] = data
    attempted(bytes(content))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [b"IHDR", b"IDAT", b"IEND", b"PLTE", b"tRNS", b"eXIf", b"acTL", b"fcTL"]
                + [
                    b"fdAT",
                    b"iCCP",
                    b"tEXt",
                    b"zTXt",
                    b"iTXt",
                    b"cHRM",
                    b"pHYs",
                    b"aBcD",
                ]
            ),
            st.binary(max_size=40),
        ),
        max_size=8,
    ),
    st.sampled_from([0, 2, 3, 4, 6]),
    st.sampled_from([1, 2, 4, 8, 16]),
)
def test_chunks_with_good_sums_and_any_content(chunks, color, depth):
    extra = b"".join(chunk(kind, data) for kind, data in chunks)
    attempted(png(4, 4, bytes(200), color=color, depth=depth, extra=extra))

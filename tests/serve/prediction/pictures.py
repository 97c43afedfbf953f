"""Image files for tests, and what they hold, written out in numpy."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(image, format="PNG", **options):
    """Return an image of Pillow, or an array, as the content of a file."""
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def chunk(kind, data):
    """Return a chunk of a PNG file."""
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def png(width, height, rows=b"", *, color=0, depth=8, extra=b""):
    """Return a PNG file, written by hand, whose header may claim anything."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def smooth(height, width, channels=3):
    """Return a picture without edges, which JPEG hardly changes."""
    y, x = np.mgrid[0:height, 0:width]
    waves = [
        127 + 60 * np.sin(2 * x / width + c) + 60 * np.cos(3 * y / height - c)
        for c in range(channels)
    ]
    return np.stack(waves, axis=-1).astype(np.uint8)


def resized(pixels, height, width):
    """Resize `(h, w, c)` with a triangle filter as wide as the step, in float64."""
    rows = _triangles(pixels.shape[0], height)
    columns = _triangles(pixels.shape[1], width)
    return np.einsum("yh,hwc,xw->yxc", rows, pixels, columns, optimize=True)


def _triangles(size, target):
    step = size / target
    reach = max(step, 1.0)
    centers = (np.arange(target) + 0.5) * step
    distance = np.abs((np.arange(size) + 0.5) - centers[:, np.newaxis]) / reach
    weights = np.maximum(1 - distance, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)

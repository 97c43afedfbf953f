"""Decodes images that anyone may have sent."""

import io

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, PngImagePlugin

from ..errors import ServiceError

# By their first bytes, not by what a sender calls them. Pillow's own `Image.open` would
# try formats that nobody asked for.
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"

# Each scan of a JPEG costs a pass over all pixels, and may take but a few bytes.
MAX_SCANS = 64
_START_OF_SCAN = b"\xff\xda"

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_ON_ITS_SIDE = (5, 6, 7, 8)


def read_image(
    content: bytes, width: int, height: int, channels: int, max_pixels: int
) -> np.ndarray:
    """Decode a PNG or JPEG file to the size and the channels that a model takes.

    The image is turned as its EXIF orientation says, transparent parts show white, as
    on a page, and the whole is resized with a triangle filter, which does not alias;
    the ratio of its sides is not kept. Color profiles are not applied.

    Args:
        content: The file.
        width: Columns of the result.
        height: Rows of the result.
        channels: 1 for gray, 3 for red, green and blue.
        max_pixels: Pixels that the file may have.

    Returns:
        `(height, width, channels)`, uint8.

    Raises:
        ServiceError: It is no such file (415), is damaged or animated (400), or has too
            many pixels (413).

    Example:
        >>> import io
        >>> from PIL import Image
        >>> from kerasbnn.serve.prediction.images import read_image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (40, 30), "red").save(file, "PNG")
        >>> read_image(file.getvalue(), 2, 1, 3, max_pixels=10_000).tolist()
        [[[255, 0, 0], [255, 0, 0]]]
    """
    # Whatever Pillow makes of a damaged file, it is the file that is at fault.
    try:
        image = _opened(content, max_pixels)
        orientation = _orientation(image)
        # A large JPEG is decoded at a fraction of its size, above twice what is asked.
        least = 2 * max(width, height)
        image.draft(None, (least, least))
        image.load()
        image = _resized(_plain(image), orientation, (width, height))
        pixels = np.asarray(image.convert("L" if channels == 1 else "RGB"))
        return pixels.reshape(height, width, channels)
    except ServiceError:
        raise
    except Exception as error:
        raise ServiceError(
            400,
            f"The image is damaged or cut short: {_reason(error)}. Save it again as "
            "PNG or JPEG.",
        ) from error


def _opened(content, max_pixels):
    if not content:
        raise ServiceError(400, "The image is empty: 0 bytes. Send a PNG or JPEG file.")
    if content.startswith(_PNG):
        image = PngImagePlugin.PngImageFile(io.BytesIO(content))
    elif content.startswith(_JPEG):
        _check_scans(content)
        image = JpegImagePlugin.JpegImageFile(io.BytesIO(content))
    else:
        raise ServiceError(
            415,
            "The image is neither PNG nor JPEG: its first bytes are "
            f"{content[:8].hex(' ')}. Save it as one of them.",
        )
    pixels = image.width * image.height
    if pixels > max_pixels:
        raise ServiceError(
            413,
            f"The image has {image.width:,} x {image.height:,} = {pixels:,} pixels; at "
            f"most {max_pixels:,} are decoded. Make it smaller.",
        )
    if getattr(image, "is_animated", False):
        raise ServiceError(
            400, "The image is an animation. Save one of its frames, and send that."
        )
    return image


def _check_scans(content):
    # Within the data of a scan these bytes do not occur.
    if content.count(_START_OF_SCAN) > MAX_SCANS:
        raise ServiceError(
            400,
            f"The image has more than {MAX_SCANS} scans, which no camera writes. Save "
            "it again as PNG or JPEG.",
        )


def _orientation(image):
    try:
        return image.getexif().get(ExifTags.Base.Orientation)
    except Exception:
        # A camera's notes that cannot be read leave the image as it is.
        return None


def _plain(image):
    """Return an image of 8-bit values that can be resized, without a palette."""
    if image.mode.startswith("I"):
        values = np.asarray(image).astype(np.uint16)
        # Divided by 257 and rounded, without more than 16 bits on the way.
        values = values - ((values >> 8) + (values >> 7 & 1)) + 128 >> 8
        return Image.fromarray(values.astype(np.uint8))
    if image.has_transparency_data and image.mode != "RGBA":
        return image.convert("RGBA")
    if image.mode in ("1", "P"):
        return image.convert("RGB" if image.mode == "P" else "L")
    return image


def _resized(image, orientation, size):
    target = size[::-1] if orientation in _ON_ITS_SIDE else size
    if image.size != target:
        image = image.resize(target, Image.Resampling.BILINEAR)
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image).convert("RGB")
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _reason(error):
    text = " ".join(str(error).split()).rstrip(".")
    return text[:200] if text else type(error).__name__

import numpy as np
import pytest
from PIL import Image

from kerasbnn.serve.prediction.images import read_image

from .pictures import encoded, resized, smooth

RNG = np.random.default_rng(0)
MOST = 1_000_000


def read(content, width, height, channels=3):
    pixels = read_image(content, width, height, channels, MOST)
    assert pixels.shape == (height, width, channels)
    assert pixels.dtype == np.uint8
    return pixels.astype(np.int64)


def random_pixels(*shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def test_pixels_of_the_right_size_stay_as_they_are():
    color, gray = random_pixels(5, 7, 3), random_pixels(5, 7)
    assert np.array_equal(read(encoded(color), 7, 5), color)
    assert np.array_equal(read(encoded(gray), 7, 5, 1)[..., 0], gray)


def test_gray_becomes_three_equal_channels_and_color_its_luminance():
    gray, color = random_pixels(6, 4), random_pixels(6, 4, 3)
    assert np.array_equal(read(encoded(gray), 4, 6), np.stack([gray] * 3, axis=-1))
    luminance = color @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read(encoded(color), 4, 6, 1)[..., 0] - luminance).max() <= 1


def test_palette_and_single_bits():
    color = random_pixels(8, 8, 3) // 128 * 255
    palette = Image.fromarray(color).quantize(8)
    assert np.array_equal(read(encoded(palette), 8, 8), color)
    bits = RNG.random((9, 5)) < 0.5
    assert np.array_equal(read(encoded(bits), 5, 9, 1)[..., 0], 255 * bits)


def test_single_bits_become_gray_where_they_are_resized():
    bits = RNG.random((16, 12)) < 0.5
    expected = resized(255 * bits[..., np.newaxis], 4, 5)
    assert np.abs(read(encoded(bits), 5, 4, 1) - expected).max() <= 1.01


def test_sixteen_bits_are_rounded_to_eight():
    values = np.arange(2**16, dtype=np.uint16).reshape(256, 256)
    found = read(encoded(values), 256, 256, 1)[..., 0]
    assert np.array_equal(found, np.rint(values / 257))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_shows_white(mode):
    pixels = random_pixels(6, 5, len(mode))
    found = read(encoded(Image.fromarray(pixels, mode)), 5, 6)
    alpha = pixels[..., -1:] / 255
    expected = pixels[..., :-1] * alpha + 255 * (1 - alpha)
    assert np.abs(found - expected).max() <= 1


def test_a_transparent_color_shows_white():
    gray = np.array([[0, 50, 100]], np.uint8)
    file = encoded(gray, transparency=50)
    assert read(file, 3, 1, 1).ravel().tolist() == [0, 255, 100]
    color = np.array([[[9, 8, 7], [1, 2, 3]]], np.uint8)
    file = encoded(color, transparency=(1, 2, 3))
    assert read(file, 2, 1).tolist() == [[[9, 8, 7], [255, 255, 255]]]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
    palette.putpalette([10, 20, 30, 40, 50, 60])
    file = encoded(palette, transparency=0)
    assert read(file, 2, 1).tolist() == [[[255, 255, 255], [40, 50, 60]]]


def test_hidden_colors_of_transparent_pixels_do_not_leak_when_resized():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, ::2] = 255, 0, 0, 0  # red, and not to be seen
    pixels[:, 1::2] = 0, 0, 0, 255
    found = read(encoded(Image.fromarray(pixels, "RGBA")), 2, 2)
    assert np.abs(found - found[..., :1]).max() <= 1


@pytest.mark.parametrize(
    "shape", [(28, 28), (13, 41), (100, 60), (301, 7), (1, 1), (5, 900)]
)
@pytest.mark.parametrize("target", [(28, 28), (32, 9), (1, 3)])
def test_resizing_is_a_triangle_filter(shape, target):
    pixels = random_pixels(*shape, 3)
    found = read(encoded(pixels), *target[::-1])
    assert np.abs(found - resized(pixels, *target)).max() <= 1.01


TURNED = {
    1: lambda x: x,
    2: lambda x: x[:, ::-1],
    3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1],
    5: lambda x: x.transpose(1, 0, 2),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: x[::-1, ::-1].transpose(1, 0, 2),
    8: lambda x: np.rot90(x),
}


@pytest.mark.parametrize("orientation", TURNED)
@pytest.mark.parametrize("format", ["PNG", "JPEG"])
def test_orientation(orientation, format):
    pixels, exif = smooth(24, 40), Image.Exif()
    exif[0x0112] = orientation
    file = encoded(
        pixels, format, exif=exif, **{"quality": 98} if format[0] == "J" else {}
    )
    expected = TURNED[orientation](pixels)
    height, width = expected.shape[:2]
    assert np.abs(read(file, width, height) - expected).max() <= 12
    smaller = resized(expected, 5, 9)
    assert np.abs(read(file, 9, 5) - smaller).max() <= 8


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data:UserWarning")
def test_orientation_that_cannot_be_read_turns_nothing():
    pixels = smooth(8, 12)
    for exif in (b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b""):
        found = read(encoded(pixels, "JPEG", exif=exif, quality=98), 12, 8)
        assert np.abs(found - pixels).max() <= 12


def test_jpeg_in_gray_and_in_the_colors_of_print():
    gray = smooth(16, 24, 1)
    file = encoded(gray[..., 0], "JPEG", quality=98)
    assert np.abs(read(file, 24, 16, 1) - gray).max() <= 6
    inks = np.full((8, 8, 4), (200, 30, 90, 40), np.uint8)
    file = encoded(Image.fromarray(inks, "CMYK"), "JPEG", quality=98)
    expected = (255 - inks[0, 0, :3].astype(int)) * (255 - 40) / 255
    assert np.abs(read(file, 8, 8) - expected).max() <= 4


@pytest.mark.parametrize("progressive", [False, True])
def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size(progressive):
    pixels = smooth(900, 1100)
    file = encoded(pixels, "JPEG", quality=95, progressive=progressive)
    found = read(file, 28, 28)
    assert np.abs(found - resized(pixels, 28, 28)).max() <= 3

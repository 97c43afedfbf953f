"""The summary as people see it: on terminals, in files, line by line."""

import io

import keras
import pytest
from keras import layers
from rich.console import Console

from kerasbnn import QuantConv2D, QuantDense, models
from kerasbnn.models.summarizing import byte_size, si_number

BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "kernel_initializer": "zeros",
    "use_bias": False,
}


def convolutional():
    """Layers as wide as those of BinaryNet."""
    return keras.Sequential(
        [
            keras.Input((16, 16, 256)),
            QuantConv2D(512, 3, padding="same", **BINARY, name="conv_1"),
            layers.MaxPooling2D(4, name="conv_1_pool"),
            layers.BatchNormalization(name="conv_1_bn"),
            layers.Flatten(),
            QuantDense(1024, **BINARY, name="dense"),
            layers.BatchNormalization(name="dense_bn"),
        ]
    )


def test_the_table_fits_and_needs_only_plain_characters_for_numbers(capsys):
    model = convolutional()
    result = models.summary(model)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 100
    assert "\x1b" not in printed
    assert "9,568,256" in printed
    assert "100.00 %" in printed
    lines = []
    assert models.summary(model, print_fn=lines.append) == result
    assert [line.rstrip() for line in printed.splitlines()] == lines
    # One row for each layer: nothing is folded at this width.
    names = [row["name"] for row in result["layers"]]
    top, bottom = [i for i, line in enumerate(lines) if line.startswith("\u2500")]
    assert [line.split(" ")[0] for line in lines[top + 1 : bottom]] == names
    for line in lines:
        ascii_part = "".join(c for c in line if c.isascii())
        assert set(line) - set(ascii_part) <= {"\u2500"}


def test_a_file_has_no_trailing_blanks(capsys):
    models.summary(keras.Sequential([keras.Input((3,)), layers.Dense(2)]))
    lines = capsys.readouterr().out.splitlines()
    assert lines
    assert all(line == line.rstrip() for line in lines)


def test_the_table_goes_to_a_console_of_the_users():
    stream = io.StringIO()
    console = Console(
        file=stream, width=60, color_system="truecolor", force_terminal=True
    )
    models.summary(
        keras.Sequential([keras.Input((3,)), layers.Dense(2)]), console=console
    )
    assert "\x1b[1m" in stream.getvalue()
    assert "Total" in stream.getvalue()


def test_a_stream_that_knows_only_ascii_is_enough():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    models.summary(model, console=Console(file=stream, width=100))
    stream.flush()
    assert b"Total" in raw.getvalue()


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (7, "7"),
        (999, "999"),
        (1000, "1 k"),
        (999_900, "1 M"),
        (2.5e12, "2.5 T"),
    ],
)
def test_numbers_have_three_digits(count, text):
    assert si_number(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1536, "1.5 KiB"),
        (2**20, "1 MiB"),
        (2**62, "4194304 TiB"),
    ],
)
def test_sizes_have_binary_units(count, text):
    assert byte_size(count) == text

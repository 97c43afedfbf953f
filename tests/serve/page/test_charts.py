"""Charts, against what they were drawn from."""

import math
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry.layer_geometry import Angles
from kerasbnn.serve.page.charts import (
    MOST_PIXELS,
    angle_histogram,
    duration_histogram,
    picture,
    reference_and_live,
    score_bar,
    stacked_times,
)
from kerasbnn.serve.page.svg import Scale, round_step

LIMIT = math.degrees(math.acos(math.sqrt(2 / math.pi)))
RNG = np.random.default_rng(0)


def drawn(chart):
    svg = ElementTree.fromstring(chart)
    assert svg.tag == "svg"
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    for element in svg.iter():
        assert "style" not in element.attrib
        for key, value in element.attrib.items():
            if key in ("x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"):
                most = width if key in ("x", "x1", "x2", "cx", "width") else height
                assert -0.01 <= float(value) <= most + 0.01, (key, value)
    return svg


def of_class(svg, class_):
    return [e for e in svg.iter() if e.attrib.get("class") == class_]


def place(svg, value):
    """Return where a value is along the axis, by its tick labels."""
    ticks = [
        (float(e.text), float(e.attrib["x"]))
        for e in of_class(svg, "tick")
        if e.attrib["text-anchor"] == "middle" and not e.text.startswith("angle")
    ]
    (low, x_low), (high, x_high) = ticks[0], ticks[-1]
    return x_low + (value - low) / (high - low) * (x_high - x_low)


@pytest.mark.parametrize("count", [1, 2, 10, 64, 512])
@pytest.mark.parametrize("fan_in", [9, 144, 4608])
def test_histogram_of_angles(count, fan_in):
    weights = RNG.normal(size=(count, fan_in))
    lengths = np.linalg.norm(weights, axis=1) * math.sqrt(fan_in)
    values = np.degrees(np.arccos(np.abs(weights).sum(axis=1) / lengths))
    expected, sd = 36.5, 21 / math.sqrt(fan_in)
    angles = Angles(
        mean=float(values.mean()),
        expected=expected,
        expected_sd=sd,
        per_filter=tuple(values.tolist()),
    )
    svg = drawn(angle_histogram(angles, LIMIT, "conv"))
    bars = of_class(svg, "bar")
    edges, counts = [], []
    for bar in bars:
        words = bar.find("title").text
        span, number = words.split(": ")
        low, high = (
            float(edge.rstrip("\N{DEGREE SIGN}")) for edge in span.split(" to ")
        )
        counts.append(int(number.split()[0]))
        edges.append((low, high))
        assert counts[-1] == np.count_nonzero((values >= low) & (values < high))
        assert float(bar.attrib["x"]) == pytest.approx(place(svg, low) + 0.5, abs=0.1)
    assert sum(counts) == count
    heights = np.array([float(bar.attrib["height"]) for bar in bars])
    np.testing.assert_allclose(
        heights / heights.max(), np.array(counts) / max(counts), atol=1e-3
    )
    (mean,) = of_class(svg, "expected")
    assert float(mean.attrib["x1"]) == pytest.approx(place(svg, expected), abs=0.1)
    (limit,) = of_class(svg, "limit")
    assert float(limit.attrib["x1"]) == pytest.approx(place(svg, LIMIT), abs=0.1)
    (band,) = of_class(svg, "band")
    width = place(svg, expected + 2 * sd) - place(svg, expected - 2 * sd)
    assert float(band.attrib["width"]) == pytest.approx(max(width, 1), abs=0.1)
    assert f"{values.mean():.1f} degrees" in svg.attrib["aria-label"]


def test_angles_that_are_not_known():
    assert angle_histogram(Angles(), None, "a") == ""
    assert angle_histogram(Angles(per_filter=(None, None)), LIMIT, "a") == ""
    svg = drawn(angle_histogram(Angles(per_filter=(None, 40.0)), None, "a"))
    assert len(of_class(svg, "bar")) == 1
    assert not of_class(svg, "band")
    assert not of_class(svg, "limit")


@given(
    st.lists(st.floats(0, 90), min_size=1, max_size=40),
    st.none() | st.floats(0, 90),
    st.none() | st.floats(0, 40),
)
def test_any_angles_can_be_drawn(values, expected, sd):
    angles = Angles(expected=expected, expected_sd=sd, per_filter=tuple(values))
    svg = drawn(angle_histogram(angles, LIMIT, "<&>"))
    words = [bar.find("title").text for bar in of_class(svg, "bar")]
    assert sum(int(text.split(": ")[1].split()[0]) for text in words) == len(values)


def test_reference_and_live():
    svg = drawn(reference_and_live(0.25, 0.75, 0, 1, "r"))
    (reference,), (live,) = of_class(svg, "reference"), of_class(svg, "live")
    assert float(reference.attrib["cx"]) == pytest.approx(7 + 0.25 * 106)
    assert float(live.attrib["cx"]) == pytest.approx(7 + 0.75 * 106)
    (shift,) = of_class(svg, "shift")
    assert shift.attrib["x1"] == reference.attrib["cx"]
    assert shift.attrib["x2"] == live.attrib["cx"]
    svg = drawn(reference_and_live(None, -3.0, 0, 1, "r"))
    assert float(of_class(svg, "live")[0].attrib["cx"]) == 7
    assert not of_class(svg, "reference")
    assert reference_and_live(None, None, 0, 1, "r") == ""


def test_bars_of_scores_start_at_zero():
    for score, left, right in [(2.0, 100, 200), (-1.0, 50, 100), (-2.0, 0, 100)]:
        (bar,) = drawn(score_bar(score, -2.0, 2.0)).iter("rect")
        assert float(bar.attrib["x"]) == left
        assert float(bar.attrib["x"]) + float(bar.attrib["width"]) == right
    drawn(score_bar(None, 0.0, 0.0))


def test_steps_fill_the_width_in_their_order():
    svg = drawn(stacked_times({"decode": 1.0, "wait": 0.0, "compute": 3.0}))
    rects = list(svg.iter("rect"))
    assert [float(rect.attrib["width"]) for rect in rects] == [60, 0, 180]
    assert [float(rect.attrib["x"]) for rect in rects] == [0, 60, 60]
    assert "compute 3 ms" in svg.attrib["aria-label"]
    assert stacked_times({"decode": 0.0}) == ""


def test_histogram_of_durations():
    svg = drawn(duration_histogram([0, 3, 6], ["1", "2", "5", "10"], "net"))
    heights = [float(bar.attrib["height"]) for bar in of_class(svg, "bar")]
    assert heights[0] == 0
    assert heights[2] == pytest.approx(2 * heights[1], abs=0.02)
    assert "9 requests" in svg.attrib["aria-label"]
    assert "5 to 10 milliseconds" in svg.attrib["aria-label"]


@pytest.mark.parametrize("shape", [(8, 8, 1), (5, 9, 3), (64, 20, 3), (1, 1, 1)])
def test_a_picture_has_the_pixels_of_the_image(shape):
    pixels = RNG.integers(0, 3, shape, dtype=np.uint8) * 100
    found = np.zeros((*shape[:2], 3), np.uint8)
    svg = drawn(picture(pixels, "label"))
    for rect in svg.iter("rect"):
        x, y, width = (int(rect.attrib[key]) for key in ("x", "y", "width"))
        color = rect.attrib["fill"]
        assert not found[y, x : x + width].any()
        found[y, x : x + width] = tuple(bytes.fromhex(color[1:]))
    expected = pixels.repeat(3, axis=2) if shape[2] == 1 else pixels
    assert np.array_equal(found, expected)


def test_a_large_picture_is_drawn_with_few_pixels():
    pixels = RNG.integers(0, 256, (300, 200, 3), dtype=np.uint8)
    svg = drawn(picture(pixels, "label"))
    assert len(list(svg.iter("rect"))) <= MOST_PIXELS**2


@given(st.floats(1e-9, 1e9))
def test_round_steps(least):
    step = round_step(least)
    assert least * (1 - 1e-6) <= step <= 2.5 * least * (1 + 1e-6)
    digits = f"{step:.6e}".split("e")[0].rstrip("0").rstrip(".")
    assert digits in ("1", "2", "5")


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_are_round_and_few(low, size):
    scale = Scale(low, low + size, 0, 100)
    ticks = scale.ticks(6)
    assert len(ticks) <= 7
    assert all(-0.1 <= scale(tick) <= 100.1 for tick in ticks)
    assert len(set(np.round(np.diff(ticks) / size, 6))) <= 1

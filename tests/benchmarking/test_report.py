"""Tables, JSON and bars of a made-up report."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from kerasbnn.benchmarking import BenchmarkReport, Contender


def made_up(**changes):
    """A report with round numbers."""
    contenders = (
        Contender("float32", 4_000_000, 100, 8.0, 7.0, 9.0, 8.0),
        Contender("int8", 1_000_000, 100, 2.0, 1.5, 2.5, 2.0),
        Contender("packed_stock", 125_000, 100, 10.0, 9.0, 12.0, 10.0, 1.0, 0.0),
        Contender("packed_delegate", 125_000, 100, 0.5, 0.4, 0.6, 0.5, 0.995, 1e-6),
    )
    values = {
        "model": "net",
        "batch_size": 1,
        "num_threads": 1,
        "samples": 200,
        "are_random": True,
        "processor": "a CPU",
        "versions": {"kerasbnn": "1.2.3"},
        "implementation": "generic",
        "contenders": contenders,
    }
    return BenchmarkReport(**{**values, **changes})


def test_speeds_compare_processor_time_of_one_thread_and_latencies_of_several():
    assert made_up().speed("packed_delegate", over="float32") == 16
    assert made_up().speed("packed_stock", over="int8") == pytest.approx(0.2)
    one = Contender("int8", 1, 1, latency_ms=6.0, cpu_ms=2.0)
    other = Contender("packed_stock", 1, 1, latency_ms=2.0, cpu_ms=1.0)
    assert made_up(contenders=(one, other)).speed("packed_stock", "int8") == 2
    several = made_up(contenders=(one, other), num_threads=2)
    assert several.speed("packed_stock", "int8") == 3


def test_the_report_as_json(tmp_path):
    values = json.loads(made_up().to_json(tmp_path / "report.json"))
    assert json.loads((tmp_path / "report.json").read_text()) == values
    assert values["model"] == "net"
    fastest = values["contenders"][3]
    assert fastest["name"] == "packed_delegate"
    assert fastest["speed_over_float32"] == 16
    assert fastest["speed_over_int8"] == 4
    assert fastest["bytes"] == 125_000


def test_the_table():
    lines = str(made_up()).splitlines()
    rows = {line[:18].strip(): line[18:].split() for line in lines if line[:1] != " "}
    assert rows["packed + delegate"] == (
        "122 KiB 0.5 0.4-0.6 0.5 16 4 99.5 % 1e-06".split()
    )
    assert rows["float32 twin"][-4:] == ["1", "0.25", "-", "-"]
    text = " ".join(" ".join(lines).split())
    for part in ("net, batch 1, 1 thread", "generic", "200 random samples", "a CPU"):
        assert part in text
    assert "Busy" not in text
    assert all(len(line) <= 100 for line in lines)


def test_the_table_fits_into_a_terminal_of_80_columns():
    long = [
        dataclasses.replace(
            contender, latency_low_ms=0.123, latency_ms=12.3, latency_high_ms=1234.0
        )
        for contender in made_up().contenders
    ]
    file = io.StringIO()
    made_up(contenders=tuple(long)).show(console=Console(file=file, width=80))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for contender in long:
        (row,) = [line for line in lines if line.startswith(f"{contender.label:<18}")]
        assert "0.123-1234" in row
        assert "\u2026" not in row


def test_short_times_are_in_microseconds():
    short = [
        dataclasses.replace(contender, latency_ms=0.02, latency_high_ms=0.025)
        for contender in made_up().contenders
    ]
    report = made_up(contenders=tuple(short))
    assert "in us" in str(report)
    assert "timed in groups" in str(report)
    assert "timed in groups" not in str(made_up())
    latencies, _ = report.plot().axes
    assert [bar.get_width() for bar in latencies.patches] == [20.0] * 4
    assert latencies.get_title(loc="left") == "Latency of a call in µs"


def test_the_table_says_that_the_machine_was_busy():
    waiting = Contender("int8", 1, 1, 6.0, 5.0, 7.0, 2.0)
    float32, _, *packed = made_up().contenders
    contenders = (float32, waiting, *packed)
    assert "Busy" in str(made_up(contenders=contenders))
    assert "Busy" not in str(made_up(contenders=contenders, num_threads=2))


def test_an_unknown_contender_is_named_with_the_known_ones():
    with pytest.raises(KeyError, match="No contender 'int4'.*float32, int8"):
        made_up()["int4"]


def test_the_picture_has_a_bar_for_each_figure(tmp_path):
    figure = made_up().plot(tmp_path / "bars.png")
    latencies, sizes = figure.axes
    assert [bar.get_width() for bar in latencies.patches] == [8.0, 2.0, 10.0, 0.5]
    mib = [bar.get_width() for bar in sizes.patches]
    np.testing.assert_allclose(mib, np.array([4e6, 1e6, 125_000, 125_000]) / 2**20)
    assert len({bar.get_facecolor() for bar in latencies.patches}) == 4
    labels = [label.get_text() for label in latencies.get_yticklabels()]
    assert labels == ["float32 twin", "int8 twin", "packed", "packed + delegate"]
    assert any("16x as fast as float32" in t.get_text() for t in latencies.texts)

    from matplotlib import image

    pixels = image.imread(tmp_path / "bars.png")
    assert pixels.shape[1] > 1000
    assert pixels[..., :3].std() > 0.05


def test_the_words_of_the_picture_are_about_its_bars():
    *others, fastest = made_up().contenders
    waiting = dataclasses.replace(fastest, cpu_ms=0.25)
    report = made_up(contenders=(*others, waiting))
    assert report.speed("packed_delegate", over="float32") == 32
    latencies, _ = report.plot().axes
    words = "(16x as fast as float32, 4x as fast as int8)"
    assert any(words in text.get_text() for text in latencies.texts)


def test_a_picture_of_unknown_format_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="gives its format"):
        made_up().plot(tmp_path / "bars.xyz")
    assert not list(tmp_path.iterdir())

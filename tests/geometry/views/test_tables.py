"""The table of a report as people see it: on terminals, in files, in any encoding."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from kerasbnn.geometry.report import GeometryReport
from tests.helpers.geometry_reports import (
    LONG,
    MARKUP,
    made_up_report,
    unmeasured_layer,
)


@pytest.fixture(scope="module")
def report():
    return made_up_report(layers=3)


def printed(report, width=200, **options):
    stream = io.StringIO()
    report.show(Console(file=stream, width=width, **options))
    return stream.getvalue()


def row_of(text, name):
    """The line of the table that begins with the name of a layer."""
    return next(line for line in text.splitlines() if line.startswith(name + " "))


def test_it_fits_into_a_file(report, capsys):
    report.show()
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    # Two lines for a layer of a short name, and its figures in the first one.
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("conv_1 "))
    assert lines[first + 1].startswith("(QuantConv2D, SteSign)")
    assert lines[first + 2].startswith("conv_2 ")


def test_a_file_has_no_trailing_blanks_and_the_columns_asked_for(
    report, capsys, monkeypatch
):
    monkeypatch.delenv("COLUMNS", raising=False)
    report.show()
    usual = capsys.readouterr().out
    assert usual.split() == printed(report, width=100).split()
    monkeypatch.setenv("COLUMNS", "140")
    report.show()
    wide = capsys.readouterr().out
    assert 100 < max(map(len, wide.splitlines())) <= 140
    for text in (usual, wide):
        assert all(line == line.rstrip() for line in text.splitlines())


def test_a_row_has_the_figures_of_the_report(report):
    layer = report["conv_2"]
    p, angles = layer.products, layer.angles
    words = row_of(printed(report), "conv_2").split()
    assert words == [
        "conv_2",
        "(QuantConv2D,",
        "SteSign)",
        str(layer.fan_in),
        str(layer.filters),
        f"{angles.mean:.1f}±{angles.sd:.1f}",
        f"({angles.expected:.1f})",
        f"{p.pooled:.3f}",
        f"{p.mean:.3f}",
        f"{p.predicted_mean:.3f}",
        f"{p.permuted:.3f}",
        f"{100 * p.centred_flips:.1f}",
        f"{layer.inputs.participation_ratio:.1f}",
        layer.verdicts[0].kind,
    ]


def test_what_is_not_known_is_a_dash(report):
    text = printed(report)
    assert row_of(text, "dense_without_samples").split()[3:] == [
        "1",
        "1",
        "-",
        "(-)",
        *["-"] * 6,
        "not",
        "measured",
    ]
    for word in ("None", "nan", "NaN", "inf"):
        assert word not in text.replace("find", "")


def test_columns_that_nothing_is_known_of_are_left_out(report):
    # As a report from a probe.
    layers = tuple(
        replace(
            layer,
            products=replace(layer.products, permuted=None, centred_flips=None),
            inputs=replace(layer.inputs, participation_ratio=None),
            verdicts=(),
        )
        for layer in report.layers
    )
    probed = replace(report, layers=layers)
    text = " ".join(printed(probed, width=100).split())
    for word in ("r per-", "permuted", "Flips", "d_eff", "Verdict"):
        assert word in " ".join(printed(report, width=100).split())
        assert word not in text
    kinds = "over all filters pooled, the mean of the filters, and as the formula"
    assert kinds in text
    layer = report["conv_2"]
    p, angles = layer.products, layer.angles
    assert row_of(printed(probed), "conv_2").split()[3:] == [
        str(layer.fan_in),
        str(layer.filters),
        f"{angles.mean:.1f}±{angles.sd:.1f}",
        f"({angles.expected:.1f})",
        *(f"{r:.3f}" for r in (p.pooled, p.mean, p.predicted_mean)),
    ]
    unmeasured = GeometryReport("net", (unmeasured_layer(),), samples=0)
    text = printed(unmeasured)
    assert "correlation" not in text
    assert "Verdict" in text


def test_reason_and_remedy_of_each_verdict_are_told(report):
    text = " ".join(printed(report, width=100).split())
    for layer in report.layers:
        for verdict in layer.verdicts:
            assert f"{verdict.reason} {verdict.remedy}" in text
        for problem in layer.problems:
            assert problem in text
    assert "gru/cell: not audited Recurrent kernels" in text
    assert "conv_1: keep continuous, refit BatchNorm" in text


def test_names_are_not_taken_as_markup(report):
    text = printed(report)
    assert MARKUP in text
    assert LONG in text
    assert "Geometry of net <1> [b]" in text


def test_a_quantizer_that_is_not_there_yet_has_an_arrow(report):
    assert "(Conv2D, -> SteSign)" in printed(report)
    assert "->" not in printed(made_up_report(layers=1, odd=False))


@pytest.mark.parametrize(
    ("kind", "code"),
    [("keep continuous", "31"), ("binarize", "32"), ("ternarize", "33")],
)
def test_verdicts_have_colors_on_a_terminal(report, kind, code):
    text = printed(report, force_terminal=True, color_system="standard")
    assert f"\x1b[{code}m{kind}" in text


@pytest.mark.parametrize("width", [40, 80, 100, 131, 132, 200])
def test_no_line_is_wider_than_the_console(report, width):
    lines = printed(report, width=width).splitlines()
    assert max(map(len, lines)) <= width


def test_a_stream_that_knows_only_ascii_is_enough(report):
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    report.show(Console(file=stream, width=100))
    stream.flush()
    assert b"+-" in raw.getvalue()


def test_names_that_control_terminals_or_lack_in_an_encoding():
    layer = unmeasured_layer("evil\x1b[2J\nsecond größe 层")
    report = GeometryReport("net", (layer,), samples=0)
    assert "\x1b" not in printed(report)
    assert "second größe 层" in printed(report)
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="latin-1")
    report.show(Console(file=stream, width=120))
    stream.flush()
    assert "größe ?" in raw.getvalue().decode("latin-1")


def test_a_report_without_layers():
    text = printed(GeometryReport("net", (), samples=0))
    assert text.splitlines() == ["Geometry of net (0 samples)", "0 layers."]

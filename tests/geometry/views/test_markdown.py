"""Reports as Markdown: the table's cells, and that names stay in theirs."""

import re
from dataclasses import replace

import pytest

from kerasbnn.geometry.report import GeometryReport
from tests.helpers.geometry_reports import MARKUP, made_up_report, unmeasured_layer


@pytest.fixture(scope="module")
def report():
    return made_up_report(layers=3)


def cells(text):
    """Rows of the first table, split at pipes that are not escaped."""
    rows = [line for line in text.splitlines() if line.startswith("|")]
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip("|"))]
        for row in rows
    ]


def test_the_table_has_a_row_of_figures_for_each_layer(report):
    header, ruler, *rows = cells(report.to_markdown())
    assert len(rows) == len(report.layers)
    assert {len(row) for row in (header, ruler, *rows)} == {15}
    assert all(re.fullmatch(":--|--:", mark) for mark in ruler)
    row = dict(zip(header, rows[1], strict=True))
    layer = report["conv_2"]
    assert row["Layer"] == "`conv_2`"
    assert row["Fan-in"] == str(layer.fan_in)
    assert row["Angle, degrees"] == f"{layer.angles.mean:.1f}±{layer.angles.sd:.1f}"
    assert row["Pooled r"] == f"{layer.products.pooled:.3f}"
    assert row["Mean r"] == f"{layer.products.mean:.3f}"
    assert row["Median r"] == f"{layer.products.median:.3f}"
    assert row["Predicted median"] == f"{layer.products.predicted_median:.3f}"
    assert row["Permuted r"] == f"{layer.products.permuted:.3f}"
    assert row["Sign flips"] == f"{100 * layer.products.centred_flips:.1f} %"
    assert row["Verdict"] == f"**{layer.verdicts[0].kind}**"


def test_what_is_not_known_is_a_dash(report):
    text = report.to_markdown()
    assert cells(text)[-1][5:13] == ["-"] * 8
    assert not re.search(r"\b(None|nan|NaN|inf)\b", text)


def test_verdicts_are_told(report):
    text = report.to_markdown().replace("\\", "")
    for layer in report.layers:
        for verdict in layer.verdicts:
            assert f"{verdict.reason} {verdict.remedy}" in text
        for problem in layer.problems:
            assert f"- {problem}" in text
    assert "- `gru/cell`: Recurrent kernels are not audited." in text


def test_a_name_with_backticks_is_in_more_of_them(report):
    assert f"### `` {MARKUP} ``" in report.to_markdown()


def test_sentences_have_no_markup_but_code():
    layer = unmeasured_layer("a")
    problem = "Layer _a_ <b> *c* [d](e) has a_b of `x_*y`."
    layer = replace(layer, verdicts=(), problems=(problem, "An odd ` tick."))
    text = GeometryReport("net", (layer,), samples=0).to_markdown()
    assert r"- Layer \_a\_ \<b> \*c\* \[d\](e) has a_b of `x_*y`." in text
    assert r"- An odd \` tick." in text


def test_it_is_written_to_a_file(report, tmp_path):
    text = report.to_markdown(tmp_path / "geometry.md")
    assert (tmp_path / "geometry.md").read_text(encoding="utf-8") == text


def test_a_report_without_layers():
    text = GeometryReport("net", (), samples=3).to_markdown()
    assert text == "# Geometry of `net`\n\n3 samples. 0 layers.\n"

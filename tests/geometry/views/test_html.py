"""The HTML report, read by a parser: valid, self-contained, and true to the report."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from kerasbnn.geometry.report import GeometryReport
from tests.helpers.geometry_reports import MARKUP, made_up_report, unmeasured_layer

VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Collects elements and texts; fails where tags are not balanced."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.texts = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), list(self.open)))
        assert len(attrs) == len(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        # Only SVG has elements that close themselves.
        assert "svg" in self.open
        self.elements.append((tag, dict(attrs), list(self.open)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((tuple(self.open), data))

    def of(self, *tags):
        """Attributes of all elements of these tags."""
        return [attributes for tag, attributes, _ in self.elements if tag in tags]

    def text(self, inside="body"):
        """All text within a tag, with single blanks."""
        found = (data for path, data in self.texts if inside in path)
        return " ".join(" ".join(found).split())


@pytest.fixture(scope="module")
def report():
    return made_up_report(layers=3)


@pytest.fixture(scope="module")
def text(report):
    return report.to_html()


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_it_is_one_page_with_its_outline(text, page):
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert page.text("title") == page.text("h1") == "Geometry of net <1> [b]"
    assert len(page.of("h1")) == 1
    assert len(page.of("main")) == len(page.of("header")) == 1
    assert len(page.of("h3")) == 6
    for fact in ("500 samples", "tensorflow", "kerasbnn 0.9.9"):
        assert fact in page.text("header")


def test_nothing_is_fetched_and_nothing_runs(text, page):
    assert not page.of("script", "link", "iframe", "object", "form", "img")
    assert not re.search(r"https?://", text)
    assert "@import" not in text
    for _, attributes, _ in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert "style" not in attributes
        for name in ("href", "src", "xlink:href"):
            target = attributes.get(name, "#")
            assert target.startswith(("#", "data:image/png;base64,"))
        assert "url(" not in attributes.get("clip-path", "").replace("url(#", "")


def test_the_policy_allows_its_own_style_and_no_more(text, page):
    policy = next(a["content"] for a in page.of("meta") if "http-equiv" in a)
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{digest}';")
    assert len(page.of("style")) == 1
    assert "prefers-color-scheme: dark" in style


def test_identifiers_are_unique_and_links_lead_somewhere(text, page):
    identifiers = [a["id"] for _, a, _ in page.elements if "id" in a]
    assert len(identifiers) == len(set(identifiers))
    links = [a["href"] for _, a, _ in page.elements if a.get("href", "")[:1] == "#"]
    links += re.findall(r"url\((#[^)]*)\)", text)
    assert len(links) > 10
    assert {link[1:] for link in links} <= set(identifiers)


def test_pictures_have_descriptions_and_captions(report, page):
    pictures = page.of("svg")
    # Four of all layers; of each with data five, the first has no activations.
    assert len(pictures) == 4 + 5 * 5 - 1
    assert len(page.of("figcaption")) == len(page.of("figure")) == len(pictures)
    for attributes in pictures:
        assert attributes["role"] == "img"
        assert len(attributes["aria-label"]) > 20
        assert re.fullmatch(r"0 0 [\d.]+ [\d.]+", attributes["viewbox"])
    descriptions = [a["aria-label"] for a in pictures]
    pooled = report["conv_1"].products.pooled
    assert any("conv_1" in d and f"{pooled:.3f}" in d for d in descriptions)


def test_pictures_take_the_color_of_the_page(page):
    drawn = [(t, a) for t, a, path in page.elements if "svg" in path]
    colors = {a.get(name) for _, a in drawn for name in ("fill", "stroke")}
    assert "currentColor" in colors
    assert "#212529" not in colors
    # White paper would be a glaring patch on a dark page.
    assert not [t for t, a in drawn if a.get("fill") == "#ffffff"]
    words = [data for path, data in page.texts if "svg" in path and "text" in path]
    assert "with quantized weights" in words


def rows(page):
    """Texts of the cells of the summary, by row."""
    found, path_of_row = [], None
    for path, data in page.texts:
        if "tbody" in path and data.strip():
            if path_of_row is None or "th" in path and "a" in path:
                found.append([])
            path_of_row = path
            found[-1].append(data)
    return found


def test_the_summary_has_the_figures_of_the_report(report, page):
    assert len(page.of("table")) == len(page.of("caption")) == 1
    scopes = [a.get("scope") for a in page.of("th")]
    assert scopes.count("row") == len(report.layers)
    assert None not in scopes
    layer = report["conv_2"]
    p, a = layer.products, layer.angles
    assert rows(page)[1] == [
        "conv_2",
        "QuantConv2D, SteSign",
        layer.verdicts[0].kind,
        "72",
        "48",
        f"{a.mean:.1f}±{a.sd:.1f}",
        f"{a.expected:.1f}±{a.expected_sd:.1f}",
        f"{p.pooled:.3f}",
        f"{p.mean:.3f}",
        f"{p.median:.3f}",
        f"{p.predicted_median:.3f}",
        f"{p.permuted:.3f}",
        f"{100 * p.centred_flips:.1f} %",
        f"{layer.inputs.participation_ratio:.1f}",
    ]


def test_verdicts_have_words_and_colors(report, page):
    badges = [a["class"] for a in page.of("span") if "verdict" in a.get("class", "")]
    verdicts = [v for layer in report.layers for v in layer.verdicts]
    assert len(badges) == len(verdicts) + len(report.layers)
    assert badges[0] == "verdict stop"
    words = page.text()
    for verdict in verdicts:
        said = f"{verdict.reason} {verdict.remedy}"
        # Code has an element of its own.
        for piece in said.split("`"):
            assert " ".join(piece.split()) in words


def test_figures_stand_in_sentences(report, page):
    words = page.text("dd")
    layer = report["conv_2"]
    p, w = layer.products, layer.weights
    for figure in (
        f"Over all filters they correlate with {p.pooled:.3f}.",
        f"The median filter has {p.median:.3f}, the mean of all {p.mean:.3f}",
        f"The formula predicts {p.predicted_median:.3f}",
        f"correlation is {p.permuted:.3f}",
        f"{100 * p.raw_flips:.1f} % as they are",
        f"Their kurtosis is {w.kurtosis:.2f}",
        f"Quantized they are {100 * w.levels['-1']:.1f} % -1",
        "7.9 % have changed since the start.",
        "The batch normalization that follows has a mean 0.0300 standard deviations",
        f"three levels at the best threshold {p.median + 0.05:.3f}",
    ):
        assert figure in words
    first = words[: words.index("In other bases")]
    assert "The data preserves less" in first


def test_what_is_not_known_is_not_said(page):
    for path, data in page.texts:
        if "svg" not in path and "style" not in path:
            assert not re.search(r"\b(None|nan|NaN|inf)\b", data)
    assert rows(page)[-1][:3] == [
        "dense_without_samples",
        "QuantDense, SteSign",
        "not measured",
    ]
    assert set(rows(page)[-1][5:]) == {"-"}


def test_names_are_escaped(text, page):
    assert MARKUP in page.text("h3")
    assert "<script" not in text
    assert "net &lt;1&gt; [b]" in text


def test_what_was_skipped_and_set_is_told(page):
    assert "gru/cell : Recurrent kernels are not audited." in page.text("li")
    assert '"preserved": 0.85' in page.text("pre")


def test_it_is_light_and_written_to_a_file(tmp_path):
    report = made_up_report(layers=9, odd=False)
    text = report.to_html(tmp_path / "geometry.html")
    assert (tmp_path / "geometry.html").read_text(encoding="utf-8") == text
    assert len(text.encode()) < 1_000_000
    Page(text)


def test_reports_with_nothing_in_them():
    empty = Page(GeometryReport("net", (), samples=0).to_html())
    assert not empty.of("table", "svg")
    bare = Page(GeometryReport("net", (unmeasured_layer(),), samples=0).to_html())
    assert not bare.of("svg")
    assert "1 filter of 1 weight each." in bare.text()


def test_a_glyph_that_matplotlib_lacks_is_left_to_the_browser():
    layer = made_up_report(layers=1, odd=False).layers[0]
    layer = replace(layer, name="层")
    page = Page(GeometryReport("net", (layer,), samples=1).to_html())
    assert any("层" in data for path, data in page.texts if "svg" in path)


def test_colors_can_be_read():
    from kerasbnn.geometry.views.html_style import STYLE

    def luminance(color):
        channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4
            for c in channels
        ]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    themes = [
        dict(re.findall(r"--([\w-]+): (#\w{6})", block))
        for block in re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    ]
    assert len(themes) == 2
    for theme in themes:
        pairs = [(tone, f"{tone}-back") for tone in ("good", "change", "stop", "none")]
        pairs += [
            (name, back)
            for name in ("ink", "faint", "link")
            for back in ("page", "panel")
        ]
        for name, back in pairs:
            dark, light = sorted((luminance(theme[name]), luminance(theme[back])))
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, back)

"""What is drawn: panels, lines, shaded quadrants; not how it looks."""

import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from kerasbnn.geometry.histograms import product_histogram
from kerasbnn.geometry.layer_geometry import Angles, LayerGeometry, Weights
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.geometry.views.plots import KINDS
from kerasbnn.geometry.views.plots_weights import implied_threshold
from tests.helpers.geometry_reports import (
    LONG,
    MARKUP,
    made_up_report,
    unmeasured_layer,
)
from tests.helpers.processes import ROOT


def integral(y, x):
    """Integrate by trapezoids; numpy 1 and 2 have other names for it."""
    return np.sum((y[1:] + y[:-1]) / 2 * np.diff(x))


@pytest.fixture(scope="module")
def report():
    """Five layers with figures and one without."""
    return made_up_report(layers=3)


def texts(figure):
    """All texts of a figure that stand in no axes."""
    legends = [text for legend in figure.legends for text in legend.get_texts()]
    return [text.get_text() for text in (*figure.texts, *legends)]


def dashed_at(ax, x):
    """Lines that are not solid and stand upright at x."""
    return [
        line
        for line in ax.lines
        if line.get_linestyle() != "-" and np.allclose(line.get_xdata(), x)
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_drawn_without_warnings(kind, report, tmp_path):
    figure = report.plot(kind, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
    assert figure.axes
    assert any("dense_without_samples" in text for text in texts(figure))


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_without_data_says_so(kind, tmp_path):
    figure = GeometryReport("net", (unmeasured_layer(),), samples=0).plot(
        kind, tmp_path / "plot.svg"
    )
    assert not figure.axes
    assert any(text.startswith("No layer has ") for text in texts(figure))
    assert "dense_without_samples" in (tmp_path / "plot.svg").read_text()


@pytest.mark.parametrize(
    ("kind", "name", "r"),
    [
        ("dot_products", "products", "pooled"),
        ("permuted", "permuted", "permuted"),
        ("activations", "activations", "activations"),
    ],
)
def test_pairs_have_a_panel_for_each_layer(kind, name, r, report):
    figure = report.plot(kind)
    shown = [layer for layer in report.layers if name in layer.histograms]
    *panels, bar = figure.axes
    assert len(panels) == len(shown) == (4 if kind == "activations" else 5)
    assert bar.get_ylabel() == "pairs, of the fullest bin"
    for ax, layer in zip(panels, shown, strict=True):
        histogram = layer.histograms[name]
        assert ax.get_title().endswith(f"r = {getattr(layer.products, r):.3f}")
        (image,) = ax.images
        counts = np.array(histogram.counts).T
        np.testing.assert_allclose(image.get_array().filled(0), counts / counts.max())
        np.testing.assert_allclose(
            image.get_extent(),
            [
                *np.array(histogram.x_edges)[[0, -1]],
                *np.array(histogram.y_edges)[[0, -1]],
            ],
        )
        # The quadrants of different signs are shaded, below the image.
        centres = [
            (
                patch.get_x() + patch.get_width() / 2,
                patch.get_y() + patch.get_height() / 2,
            )
            for patch in ax.patches
        ]
        assert len(centres) == 2
        assert all(x * y < 0 for x, y in centres)
        assert max(patch.get_zorder() for patch in ax.patches) < image.get_zorder()
        for patch in ax.patches:
            assert abs(patch.get_width()) == pytest.approx(histogram.x_edges[-1])
            assert abs(patch.get_height()) == pytest.approx(histogram.y_edges[-1])


def test_the_dashed_line_is_the_regression(report):
    figure = report.plot("dot_products")
    for ax, layer in zip(figure.axes[:-1], report.layers, strict=False):
        (line,) = ax.lines
        x, y = line.get_data()
        assert line.get_linestyle() == "--"
        expected = layer.products.intercept + layer.products.slope * np.array(x)
        np.testing.assert_allclose(y, expected)


def test_regressions_from_histograms_are_those_of_the_pairs(rng):
    x = 10 * rng.normal(size=20_000)
    y = 1.5 - 0.3 * x + rng.normal(size=x.size)
    layer = replace(
        unmeasured_layer(), histograms={"permuted": product_histogram(x, y)}
    )
    figure = GeometryReport("net", (layer,), samples=0).plot("permuted")
    (line,) = figure.axes[0].lines
    measured = np.polyfit(*line.get_data(), 1)
    np.testing.assert_allclose(measured, np.polyfit(x, y, 1), rtol=0.02)


def test_a_panel_of_one_layer_has_no_room_for_others():
    report = made_up_report(layers=1, odd=False)
    assert len(report.plot("dot_products").axes) == 2


def test_densities_of_angles(report):
    figure = report.plot("angles")
    (ax,) = figure.axes
    curves = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert len(curves) == 5
    for line, layer in zip(curves, report.layers, strict=False):
        x, y = line.get_data()
        assert integral(y, x) == pytest.approx(1, abs=0.01)
        assert integral(x * y, x) == pytest.approx(layer.angles.mean, abs=0.1)
        spread = integral((x - layer.angles.mean) ** 2 * y, x)
        bandwidth = math.degrees(0.01)
        sd = np.std(layer.angles.per_filter)
        assert spread == pytest.approx(sd**2 + bandwidth**2, rel=0.02)
    assert len(dashed_at(ax, 37.0714)) == 1
    ternary = report[LONG].angles.expected
    assert len(dashed_at(ax, ternary)) == 1
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[0] == "conv_1, d = 27"
    assert "signs of Gaussian weights: 37.07°" in legend


def test_densities_of_weights(report):
    figure = report.plot("weights")
    (ax,) = figure.axes
    assert ax.get_yscale() == "log"
    curves = [line for line in ax.lines if len(line.get_xdata()) > 2]
    assert len(curves) == 5
    for line, layer in zip(curves, report.layers, strict=False):
        counts, edges = np.array(layer.weights.histogram), np.array(layer.weights.edges)
        density = np.histogram(
            (edges[1:] + edges[:-1]) / 2, edges, weights=counts, density=True
        )[0]
        np.testing.assert_allclose(line.get_ydata(), density[density > 0])
    # Of the ternary layer, whose threshold was 0.06.
    low, high = sorted(line.get_xdata()[0] for line in ax.lines if line not in curves)
    assert (low, high) == pytest.approx((-0.06, 0.06), abs=0.005)


@pytest.mark.parametrize("threshold", [0.02, 0.5, 1.5])
def test_the_threshold_follows_from_the_share_of_zeros(threshold, rng):
    w = rng.normal(size=50_000)
    counts, edges = np.histogram(w, 100)
    zero = float(np.mean(np.abs(w) <= threshold))
    levels = {"-1": (1 - zero) / 2, "0": zero, "1": (1 - zero) / 2}
    weights = Weights(levels=levels, histogram=tuple(counts), edges=tuple(edges))
    assert implied_threshold(weights) == pytest.approx(threshold, abs=0.01)


@pytest.mark.parametrize(
    "levels", [None, {"-1": 0.5, "1": 0.5}, {"-1": 0.3, "1": 0.3, "2": 0.4}]
)
def test_without_three_levels_there_is_no_threshold(levels):
    weights = Weights(levels=levels, histogram=(1, 1), edges=(-1.0, 0.0, 1.0))
    assert implied_threshold(weights) is None


def layer_of_angles(name, fan_in, sd):
    return LayerGeometry(
        name, name, "kernel", "Dense", fan_in, 8, angles=Angles(mean=37.0, sd=sd)
    )


def test_deviations_fall_with_the_fan_in():
    layers = [layer_of_angles(f"a{d}", d, 30 * d**-0.4) for d in (27, 100, 1000)]
    figure = GeometryReport("net", tuple(layers), samples=0).plot("deviations")
    (ax,) = figure.axes
    assert ax.get_xscale() == ax.get_yscale() == "log"
    points = [line for line in ax.lines if len(line.get_xdata()) == 1]
    assert [line.get_xdata()[0] for line in points] == [27, 100, 1000]
    theory, reference, fitted = [line for line in ax.lines if len(line.get_xdata()) > 1]
    for line, slope in ((reference, -0.5), (fitted, -0.4)):
        x, y = map(np.log, line.get_data())
        assert np.polyfit(x, y, 1)[0] == pytest.approx(slope)
    x, y = fitted.get_data()
    np.testing.assert_allclose(y, 30 * np.array(x) ** -0.4)
    x, y = theory.get_data()
    np.testing.assert_allclose(y[-1] * math.sqrt(x[-1]), 20.178, rtol=0.01)
    assert "fitted slope -0.40" in texts(figure)


def test_one_fan_in_has_no_slope():
    layers = (layer_of_angles("a", 64, 2.0), layer_of_angles("b", 64, 3.0))
    figure = GeometryReport("net", layers, samples=0).plot("deviations")
    assert not any("fitted" in text for text in texts(figure))


def test_spectra(report):
    figure = report.plot("spectrum")
    (ax,) = figure.axes
    assert ax.get_xscale() == ax.get_yscale() == "log"
    assert len(ax.lines) == 5
    np.testing.assert_allclose(
        ax.lines[0].get_ydata(), report["conv_1"].inputs.spectrum
    )
    assert ax.lines[0].get_xdata()[0] == 1
    ratio = report["conv_1"].inputs.participation_ratio
    assert f"conv_1, d_eff = {ratio:.2f} of 27" in texts(figure)


def test_layers_can_be_told_apart():
    layers = tuple(layer_of_angles(f"a{i}", 9 + i, 5.0) for i in range(21))
    angles = [
        replace(g, angles=Angles(per_filter=(35.0, 37.0), expected=36.0))
        for g in layers
    ]
    figure = GeometryReport("net", tuple(angles), samples=0).plot("angles")
    curves = [line for line in figure.axes[0].lines if len(line.get_xdata()) > 2]
    assert len({(line.get_color(), line.get_linestyle()) for line in curves}) == 21


def test_names_are_not_taken_as_tex_nor_left_out(tmp_path):
    names = ("_private", "$broken^{tex$", MARKUP)
    pairs = {"products": product_histogram([1.0, -1.0], [1.0, -1.0])}
    layers = [
        replace(layer_of_angles(name, 64, 2.0), histograms=pairs) for name in names
    ]
    layers.append(unmeasured_layer("$left^{out$"))
    report = GeometryReport("net", tuple(layers), samples=0)
    report.plot("dot_products", tmp_path / "pairs.png")
    figure = report.plot("deviations", tmp_path / "plot.pdf")
    assert {" _private", "$broken^{tex$"} <= set(texts(figure))
    assert (tmp_path / "plot.pdf").read_bytes().startswith(b"%PDF")


def test_an_unknown_kind_is_refused(report):
    with pytest.raises(ValueError, match="no plot 'angle'.*'angles', 'weights'"):
        report.plot("angle")


@pytest.mark.parametrize("name", ["plot", "plot.xyz"])
def test_an_unknown_format_is_refused_and_nothing_written(name, report, tmp_path):
    with pytest.raises(ValueError, match=r"\.png"):
        report.plot("angles", tmp_path / name)
    assert not list(tmp_path.iterdir())


WITHOUT_MATPLOTLIB = """
import sys
sys.modules["matplotlib"] = None
from kerasbnn.geometry.layer_geometry import LayerGeometry
from kerasbnn.geometry.report import GeometryReport

layer = LayerGeometry("a", "a", "kernel", "Dense", 9, 8)
report = GeometryReport("net", (layer,), samples=0)
report.to_markdown()
report.show()
for draw in (lambda: report.plot("angles"), report.to_html):
    try:
        draw()
    except ImportError as error:
        print("refused:", error)
"""

WITHOUT_STATE = """
import json, sys
import matplotlib
# To read the backend would choose one, and load pyplot.
def settings():
    names = set(matplotlib.rcParams) - {"backend"}
    return {name: matplotlib.rcParams[name] for name in names}
before = settings()
from tests.helpers.geometry_reports import made_up_report
report = made_up_report(layers=2)
report.to_html()
report.plot("dot_products")
assert settings() == before
print("matplotlib.pyplot" in sys.modules)
"""


def run(code):
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_without_matplotlib_the_pip_line_is_named():
    lines = run(WITHOUT_MATPLOTLIB).splitlines()
    refused = [line for line in lines if line.startswith("refused:")]
    assert len(refused) == 2
    assert all('pip install "kerasbnn[plots]"' in line for line in refused)


def test_global_state_of_matplotlib_is_left_alone():
    assert run(WITHOUT_STATE).splitlines()[-1] == "False"

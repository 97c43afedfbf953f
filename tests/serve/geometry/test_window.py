"""`Window` against the probe on the same samples."""

import numpy as np
import pytest

from kerasbnn.probing import Observation
from kerasbnn.probing.figures import figures_of
from kerasbnn.serve.geometry.window import BLOCKS, Window
from tests.probing.digits import held_out, packaged


def filled(size, x, step):
    probe, reference = packaged()
    window = Window(probe.description, reference, size)
    for start in range(0, len(x), step):
        part = Observation.measure(probe, reference, x[start : start + step])
        window.add(part)
    return window


def assert_same(figures, x):
    expected = figures_of(packaged()[0].measure(x))
    for name, values in expected.items():
        for figure, value in values.items():
            found = figures[name][figure]
            assert found == (value and pytest.approx(value, rel=1e-4, abs=1e-6))


@pytest.mark.parametrize("step", [1, 7, 16, 40])
def test_figures_are_those_of_the_latest_samples(step):
    x = np.concatenate([-held_out()[:100], held_out()[:150]])
    observed = filled(64, x, step).observed()
    # By a block of four, or what was added at once, it may have more.
    assert 64 <= observed.samples <= 64 + max(64 // BLOCKS, step) + step
    assert_same(figures_of(observed.statistics), x[-observed.samples :])
    (distances,) = observed.distances.values()
    (covariance,) = packaged()[1].inputs.values()
    expected = covariance.distances(x[-observed.samples :])
    np.testing.assert_allclose(distances, expected, rtol=1e-6)


@pytest.mark.parametrize("size", [192, 1024])
@pytest.mark.parametrize("step", [1, 5, 64])
def test_never_more_samples_than_the_window(size, step):
    probe, reference = packaged()
    window = Window(probe.description, reference, size)
    part = Observation.measure(probe, reference, held_out()[:step])
    block = -(-max(size // BLOCKS, step) // step) * step
    for count in range(step, 2 * size, step):
        window.add(part)
        samples = window.observed().samples
        assert min(count, size - block + 1) <= samples <= size


@pytest.mark.parametrize("steps", [[40], [64, 1], [63, 64], [1, 30], [200]])
def test_a_window_keeps_what_warnings_need(steps):
    probe, reference = packaged()
    window = Window(probe.description, reference, 64)
    added = 0
    for step in steps * 12:
        window.add(Observation.measure(probe, reference, held_out()[:step]))
        added += step
        assert window.observed().samples >= min(added, 64)


def test_fewer_samples_than_the_window():
    observed = filled(1024, held_out()[:50], 7).observed()
    assert observed.samples == 50
    assert_same(figures_of(observed.statistics), held_out()[:50])


def test_all_samples_since_the_start():
    x = np.concatenate([-held_out()[:100], held_out()[:100]])
    found = filled(64, x, 4).since_start()
    assert found["samples"] == 200
    assert_same({part["name"]: part["live"] for part in found["layers"]}, x)
    (covariance,) = packaged()[1].inputs.values()
    (outside,) = (part["live"]["outside"] for part in found["inputs"])
    assert outside == pytest.approx(covariance.is_outside(x).mean())


def test_nothing_yet():
    probe, reference = packaged()
    window = Window(probe.description, reference, 64)
    assert window.observed().samples == 0
    assert window.since_start()["inputs"][0]["live"]["outside"] is None

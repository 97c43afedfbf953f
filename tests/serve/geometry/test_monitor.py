"""`GeometryMonitor` on digits: what it says of those that it was offered."""

import json
import threading
import time

import numpy as np
import pytest

from kerasbnn.probing import Drift, Observation, Probe, Reference
from kerasbnn.runtime import ModelError
from kerasbnn.serve import Settings
from kerasbnn.serve.geometry import GeometryMonitor
from kerasbnn.serve.models.repository import ModelFiles
from tests.probing.digits import DRIFTS, FOLDER, held_out, packaged

from .conftest import FILES, GEOMETRY


def offer(monitor, x):
    """Offer digits one by one, and wait until they are measured."""
    (name,) = packaged()[1].inputs
    before = monitor.live()
    for image in x:
        monitor.offer({name: image[np.newaxis]})
    deadline = time.monotonic() + 60
    while _done(monitor.live()) < _done(before) + len(x):
        assert time.monotonic() < deadline, monitor.live()
        time.sleep(0.05)
    # What is asked for too often is answered from memory.
    time.sleep(1.1)
    return monitor.live()


def _done(live):
    return live["measured"] + live["failed"]


def test_live_figures_are_those_of_the_probe_on_the_same_digits(started):
    x = held_out()[:150]
    live = offer(started(), x)
    expected = Drift.of(Observation.measure(*packaged(), x)).to_dict()
    assert (live["samples"], live["status"]) == (150, "holds")
    for found, layer in zip(live["layers"], expected["layers"], strict=True):
        assert found["name"] == layer["name"]
        for figure, value in layer["live"].items():
            close = value and pytest.approx(value, rel=1e-4, abs=1e-5)
            assert found["live"][figure] == close
        assert found["reference"] == layer["reference"]
    (found,), (given,) = live["inputs"], expected["inputs"]
    assert found["live"]["outside"] == pytest.approx(given["live"]["outside"])
    assert (live["seen"], live["dropped"], live["failed"]) == (150, 0, 0)
    assert 0 < live["cpu_seconds"] < live["elapsed_seconds"]
    # Without the block that is not full.
    assert 64 <= live["since_start"]["samples"] <= 150
    json.dumps(live, allow_nan=False)


def test_clean_digits_then_each_drift_then_clean_ones_again(started):
    monitor = started(geometry_window=64)
    assert offer(monitor, held_out()[:100])["status"] == "holds"
    assert monitor.warnings() == {}
    for change, expected in DRIFTS.values():
        live = offer(monitor, change(held_out()[:160]))
        kinds = {layer["name"]: layer["kinds"] for layer in live["layers"]}
        for layer, wanted in expected.items():
            assert set(kinds[layer]).issuperset(wanted)
        assert set(monitor.warnings()).issuperset(expected)
        assert live["status"] == "drifted"
        assert set(live["drifted"]).issuperset(expected)
    live = offer(monitor, held_out()[100:260])
    assert monitor.warnings() == {}
    assert (live["status"], live["drifted"]) == ("holds", [])


def test_nothing_yet(started):
    monitor = started()
    live = monitor.live()
    assert (live["status"], live["samples"]) == ("collecting", 0)
    assert live["drifted"] == []
    assert monitor.warnings() == {}
    json.dumps(live, allow_nan=False)


def test_without_a_budget_only_given_inputs_are_measured(started):
    monitor = started(geometry_budget=0)
    (name,) = packaged()[1].inputs
    for _ in range(10):
        monitor.offer({name: held_out()[:1]})
    live = monitor.live()
    assert (live["sampling"], live["seen"], live["measured"]) == (False, 10, 0)
    assert (live["status"], live["drifted"]) == ("off", [])
    assert monitor.measure({name: held_out()[:5]})["samples"] == 5


def test_given_inputs(started):
    monitor = started()
    (name,) = packaged()[1].inputs
    x = -held_out()[:200]
    expected = Drift.of(Observation.measure(*packaged(), x)).to_dict()
    found = monitor.measure({name: x})
    assert [layer["kinds"] for layer in found["layers"]] == [
        layer["kinds"] for layer in expected["layers"]
    ]
    assert monitor.live()["samples"] == 0
    with pytest.raises(TimeoutError, match="0 of 200 rows"):
        monitor.measure({name: x}, seconds=0)


def test_rows_that_are_not_finite_are_left_out(started):
    (name,) = packaged()[1].inputs
    x = held_out()[:64].copy()
    x[::4, 0, 0] = np.nan
    x[1, 0, 0] = np.inf
    monitor = started()
    live = offer(monitor, x)
    assert (live["samples"], live["measured"], live["failed"]) == (47, 47, 17)
    assert live["error"] is None
    with pytest.raises(ValueError, match="NaN or infinite"):
        monitor.measure({name: x})


def test_inputs_that_overflow_harm_nothing(started):
    monitor = started()
    (name,) = packaged()[1].inputs
    monitor.offer({name: np.full((1, 8, 8, 1), 3e38, np.float32)})
    deadline = time.monotonic() + 30
    while not monitor.live()["failed"] and not monitor.live()["measured"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = monitor.live()["measured"]
    live = offer(monitor, held_out()[:80])
    assert live["measured"] == before + 80
    json.dumps(live, allow_nan=False)


def test_an_input_of_another_name(started):
    monitor = started()
    monitor.offer({"of the file": held_out()[:1]})
    (name,) = packaged()[1].inputs
    assert offer(monitor, held_out()[:3])["measured"] == 4
    assert name != "of the file"


def test_many_ask_while_it_measures(started):
    monitor = started()
    (name,) = packaged()[1].inputs
    failed = []

    def ask():
        try:
            for start in range(0, 200, 4):
                monitor.offer({name: held_out()[start : start + 4]})
                json.dumps(monitor.live(), allow_nan=False)
                monitor.warnings()
                if not start % 40:
                    monitor.measure({name: held_out()[:2]})
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert monitor.live()["seen"] == 800


def test_models_without_a_probe_or_a_reference():
    settings = Settings()
    bare = ModelFiles("digits", "1", FOLDER / "model.tflite")
    assert GeometryMonitor.for_model(bare, GEOMETRY, settings) is None
    assert GeometryMonitor.for_model(FILES, None, settings) is None
    audit_only = {key: value for key, value in GEOMETRY.items() if key != "reference"}
    assert GeometryMonitor.for_model(FILES, audit_only, settings) is None


def test_damaged_files():
    damaged = {**GEOMETRY, "reference": {}}
    with pytest.raises(ValueError, match="dict of a Reference"):
        GeometryMonitor.for_model(FILES, damaged, Settings())
    other = {**GEOMETRY, "reference": {**GEOMETRY["reference"], "weights": "0" * 16}}
    with pytest.raises(ValueError, match="other weights"):
        GeometryMonitor.for_model(FILES, other, Settings())
    no_probe = ModelFiles("digits", "1", FILES.model, FILES.model)
    with pytest.raises(ModelError, match="not a probe"):
        GeometryMonitor.for_model(no_probe, GEOMETRY, Settings())


def test_closing_frees_the_probe():
    probe = Probe(FILES.probe)
    reference = Reference.from_dict(GEOMETRY["reference"])
    monitor = GeometryMonitor(probe, reference, budget=1.0, queue=8, window=64)
    monitor.start()
    monitor.close()
    with pytest.raises(RuntimeError, match="closed"):
        probe.measure(held_out()[:1])

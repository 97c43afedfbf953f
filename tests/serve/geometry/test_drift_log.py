"""What the log says of drift: each change once, and never many lines."""

import logging
import time

import numpy as np
import pytest

from kerasbnn.probing import Drift, Observation
from kerasbnn.serve.geometry.drift_log import QUIET_SECONDS, DriftLog
from tests.probing.digits import held_out, packaged

LOGGER = "kerasbnn.serve.geometry"


@pytest.fixture
def lines(caplog):
    """Return a function that gives the lines since its last call."""
    caplog.set_level(logging.INFO, LOGGER)

    def new():
        found = [
            (record.levelname, record.getMessage())
            for record in caplog.records
            if record.name == LOGGER
        ]
        caplog.clear()
        return found

    return new


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def drift(**layers):
    """Make what the log looks at: the kinds of warnings by layer."""
    parts = [
        {
            "name": name,
            "kinds": kinds,
            "warnings": [f"The {kind} is off" for kind in kinds],
        }
        for name, kinds in layers.items()
    ]
    return {"samples": 100, "layers": parts, "inputs": []}


def test_each_change_is_told_once(lines):
    clock = Clock()
    log = DriftLog("net", clock)
    for _ in range(5):
        log.note(drift(a=[], b=[]))
    assert lines() == []
    for _ in range(500):
        clock.now += 1
        log.note(drift(a=["signs", "covariance"], b=[]))
    ((level, text),) = lines()
    assert level == "WARNING"
    assert text == (
        "Model 'net': layer 'a' drifts by the last 100 live samples (signs, "
        "covariance). The signs is off. The covariance is off."
    )
    for _ in range(500):
        clock.now += 1
        log.note(drift(a=[], b=[]))
    assert lines() == [
        (
            "INFO",
            "Model 'net': layer 'a' no longer drifts by the last 100 live samples.",
        )
    ]


def test_a_layer_that_comes_and_goes_has_a_line_a_minute(lines):
    clock = Clock()
    log = DriftLog("net", clock)
    minutes = 10
    changes = 0
    for second in range(minutes * 60):
        clock.now = second
        log.note(drift(a=["signs"] if second % 2 == 0 else [], b=[]))
        changes += 1
    found = lines()
    assert len(found) == minutes
    assert "changes since" not in found[0][1]
    assert all("; 60 changes since the last line" in text for _, text in found[1:])
    # The last minute is told as well, when it is over, and then nothing more.
    for second in range(minutes * 60, minutes * 60 + 200):
        clock.now = second
        log.note(drift(a=[], b=[]))
    ((level, text),) = lines()
    assert (level, "59 changes" in text) == ("INFO", True)


def test_an_end_within_the_minute_is_told_after_it(lines):
    clock = Clock()
    log = DriftLog("net", clock)
    log.note(drift(a=["signs"]))
    clock.now = 5.0
    log.note(drift(a=[]))
    clock.now = QUIET_SECONDS - 0.1
    log.note(drift(a=[]))
    assert [level for level, _ in lines()] == ["WARNING"]
    clock.now = QUIET_SECONDS
    log.note(drift(a=[]))
    assert [level for level, _ in lines()] == ["INFO"]


def test_layers_have_lines_of_their_own(lines):
    log = DriftLog("net", Clock())
    log.note(drift(a=["signs"], b=["signs"]))
    assert ["'a'" in text for _, text in lines()] == [True, False]


def test_an_input_is_told_where_no_layer_tells_it(lines):
    words = {"kinds": ["covariance"], "warnings": ["5 % 100 %d lie outside"]}
    told = {"samples": 64, "layers": [{"name": "x", **words}]}
    log = DriftLog("net", Clock())
    log.note({**told, "inputs": [{"name": "x", **words}]})
    ((_, text),) = lines()
    assert "layer 'x'" in text
    assert text.endswith("(covariance). 5 % 100 %d lie outside.")
    log = DriftLog("net", Clock())
    log.note({"samples": 64, "layers": [], "inputs": [{"name": "x", **words}]})
    ((_, text),) = lines()
    assert "input 'x'" in text


def test_words_are_those_of_the_comparison(lines):
    found = Drift.of(Observation.measure(*packaged(), -held_out()[:100]))
    DriftLog("digits", Clock()).note(found.to_dict())
    logged = [text for _, text in lines()]
    assert len(logged) == len(found.warnings)
    for (name, warnings), text in zip(found.warnings.items(), logged, strict=True):
        assert f"'{name}'" in text
        assert all(words in text for words in warnings)


def offer(monitor, x):
    (name,) = packaged()[1].inputs
    for image in x:
        monitor.offer({name: image[np.newaxis]})


def last_levels(lines, seconds=4):
    """Return the level of the last line of each layer that has one."""
    time.sleep(seconds)
    return {text.split("'")[3]: level for level, text in lines()}


def test_the_thread_tells_without_being_asked(started, lines, monkeypatch):
    monkeypatch.setattr("kerasbnn.serve.geometry.drift_log.QUIET_SECONDS", 0.0)
    monitor = started(geometry_window=64)
    offer(monitor, held_out()[:100])
    assert last_levels(lines) == {}
    offer(monitor, -held_out()[:200])
    told = last_levels(lines)
    drifting = set(monitor.warnings())
    assert drifting >= {"conv_1", "conv_2", "logits"}
    assert {name for name, level in told.items() if level == "WARNING"} == drifting
    offer(monitor, held_out()[100:300])
    told = last_levels(lines)
    assert monitor.warnings() == {}
    assert told == dict.fromkeys(told, "INFO")
    assert set(told) >= drifting


def test_few_samples_are_not_told(started, lines):
    monitor = started()
    offer(monitor, -held_out()[:63])
    deadline = time.monotonic() + 60
    while monitor.live()["measured"] < 63:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(2.5)
    assert lines() == []


def test_what_fails_while_it_compares_ends_nothing(started, caplog, monkeypatch):
    monitor = started()

    def fail(drift):
        raise RuntimeError("no disk")

    monkeypatch.setattr(monitor._log, "note", fail)
    offer(monitor, held_out()[:4])
    deadline = time.monotonic() + 60
    while not monitor.live()["error"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    offer(monitor, held_out()[:10])
    while monitor.live()["measured"] < 14:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(2.5)
    assert monitor.live()["failed"] == 0
    assert len([r for r in caplog.records if "no disk" in r.getMessage()]) == 1


@pytest.mark.parametrize("budget", [0.02, 1.0])
def test_the_log_compares_seldom_and_within_the_budget(started, monkeypatch, budget):
    monitor = started(geometry_budget=budget)
    noted = []
    monkeypatch.setattr(monitor._log, "note", noted.append)
    before = time.monotonic()
    while time.monotonic() < before + 6:
        offer(monitor, held_out()[:4])
        time.sleep(0.02)
    assert 1 <= len(noted) <= 7
    live = monitor.live()
    assert live["cpu_seconds"] <= budget * (live["elapsed_seconds"] + 2) + 0.3

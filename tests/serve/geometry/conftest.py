"""Monitors of the packaged digits."""

import json

import pytest

from kerasbnn.serve import Settings
from kerasbnn.serve.geometry import GeometryMonitor
from kerasbnn.serve.models.repository import ModelFiles
from tests.probing.digits import FOLDER

GEOMETRY = json.loads((FOLDER / "geometry.json").read_text())
FILES = ModelFiles(
    "digits", "1", FOLDER / "model.tflite", FOLDER / "model.probe.tflite"
)


@pytest.fixture
def started():
    """Make monitors that are closed at the end."""
    monitors = []

    def start(**settings):
        settings = {"geometry_budget": 1.0, "geometry_queue": 4096} | settings
        monitor = GeometryMonitor.for_model(FILES, GEOMETRY, Settings(**settings))
        monitors.append(monitor)
        monitor.start()
        return monitor

    yield start
    for monitor in monitors:
        monitor.close()

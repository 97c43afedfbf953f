"""The model that comes with the package: as small and as good as it is said to be."""

import json

import numpy as np
import pytest

from kerasbnn.datasets import load_digits
from kerasbnn.geometry import GeometryReport
from kerasbnn.probing import Probe, Reference
from kerasbnn.runtime import Interpreter
from kerasbnn.serve.models.repository import find_models, packaged_models
from tests.serve.make_digits_model import LEAST_ACCURACY, MOST_BYTES, SEED


@pytest.fixture(scope="module")
def files():
    (found,) = find_models(packaged_models())
    return found


@pytest.fixture(scope="module")
def digits():
    return load_digits(SEED)


def test_it_is_small(files):
    sizes = [path.stat().st_size for path in packaged_models().rglob("*.*")]
    assert len(sizes) == 4
    assert sum(sizes) <= MOST_BYTES


def test_it_says_what_it_is(files):
    with Interpreter(files.model, delegate=False) as file:
        metadata = file.metadata
    assert (metadata["name"], metadata["version"]) == ("digits", "1")
    assert metadata["labels"] == list("0123456789")
    assert files.labels.read_text("utf-8").split() == metadata["labels"]


def test_it_reads_held_out_digits_as_images_of_bytes(files, digits):
    # The 17 shades of a digit, as those of a PNG.
    shades = np.round((digits.x_test + 1) * 8)
    pixels = np.round(shades * 255 / 16).astype(np.uint8)
    with Interpreter(files.model, delegate=False) as file:
        scaling = file.metadata["normalization"]
        x = (pixels.astype(np.float32) - scaling["mean"]) / scaling["std"]
        classes = file.predict(x).argmax(axis=1)
    assert np.mean(classes == digits.y_test) >= LEAST_ACCURACY


def test_its_geometry_is_that_of_the_training_digits(files, digits):
    report = GeometryReport.from_json(files.geometry)
    reference = Reference.from_dict(
        json.loads(files.geometry.read_text("utf-8"))["reference"]
    )
    assert report.samples == reference.samples == len(digits.x_train)
    with Probe(files.probe) as probe:
        reference.check(probe.description)
        measured = probe.measure(digits.x_train).report()
    assert report.model == measured.model == "digits"
    assert [layer.name for layer in report] == [layer.name for layer in measured]
    for found, expected in zip(report, measured, strict=True):
        value = pytest.approx(expected.products.pooled, abs=1e-4)
        assert found.products.pooled == value, found.name

"""Networks trained on MNIST: held-out images do not warn, changed ones do.

MNIST is read from the file that the environment variable KERASBNN_MNIST names, in the
layout of `keras.datasets.mnist`:

    KERASBNN_MNIST=mnist.npz pytest -m slow tests/serve/geometry/test_mnist.py
"""

import json
import os
import time

import httpx
import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn import datasets
from kerasbnn.probing import Drift, Observation, Probe, Reference
from tests.helpers.trained_networks import NETWORKS, train
from tests.probing.digits import moved, noisy

MNIST = "KERASBNN_MNIST"

# The first test of a network trains it.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
    ),
]

CHANGES = {
    "moved by 3": lambda x: moved(x, 3),
    "moved by 4, 4": lambda x: moved(x, 4, 4),
    "noise of 0.25": lambda x: noisy(x, 0.25),
    "noise of 0.5": lambda x: noisy(x, 0.5),
    "inverted": lambda x: -x,
}


@pytest.fixture(scope="module", params=NETWORKS)
def exported(request, tmp_path_factory):
    """Return a folder with a trained model, and held-out images."""
    path = os.environ.get(MNIST)
    if not path:
        pytest.skip(f"{MNIST} names no file with MNIST")
    images = datasets.load_npz(path)
    model = train(request.param, images, epochs=1, batch_size=100)
    folder = tmp_path_factory.mktemp(request.param)
    chosen = np.random.default_rng(0).permutation(len(images.x_train))[:2000]
    kerasbnn.export(model, folder / "mnist" / "1", images.x_train[chosen], verbose=0)
    return folder, images.x_test


@pytest.fixture(scope="module")
def measured(exported):
    """Return the probe, the reference, and held-out images."""
    folder, x = exported
    folder = folder / "mnist" / "1"
    geometry = json.loads((folder / "geometry.json").read_text())
    reference = Reference.from_dict(geometry["reference"])
    return Probe(folder / "model.probe.tflite"), reference, x


@pytest.mark.parametrize("samples", [64, 256])
def test_held_out_images_do_not_warn(measured, samples):
    probe, reference, x = measured
    rng = np.random.default_rng(samples)
    for _ in range(10):
        chosen = rng.choice(len(x), samples, replace=False)
        assert not Drift.of(Observation.measure(probe, reference, x[chosen])).warnings


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("samples", [64, 256])
def test_changed_images_warn(measured, name, samples):
    probe, reference, x = measured
    changed = CHANGES[name](x[:samples])
    drift = Drift.of(Observation.measure(probe, reference, changed))
    assert "covariance" in drift.layers[0].kinds


@pytest.mark.parametrize("name", ["clean", *CHANGES])
def test_live_images(exported, serve_folder, name):
    folder, x = exported
    x = x[:500] if name == "clean" else CHANGES[name](x[:500])
    with (
        serve_folder(model_dir=folder, geometry_budget=0.5) as address,
        httpx.Client(base_url=address, timeout=60) as client,
    ):
        (tensor,) = client.get("/v2/models/mnist").json()["inputs"]
        deadline, number, live = time.monotonic() + 120, 0, {"samples": 0}
        while live["samples"] < 128:
            assert time.monotonic() < deadline, live
            for _ in range(20):
                row = x[number % len(x)][np.newaxis]
                entry = {
                    **tensor,
                    "shape": list(row.shape),
                    "data": row.ravel().tolist(),
                }
                answer = client.post("/v2/models/mnist/infer", json={"inputs": [entry]})
                assert answer.status_code == 200
                number += 1
            live = client.get("/v2/models/mnist/geometry/live").json()
    warnings = [text for layer in live["layers"] for text in layer["warnings"]]
    if name == "clean":
        assert warnings == []
    else:
        assert "covariance" in live["layers"][0]["kinds"]

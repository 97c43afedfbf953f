"""Trained networks predict the same class of every held-out image as Keras does.

MNIST is read from the file that the environment variable KERASBNN_MNIST names, in the
layout of `keras.datasets.mnist`:

    KERASBNN_MNIST=mnist.npz pytest -m slow tests/tflite/test_trained_networks.py
"""

import os

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn import datasets
from kerasbnn.runtime import delegate, status
from tests.helpers.delegates import needs_delegate
from tests.helpers.processes import run_python
from tests.helpers.trained_networks import NETWORKS, train

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)

MNIST = "KERASBNN_MNIST"

PREDICT = """
import sys
import numpy as np
from kerasbnn.runtime import Interpreter, status

folder, batch_size, with_delegate = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "1"
with Interpreter(f"{folder}/model.tflite", delegate=with_delegate) as model:
    y = model.predict(np.load(f"{folder}/x.npy"), batch_size=batch_size)
    assert model.delegated == (model.composites if with_delegate else ())
np.save(f"{folder}/y.npy", y)
assert not {"keras", "tensorflow"} & set(sys.modules)
print(status().implementation)
"""


def converted(kind, images, folder, **training):
    """Train, convert and predict; return what Keras says and the folder."""
    model = train(kind, images, **training)
    report = kerasbnn.convert(
        model, folder / "model.tflite", sample_inputs=images.x_test[:32]
    )
    assert all(layer.packed for layer in report.layers)
    np.save(folder / "x.npy", images.x_test)
    parts = np.split(images.x_test, range(500, len(images.x_test), 500))
    logits = np.concatenate([model(part, training=False) for part in parts])
    accuracy = float((logits.argmax(axis=1) == images.y_test).mean())
    return logits, accuracy, folder


@pytest.fixture(scope="module", params=NETWORKS)
def on_digits(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    images = datasets.load_digits()
    logits, accuracy, folder = converted(request.param, images, folder, epochs=10)
    assert accuracy > 0.85
    return logits, folder


@pytest.fixture(scope="module", params=NETWORKS)
def on_mnist(request, tmp_path_factory):
    path = os.environ.get(MNIST)
    if not path:
        pytest.skip(f"{MNIST} names no file with MNIST")
    folder = tmp_path_factory.mktemp(request.param)
    images = datasets.load_npz(path)
    assert len(images.x_test) == 10_000
    training = {"epochs": 2, "batch_size": 100}
    logits, accuracy, folder = converted(request.param, images, folder, **training)
    assert accuracy > 0.93
    return logits, folder


def check(trained, batch_size, implementation):
    """Predict in a process of its own, with an implementation or none."""
    logits, folder = trained
    forced = {delegate.FORCE: implementation} if implementation else {}
    arguments = (folder, batch_size, int(implementation is not None))
    printed = run_python("-c", PREDICT, *arguments, folder=folder, **forced)
    if implementation:
        assert printed.split() == [implementation]
    found = np.load(folder / "y.npy")
    differing = int((found.argmax(axis=1) != logits.argmax(axis=1)).sum())
    assert differing == 0, f"{differing} of {len(logits)} classes differ"
    # And not only the classes: a sign that fell the other way would move them by more.
    same = np.isclose(found, logits, rtol=1e-5, atol=1e-5).all(axis=1)
    assert same.mean() >= 0.999


@pytest.mark.parametrize("batch_size", [1, 64])
def test_digits_without_the_delegate(on_digits, batch_size):
    check(on_digits, batch_size, None)


@needs_delegate
@pytest.mark.parametrize("batch_size", [1, 64])
def test_digits_with_each_implementation(on_digits, batch_size):
    for implementation in status().available:
        check(on_digits, batch_size, implementation)


# The first of them trains.
@pytest.mark.timeout(1800)
@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 64])
def test_mnist_without_the_delegate(on_mnist, batch_size):
    check(on_mnist, batch_size, None)


# The first of them trains.
@pytest.mark.timeout(1800)
@pytest.mark.slow
@needs_delegate
@pytest.mark.parametrize("batch_size", [1, 64])
def test_mnist_with_each_implementation(on_mnist, batch_size):
    for implementation in status().available:
        check(on_mnist, batch_size, implementation)

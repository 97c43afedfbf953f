"""A network with a stem and a head of 8 bits: train, save, load, convert, predict.

On scikit-learn's digits always; on MNIST, in the layout of `keras.datasets.mnist`, by

    KERASBNN_MNIST=mnist.npz pytest -m slow tests/tfmot/test_mnist_chain.py
"""

import os

import keras
import numpy as np
import pytest

from kerasbnn import Interpreter, datasets
from tests.helpers.delegates import needs_delegate
from tests.helpers.eight_bit_networks import accuracy, shipped, train
from tests.helpers.processes import run_python

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)

MNIST = "KERASBNN_MNIST"
GOAL_POINTS = 0.2

# In another process, without TFMOT, what was saved is loaded, converted and run.
ANOTHER_PROCESS = """
import sys
import numpy as np
import keras
import kerasbnn

x = np.load("x.npy")
model = keras.saving.load_model("model.keras")
assert "tensorflow_model_optimization" not in sys.modules
np.save("keras.npy", model.predict(x, verbose=0))
report = kerasbnn.convert(model, "model.tflite", sample_inputs=x[:50])
assert report["stem"].weight_bits == report["head"].weight_bits == 8
with kerasbnn.Interpreter("model.tflite") as interpreter:
    np.save("file.npy", interpreter.predict(x))
"""


@needs_delegate
def test_digits_in_another_process(tmp_path):
    images = datasets.load_digits()
    model = train(
        images, has_eight_bits=True, epochs=8, batch_size=32, filters=(8, 32, 32)
    )
    expected = model.predict(images.x_test, verbose=0)
    assert accuracy(expected, images) > 0.9
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", images.x_test)
    run_python("-c", ANOTHER_PROCESS, folder=tmp_path)
    loaded = np.load(tmp_path / "keras.npy")
    np.testing.assert_allclose(loaded, expected, rtol=1e-5, atol=1e-5)
    found = np.load(tmp_path / "file.npy")
    assert (found.argmax(axis=1) == expected.argmax(axis=1)).all()
    close = np.isclose(found, expected, rtol=1e-4, atol=1e-4).all(axis=1)
    assert close.mean() > 0.99
    with Interpreter(tmp_path / "model.tflite", delegate=False) as interpreter:
        stock = interpreter.predict(images.x_test)
    assert (stock.argmax(axis=1) == expected.argmax(axis=1)).all()


# Two networks are trained.
@pytest.mark.timeout(3600)
@pytest.mark.slow
def test_mnist(tmp_path):
    path = os.environ.get(MNIST)
    if not path:
        pytest.skip(f"{MNIST} names no file with MNIST")
    images = datasets.load_npz(path)
    assert len(images.x_test) == 10_000
    found, sizes = {}, {}
    for has_eight_bits in (False, True):
        folder = tmp_path / str(has_eight_bits)
        folder.mkdir()
        model = train(images, has_eight_bits=has_eight_bits, epochs=2)
        logits, outputs, report = shipped(model, images, folder)
        assert (logits.argmax(axis=1) == outputs.argmax(axis=1)).mean() >= 0.9999
        found[has_eight_bits] = 100 * accuracy(outputs, images)
        sizes[has_eight_bits] = report.bytes
    assert found[False] > 97
    # Of one seed and few epochs; the benchmark eight_bit_stem_and_head has the means.
    assert found[True] > found[False] - 2 * GOAL_POINTS
    assert sizes[True] < 0.8 * sizes[False]

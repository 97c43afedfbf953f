"""Random models against Keras: the same signs everywhere, outputs within rounding."""

import keras
import numpy as np
import pytest

import kerasbnn
from tests.helpers.converting import keras_outputs, outputs_of, samples_for
from tests.helpers.random_models import RandomModel

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)


def check(seed, folder):
    drawn = RandomModel(np.random.default_rng(seed))
    path, x = folder / "model.tflite", samples_for(drawn.model, 5)
    decomposition = ("int8", "float")[seed % 2]
    report = kerasbnn.convert(
        drawn.model, path, sample_inputs=x, decomposition=decomposition
    )
    for layer in report.layers:
        assert layer.packed == layer.type.startswith("Quant")
    verification = report.verification
    if drawn.is_exact:
        assert verification.near_ties == 0
    if not verification.near_ties:
        found, expected = outputs_of(path, x), keras_outputs(drawn.model, x)
        bound = 1e-5 if drawn.is_exact else 1e-4
        largest = max(1.0, float(np.abs(expected).max()))
        assert np.abs(found - expected).max() <= bound * largest


# 2036 has products at a tie within rounding before a layer of nothing but signs.
@pytest.mark.parametrize("seed", [*range(12), 2036])
def test_random_models(seed, tmp_path):
    check(seed, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 1150))
def test_many_random_models(seed, tmp_path):
    check(seed, tmp_path)

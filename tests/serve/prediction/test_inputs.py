"""Models that take images, and those that do not, converted from Keras."""

import warnings

import numpy as np
import pytest

from kerasbnn.serve import Settings
from kerasbnn.serve.errors import ServiceError
from kerasbnn.serve.models.repository import ModelFiles
from kerasbnn.serve.models.served_model import ServedModel
from kerasbnn.serve.prediction.inputs import ImageInput
from kerasbnn.serve.prediction.ranking import check_classifies

SETTINGS = Settings(batching="off", geometry_budget=0)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Return a function that converts a model of Keras and loads the file."""
    import keras

    import kerasbnn

    def convert(shape, *, outputs=((3,),), inputs=1, **options):
        x = [keras.Input(shape) for _ in range(inputs)]
        flat = keras.layers.Concatenate()(
            [keras.layers.Flatten()(one) for one in x * (2 if inputs == 1 else 1)]
        )
        y = []
        for size in outputs:
            dense = keras.layers.Dense(int(np.prod(size)))(flat)
            y.append(dense if len(size) == 1 else keras.layers.Reshape(size)(dense))
        model = keras.Model(x if inputs > 1 else x[0], y if len(y) > 1 else y[0])
        path = tmp_path_factory.mktemp("models") / "model.tflite"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            kerasbnn.convert(model, path, verify_samples=False, **options)
        return ServedModel(ModelFiles("net", "1", path), SETTINGS)

    return convert


def test_color_images_with_a_number_for_each_channel(served):
    mean, std = [10.0, 20.0, 30.0], [1.0, 2.0, 4.0]
    model = served((5, 7, 3), normalization={"mean": mean, "std": std})
    taken = ImageInput.of(model)
    assert (taken.height, taken.width, taken.channels) == (5, 7, 3)
    pixels = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    expected = (pixels[np.newaxis] - np.float64(mean)) / np.float64(std)
    found = taken.array(pixels)
    assert found.shape == (1, 5, 7, 3)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, expected.astype(np.float32))


def test_gray_images_without_an_axis_for_channels_and_without_normalization(served):
    taken = ImageInput.of(served((6, 4)))
    assert (taken.height, taken.width, taken.channels) == (6, 4, 1)
    pixels = RNG.integers(0, 256, (6, 4, 1), dtype=np.uint8)
    np.testing.assert_array_equal(taken.array(pixels)[0], pixels[..., 0])


@pytest.mark.parametrize("shape", [(12,), (4, 4, 2), (2, 4, 4, 3)])
def test_inputs_that_are_no_images(served, shape):
    with pytest.raises(ServiceError, match="does not take an image: its input has the"):
        ImageInput.of(served(shape))


def test_several_inputs_and_outputs(served):
    model = served((4, 4, 1), inputs=2, outputs=((3,), (2,)))
    with pytest.raises(ServiceError, match="it has the inputs"):
        ImageInput.of(model)
    with pytest.raises(ServiceError, match="does not classify"):
        check_classifies(model)


def test_outputs_that_are_no_scores(served):
    with pytest.raises(ServiceError, match="does not classify: it gives"):
        check_classifies(served((4, 4, 1), outputs=((2, 2),)))


def test_normalization_of_another_file(served):
    model = served((4, 4, 1))
    for wrong in ({"mean": 1.0}, {"mean": [1.0, 2.0], "std": 1.0}, {"mean": "a"}):
        model.normalization = wrong
        with pytest.raises(ServiceError, match="has the normalization"):
            ImageInput.of(model)

"""Models that Larq Compute Engine would get wrong are refused."""

import keras
import pytest
from keras import layers, ops

import kerasbnn
from kerasbnn.tflite import ConversionError
from tests.helpers.converting import SIGNS

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow writes SavedModels"
)


def looping(step):
    def run(x):
        return ops.fori_loop(0, 3, lambda _, y: step(y), x)

    return keras.Sequential(
        [keras.Input((8,)), layers.Lambda(run), kerasbnn.QuantDense(4, **SIGNS)]
    )


def refuse(model, folder, message):
    with pytest.raises(ConversionError, match=message):
        kerasbnn.convert(model, folder / "model", format="larq")
    assert not list(folder.iterdir())


def test_signs_in_a_loop(tmp_path):
    refuse(looping(lambda x: ops.sign(x) + 0.5), tmp_path, "A loop or a condition")
    choice = looping(lambda x: ops.where(x >= 0.5, 1.0, -1.0))
    refuse(choice, tmp_path, "A loop or a condition")


def test_other_loops_are_exported(tmp_path):
    model = looping(lambda x: ops.where(x >= 0.5, x, 2 * x) + 0.25)
    report = kerasbnn.convert(model, tmp_path / "model", format="larq")
    assert report.verification.largest_difference == 0


def test_tables(tmp_path):
    inputs = keras.Input((8,), dtype="int32")
    x = layers.IntegerLookup(vocabulary=[3, 4, 5])(inputs)
    model = keras.Model(inputs, layers.Embedding(20, 4)(x))
    refuse(model, tmp_path, "the table of a lookup layer")


class Block(keras.Model):
    """A model that only knows its inputs when it is called."""

    def __init__(self):
        super().__init__()
        self.dense = kerasbnn.QuantDense(8, **SIGNS)
        self.normalization = layers.BatchNormalization()

    def call(self, x):
        return {"out": self.normalization(self.dense(x))}


def models_of_other_kinds():
    inner = keras.Sequential(
        [keras.Input((8,)), kerasbnn.QuantDense(8, **SIGNS)], name="inner"
    )
    inputs = keras.Input((8,))
    yield keras.Model(inputs, inner(inner(inputs))), None
    yield keras.Sequential([keras.Input(batch_shape=(2, 8)), inner]), None
    image = keras.Input((8, 8, 3), dtype="uint8")
    x = layers.Rescaling(1 / 127.5, -1)(image)
    yield keras.Model(image, kerasbnn.QuantConv2D(4, 3, **SIGNS)(x)), None
    words = keras.Input((5,), dtype="int32")
    x = kerasbnn.QuantDense(4, **SIGNS)(layers.Embedding(20, 8)(words))
    yield keras.Model(words, x), None
    yield Block(), (7,)
    yield (
        keras.Sequential(
            [keras.Input((None, None, 3)), kerasbnn.QuantConv2D(8, 3, **SIGNS)]
        ),
        (9, 8, 3),
    )


@pytest.mark.parametrize("number", range(6))
def test_models_of_other_kinds_are_exported(tmp_path, number):
    model, shape = list(models_of_other_kinds())[number]
    report = kerasbnn.convert(
        model, tmp_path / "model", format="larq", input_shape=shape
    )
    assert report.has_packed
    assert report.verification.decisions > 0
    assert report.verification.largest_difference == 0

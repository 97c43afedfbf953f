"""What TensorFlow's converter refuses is said in a line."""

import keras
import pytest
from keras import ops

import kerasbnn
from kerasbnn.tflite import ConversionError
from tests.helpers.converting import SIGNS

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)


class Loop(keras.layers.Layer):
    """A loop whose state has the size of the batch, which the converter must know."""

    def call(self, inputs):
        steps = ops.moveaxis(inputs, 1, 0)
        first = ops.zeros_like(steps[0])
        state, _ = ops.scan(lambda s, x: (s + x, s * x), first, steps)
        return state


def test_what_tensorflow_cannot_convert_is_said_in_a_line(tmp_path, capfd):
    model = keras.Sequential(
        [keras.Input((6, 5)), Loop(), kerasbnn.QuantDense(4, **SIGNS)], name="looping"
    )
    with pytest.raises(ConversionError, match="refuses model 'looping': .*") as raised:
        kerasbnn.convert(model, tmp_path / "model.tflite")
    text = str(raised.value)
    assert "op requires element_shape to be static" in text
    assert "\n" not in text
    assert "legalize" not in capfd.readouterr().err
    assert not list(tmp_path.iterdir())

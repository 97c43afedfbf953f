"""What TensorFlow's converter refuses is said in a line."""

import keras
import pytest
from keras import layers

import kerasbnn
from kerasbnn.tflite import ConversionError
from tests.helpers.converting import SIGNS

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)


def recurrent(**options):
    """A network that begins with a recurrent layer."""
    return keras.Sequential(
        [
            keras.Input((6, 5)),
            layers.LSTM(8, **options),
            kerasbnn.QuantDense(4, **SIGNS),
        ],
        name="recurrent",
    )


def test_what_tensorflow_cannot_convert_is_said_in_a_line(tmp_path, capfd):
    with pytest.raises(ConversionError, match="refuses model 'recurrent'") as raised:
        kerasbnn.convert(recurrent(), tmp_path / "model.tflite")
    text = str(raised.value)
    assert "'tf.TensorListReserve' op requires" in text
    assert "unroll=True" in text
    assert "\n" not in text
    assert "legalize" not in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_advice_of_the_error_holds(tmp_path):
    report = kerasbnn.convert(recurrent(unroll=True), tmp_path / "model.tflite")
    assert report.verification.same_classes == 1.0

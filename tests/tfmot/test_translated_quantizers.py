"""Quantizers of real TFMOT given to our layers."""

import json
from importlib.util import find_spec

import keras
import pytest

from kerasbnn import QuantDense, quantizers
from kerasbnn.quantizers import foreign
from tests.helpers.gradients import BACKEND
from tests.helpers.processes import run_python

# TFMOT sets an environment variable for the process that imports it.
CODE = """
import importlib, json
home = "tensorflow_model_optimization.python.core.quantization.keras"
quantizers, of_8_bits, of_n_bits = (
    importlib.import_module(f"{home}.{name}")
    for name in (
        "quantizers",
        "default_8bit.default_8bit_quantizers",
        "experimental.default_n_bit.default_n_bit_quantizers",
    )
)
import keras
from kerasbnn import QuantDense

class Untouched(quantizers.LastValueQuantizer):
    pass

class Changed(quantizers.LastValueQuantizer):
    def __call__(self, inputs, training, weights, **kwargs):
        return 2 * inputs

class Other(quantizers.Quantizer):
    def build(self, tensor_shape, name, layer):
        return {}
    def __call__(self, inputs, training, weights, **kwargs):
        return inputs
    def get_config(self):
        return {}

arguments = {"num_bits": 6, "per_axis": True, "symmetric": True, "narrow_range": False}
given = {
    "last": quantizers.LastValueQuantizer(**arguments),
    "moving": quantizers.MovingAverageQuantizer(**arguments),
    "all": quantizers.AllValuesQuantizer(**arguments),
    "conv": of_8_bits.Default8BitConvWeightsQuantizer(),
    "class": of_8_bits.Default8BitConvWeightsQuantizer,
    "transposed": of_8_bits.Default8BitConvTransposeWeightsQuantizer(),
    "n bits": of_n_bits.DefaultNBitConvWeightsQuantizer(4, 8),
    "n bits transposed": of_n_bits.DefaultNBitConvTransposeWeightsQuantizer(5, 8),
    "subclass": Untouched(**arguments),
    "none": quantizers.NoQuantizer(),
    "fixed": quantizers.FixedQuantizer(8, -6.0, 6.0, False),
    "changed": Changed(**arguments),
    "other": Other(),
}
found = {}
for name, quantizer in given.items():
    try:
        layer = QuantDense(3, kernel_quantizer=quantizer, input_quantizer=quantizer)
    except TypeError as error:
        found[name] = str(error)
        continue
    mine = layer.kernel_quantizer
    if mine is None:
        found[name] = None
        continue
    assert type(mine).__module__ == "kerasbnn.tfmot.range_quantizers"
    assert type(layer.input_quantizer) is type(mine)
    assert layer.input_quantizer is not mine
    keys = ("num_bits", "per_axis", "symmetric", "narrow_range")
    found[name] = [type(mine).__name__, *(getattr(mine, key) for key in keys)]
    copy = QuantDense.from_config(layer.get_config())
    assert type(copy.kernel_quantizer) is type(mine)
print(json.dumps(found))
"""


@pytest.mark.skipif(
    BACKEND != "tensorflow" or not find_spec("tensorflow_model_optimization"),
    reason="needs TensorFlow and tensorflow-model-optimization",
)
def test_quantizers_of_tfmot(tmp_path):
    printed = run_python("-W", "ignore", "-c", CODE, folder=tmp_path)
    found = json.loads(printed.splitlines()[-1])
    given = [6, True, True, False]
    of_convolutions = ["LastValueQuantizer", 8, True, True, True]
    assert found.pop("last") == found.pop("subclass") == ["LastValueQuantizer", *given]
    assert found.pop("moving") == ["MovingAverageQuantizer", *given]
    assert found.pop("all") == ["AllValuesQuantizer", *given]
    assert found.pop("conv") == found.pop("class") == of_convolutions
    assert found.pop("transposed") == ["LastValueQuantizer", 8, False, True, True]
    assert found.pop("n bits") == ["LastValueQuantizer", 4, True, True, True]
    assert found.pop("n bits transposed") == [
        "LastValueQuantizer",
        *(5, False, True, True),
    ]
    assert found.pop("none") is None
    assert "FixedQuantizer has no counterpart" in found.pop("fixed")
    assert "Derive from kerasbnn.quantizers.Quantizer" in found.pop("changed")
    assert "Derive from kerasbnn.quantizers.Quantizer" in found.pop("other")
    assert not found


def test_other_objects_are_left_alone():
    quantizer = quantizers.SteSign()
    assert foreign.translated(quantizer) is quantizer
    assert QuantDense(2, input_quantizer=keras.ops.tanh).input_quantizer is (
        keras.ops.tanh
    )

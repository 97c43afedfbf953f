"""Quantizers, functions and constraints, value by value as in Larq."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasbnn.larq as lq
from tests.helpers.gradients import array, tensor, value_and_gradient
from tests.larq import real
from tests.larq.cases import ALIASES, FUNCTIONS, QUANTIZERS, STEP_FUNCTIONS


def close(actual, expected, **kwargs):
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-7, **kwargs)


@pytest.mark.parametrize("kind", ["flat", "kernel"])
@pytest.mark.parametrize("name", QUANTIZERS)
def test_values_and_gradients(name, kind):
    cls, kwargs = QUANTIZERS[name]
    found = real.under(f"quantizer/{name}/{kind}")
    quantizer = getattr(lq.quantizers, cls)(**kwargs)
    outputs, gradient = value_and_gradient(
        quantizer, tensor(found["x"]), found["upstream"]
    )
    close(array(outputs), found["y"])
    close(array(gradient), found["gradient"])


@pytest.mark.parametrize("path", FUNCTIONS)
def test_functions_and_their_gradients(path):
    module, name = path.split(".")
    found = real.under(f"function/{path}")
    function = getattr(getattr(lq, module), name)
    outputs, gradient = value_and_gradient(
        lambda x: function(x, **FUNCTIONS[path]),
        tensor(real.arrays()["function/x"]),
        found["upstream"],
    )
    close(array(outputs), found["y"])
    close(array(gradient), found["gradient"])


@pytest.mark.parametrize("path", STEP_FUNCTIONS)
def test_step_functions(path):
    module, name = path.split(".")
    outputs = getattr(getattr(lq, module), name)(tensor(real.arrays()["function/x"]))
    np.testing.assert_array_equal(array(outputs), real.under(f"function/{path}")["y"])


@pytest.mark.parametrize("clip_value", [1, 0.5, 2.0])
def test_the_constraint(clip_value):
    found = real.under("constraint")
    for cls in (lq.constraints.WeightClip, lq.constraints.weight_clip):
        clipped = array(cls(clip_value)(tensor(found["x"])))
        np.testing.assert_array_equal(clipped, found[str(clip_value)])


@pytest.mark.parametrize("alias", ALIASES)
def test_names_in_every_place(alias):
    cls = ALIASES[alias]
    for identifier in (alias, cls, {"class_name": cls, "config": {}}):
        assert type(lq.quantizers.get(identifier)).__name__ == cls
        assert type(lq.quantizers.get(identifier)) is getattr(lq.quantizers, cls)
    x = tensor([[-0.7, 0.3, 1.2, 0.0]])
    expected = array(lq.quantizers.get(alias)(x))
    # In Keras' own layers, and as the activation of ours; both survive saving.
    kernel = np.eye(4, dtype="float32")
    layers = [
        keras.layers.Activation(alias),
        keras.layers.Dense(4, activation=alias),
        lq.layers.QuantDense(4, activation=alias),
    ]
    for layer in layers:
        again = keras.layers.deserialize(keras.layers.serialize(layer))
        for one in (layer, again):
            one.build((None, 4))
            if one.weights:
                one.set_weights([kernel, np.zeros(4)])
            close(array(one(x)), expected)


def test_what_get_takes_and_refuses():
    assert lq.quantizers.get(None) is None
    assert lq.quantizers.get(np.sign) is np.sign
    no_op = lq.quantizers.get({"class_name": "NoOp", "config": {"precision": 3}})
    assert no_op.precision == 3
    assert lq.quantizers.DoReFaQuantizer is lq.quantizers.DoReFa
    for wrong in ("ste_sine", 3, {"class_name": "SteSine", "config": {}}):
        with pytest.raises(ValueError, match="quantizer"):
            lq.quantizers.get(wrong)
    # As Keras 2 writes it into a file, where Larq has registered its classes.
    written = {
        "module": "larq.quantizers",
        "class_name": "SteTern",
        "config": {"name": "ste_tern", "threshold_value": 0.1},
        "registered_name": "SteTern",
    }
    assert lq.quantizers.get(written).threshold_value == 0.1


def test_a_quantizer_of_ones_own():
    @lq.utils.register_alias("twice_sign")
    @lq.utils.register_keras_custom_object
    class TwiceSign(lq.quantizers.Quantizer):
        precision = 1

        def call(self, inputs):
            return 2 * lq.math.sign(inputs)

    x = tensor([[-0.5, 0.0]])
    for name in ("twice_sign", "TwiceSign"):
        layer = lq.layers.QuantDense(1, input_quantizer=name)
        again = type(layer).from_config(layer.get_config())
        assert array(again.input_quantizer(x)).tolist() == [[-2, 2]]


def test_functions_take_integers_and_half_precision():
    assert array(lq.quantizers.ste_sign(np.array([-2, 0, 3]))).tolist() == [-1, 1, 1]
    x = ops.cast(tensor([-0.1, 0.06, 0.01]), "bfloat16")
    levels = lq.quantizers.SteTern()(x)
    assert keras.backend.standardize_dtype(levels.dtype) == "bfloat16"
    assert array(levels).tolist() == [-1, 1, 0]

"""Quantizers as layers of their own and as activations of other layers."""

import keras
import numpy as np
import pytest

from kerasbnn.quantizers import (
    ApproxSign,
    DoReFa,
    IRNetSign,
    MagnitudeAwareSign,
    NoOp,
    RSign,
    SteHeaviside,
    SteSign,
    SteTern,
    SwishSign,
)
from tests.helpers.gradients import array, tensor

QUANTIZERS = [
    ApproxSign(),
    DoReFa(2),
    IRNetSign(standardize=False),
    IRNetSign(),
    MagnitudeAwareSign(),
    NoOp(1),
    SteHeaviside(),
    SteSign(),
    SteTern(),
    SteTern(ternary_weight_networks=True),
    SteTern(optimal_threshold=True),
    SwishSign(),
]


def saved_and_loaded(model, path):
    model.save(path / "model.keras")
    return keras.models.load_model(path / "model.keras")


def make_layer(quantizer):
    return type(quantizer).from_config(quantizer.get_config())


@pytest.mark.parametrize("quantizer", [*QUANTIZERS, RSign()], ids=lambda q: q.name)
def test_as_a_layer(quantizer, tmp_path, rng):
    quantizer = make_layer(quantizer)
    x = tensor(rng.normal(size=(8, 5)))
    model = keras.Sequential([keras.Input((5,)), quantizer, keras.layers.Dense(2)])
    assert model.layers[0].output.shape == (None, 5)
    expected = array(model(x))
    loaded = saved_and_loaded(model, tmp_path)
    np.testing.assert_array_equal(array(loaded(x)), expected)
    assert type(loaded.layers[0]) is type(quantizer)


@pytest.mark.parametrize("quantizer", QUANTIZERS, ids=lambda q: q.name)
def test_as_an_activation(quantizer, tmp_path, rng):
    quantizer = make_layer(quantizer)
    x = tensor(rng.normal(size=(8, 5)))
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Activation(quantizer),
            keras.layers.Dense(4, activation=make_layer(quantizer)),
        ]
    )
    expected = array(model(x))
    loaded = saved_and_loaded(model, tmp_path)
    np.testing.assert_array_equal(array(loaded(x)), expected)
    assert type(loaded.layers[0].activation) is type(quantizer)
    assert type(loaded.layers[1].activation) is type(quantizer)


@pytest.mark.parametrize("quantizer", [*QUANTIZERS, RSign()], ids=lambda q: q.name)
def test_trains_with_a_batch_of_unknown_size(quantizer, rng):
    model = keras.Sequential(
        [
            keras.Input((5,)),
            keras.layers.Dense(4),
            make_layer(quantizer),
            keras.layers.Dense(1),
        ]
    )
    model.compile("sgd", "mse")
    before = [array(weight.value) for weight in model.trainable_variables]
    x, y = rng.normal(size=(12, 5)), rng.normal(size=(12, 1))
    # Three batches, the last one of another size.
    model.fit(x.astype("float32"), y.astype("float32"), batch_size=5, verbose=0)
    after = [array(weight.value) for weight in model.trainable_variables]
    assert all(np.isfinite(weight).all() for weight in after)
    assert not np.array_equal(before[0], after[0])
    if isinstance(model.layers[1], RSign):
        assert np.any(array(model.layers[1].shift.value) != 0)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16", "float32"])
def test_symbolic_and_real_dtype_agree(policy):
    keras.config.set_dtype_policy(policy)
    inputs = keras.Input((4,), dtype="float32")
    quantized = SteSign()(inputs)
    hidden = keras.layers.Dense(3)(quantized)
    outputs = SteSign()(hidden)
    model = keras.Model(inputs, [quantized, outputs])
    for symbolic, real in zip(
        [quantized, outputs], model(np.ones((2, 4), "float32")), strict=True
    ):
        assert symbolic.dtype == keras.backend.standardize_dtype(real.dtype)
    assert outputs.dtype == policy.removeprefix("mixed_")


def test_masks_pass_through():
    inputs = keras.Input((None, 3))
    masked = keras.layers.Masking()(inputs)
    outputs = keras.layers.GlobalAveragePooling1D()(SteSign()(masked))
    x = np.array([[[1.0, -2.0, 3.0], [0.0, 0.0, 0.0]]], "float32")
    # Without the mask the second step would count as +1.
    values = array(keras.Model(inputs, outputs)(x))
    np.testing.assert_array_equal(values, [[1.0, -1.0, 1.0]])

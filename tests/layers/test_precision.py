"""Mixed precision and compiled execution."""

import keras
import numpy as np
import pytest

from kerasbnn import QuantDense
from kerasbnn.quantizers import SteSign
from tests.helpers import references
from tests.helpers.gradients import BACKEND, array, tensor
from tests.helpers.layer_cases import BY_NAME

# Negative weights that float16 rounds to zero; bfloat16 has the range of float32.
SMALL = np.array([-1e-8, 1e-8, -2e-38, -1e-30, -3e-9, 0.0, -0.0, -0.5], "float32")
MIXED = ["mixed_bfloat16", "mixed_float16"]


@pytest.mark.parametrize("policy", MIXED)
@pytest.mark.parametrize("name", BY_NAME)
def test_kernels_are_quantized_from_the_float32_latents(name, policy, rng):
    case = BY_NAME[name]
    layer = case.make(dtype=policy, use_bias=False, input_quantizer=None)
    layer.build(case.input_shape)
    for kernel, *_ in case.kernels:
        variable = getattr(layer, kernel)
        w = np.resize(SMALL, variable.shape)
        variable.assign(w)
        assert variable.dtype == "float32"
        quantized = layer.quantize_kernel(kernel)
        assert keras.backend.standardize_dtype(quantized.dtype) == layer.compute_dtype
        np.testing.assert_array_equal(array(quantized), references.sign(w))
    expected = case.make(use_bias=False, input_quantizer=None)
    expected.build(case.input_shape)
    expected.set_weights(layer.get_weights())
    # One-hot inputs: every output is one sign, or for a separable layer a product of
    # two, so that half precision is exact.
    np.testing.assert_array_equal(case.probe(layer), case.probe(expected))


@pytest.mark.parametrize("policy", MIXED)
@pytest.mark.parametrize("name", BY_NAME)
def test_outputs_have_the_compute_dtype(name, policy, rng):
    case = BY_NAME[name]
    keras.config.set_dtype_policy(policy)
    layer = case.make(input_quantizer="ste_sign")
    inputs = keras.Input(case.input_shape[1:], dtype="float32")
    model = keras.Model(inputs, layer(inputs))
    outputs = model(tensor(rng.normal(size=case.input_shape)))
    dtype = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    assert model.outputs[0].dtype == dtype
    assert all(weight.dtype == "float32" for weight in layer.weights)


def test_a_quantizer_of_another_policy_takes_what_it_is_given(rng):
    quantizer = SteSign()
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = QuantDense(3, input_quantizer=quantizer)
    outputs = layer(tensor(rng.normal(size=(2, 4))))
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"


@pytest.mark.parametrize("policy", MIXED)
def test_mixed_precision_trains(policy, rng):
    keras.config.set_dtype_policy(policy)
    case = BY_NAME["QuantConv2D"]
    model = keras.Sequential(
        [
            keras.Input(case.input_shape[1:]),
            case.make(
                input_quantizer="ste_sign",
                kernel_quantizer="magnitude_aware_sign",
                padding="same",
                pad_values=1,
            ),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dense(1, dtype="float32"),
        ]
    )
    model.compile("adam", "mse")
    before = case.latents(model.layers[0])
    x = rng.normal(size=(8, *case.input_shape[1:])).astype("float32")
    model.fit(x, rng.normal(size=(8, 1)).astype("float32"), epochs=2, verbose=0)
    (after,) = case.latents(model.layers[0])
    assert np.isfinite(after).all()
    assert np.any(after != before[0])


@pytest.mark.skipif(BACKEND == "torch", reason="torch's compiler takes a minute each")
@pytest.mark.parametrize("name", BY_NAME)
def test_compiled_and_eager_outputs_are_equal(name, rng):
    case = BY_NAME[name]
    padded = "Conv" in name and "Transpose" not in name
    options = {"padding": "same", "pad_values": -1} if padded else {}
    layer = case.make(input_quantizer="ste_sign", **options)
    model = keras.Sequential([keras.Input(case.input_shape[1:]), layer])
    model.compile(jit_compile=True)
    x = rng.normal(size=case.input_shape).astype("float32")
    # Sums of signs are integers: they are exact in any order.
    np.testing.assert_array_equal(model.predict(x, verbose=0), array(model(tensor(x))))

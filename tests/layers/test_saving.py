"""Latent weights in files, copies and exported programs."""

import keras
import numpy as np
import pytest

from tests.helpers.gradients import BACKEND, array, tensor
from tests.helpers.layer_cases import BY_NAME


def model_of(case, **arguments):
    layer = case.make(input_quantizer="ste_sign", **arguments)
    model = keras.Sequential([keras.Input(case.input_shape[1:]), layer])
    return model, layer


def bits(case, layer):
    """The latent kernels as raw bytes: equal means equal bit for bit."""
    latents = case.latents(layer)
    assert all(len(np.unique(np.abs(latent))) > 3 for latent in latents)
    return [(latent.dtype, latent.shape, latent.tobytes()) for latent in latents]


@pytest.mark.parametrize("name", BY_NAME)
def test_latents_survive_a_keras_file(name, tmp_path, rng):
    case = BY_NAME[name]
    model, layer = model_of(case)
    x = tensor(rng.normal(size=case.input_shape))
    before, expected = bits(case, layer), array(model(x))
    model.save(tmp_path / "model.keras")
    assert bits(case, layer) == before
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.layers[0]) is case.layer_class
    assert bits(case, loaded.layers[0]) == before
    np.testing.assert_array_equal(array(loaded(x)), expected)
    assert loaded.layers[0].get_config() == layer.get_config()


@pytest.mark.parametrize("name", BY_NAME)
def test_latents_survive_a_weights_file(name, tmp_path, rng):
    case = BY_NAME[name]
    model, layer = model_of(case)
    before = bits(case, layer)
    model.save_weights(tmp_path / "model.weights.h5")
    other, other_layer = model_of(case)
    assert bits(case, other_layer) != before
    other.load_weights(tmp_path / "model.weights.h5")
    assert bits(case, other_layer) == before
    x = tensor(rng.normal(size=case.input_shape))
    np.testing.assert_array_equal(array(other(x)), array(model(x)))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_latents_survive_in_other_dtypes(policy, tmp_path):
    case = BY_NAME["QuantConv2D"]
    model, layer = model_of(case, dtype=policy)
    before = bits(case, layer)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert bits(case, loaded.layers[0]) == before
    assert loaded.layers[0].dtype_policy.name == policy


@pytest.mark.parametrize("name", BY_NAME)
def test_float_weights_load_into_the_quantized_layer(name, tmp_path):
    case = BY_NAME[name]
    model, layer = model_of(case)
    float_layer = case.keras_class(**case.arguments)
    float_model = keras.Sequential([keras.Input(case.input_shape[1:]), float_layer])
    model.set_weights(float_model.get_weights())
    assert bits(case, layer) == bits(case, float_layer)


@pytest.mark.parametrize("name", BY_NAME)
def test_clone_model(name, rng):
    case = BY_NAME[name]
    model, layer = model_of(case)
    clone = keras.models.clone_model(model)
    copied = clone.layers[0]
    assert copied is not layer
    assert type(copied) is case.layer_class
    assert copied.input_quantizer is not layer.input_quantizer
    clone.set_weights(model.get_weights())
    x = tensor(rng.normal(size=case.input_shape))
    np.testing.assert_array_equal(array(clone(x)), array(model(x)))
    assert copied.get_config() == layer.get_config()


def test_clone_model_with_a_stateful_quantizer(rng):
    case = BY_NAME["QuantConv2D"]
    layer = case.layer_class(**case.arguments, input_quantizer="r_sign")
    model = keras.Sequential([keras.Input(case.input_shape[1:]), layer])
    layer.input_quantizer.shift.assign(rng.normal(size=3))
    clone = keras.models.clone_model(model)
    np.testing.assert_array_equal(
        array(clone.layers[0].input_quantizer.shift.value), np.zeros(3)
    )
    clone.set_weights(model.get_weights())
    x = tensor(rng.normal(size=case.input_shape))
    np.testing.assert_array_equal(array(clone(x)), array(model(x)))


CHAINS = {
    "1d": ["QuantConv1D", "QuantDepthwiseConv1D", "QuantSeparableConv1D"],
    "1d_transposed": ["QuantConv1DTranspose", "QuantDense"],
    "2d": ["QuantConv2D", "QuantDepthwiseConv2D", "QuantSeparableConv2D"],
    "2d_transposed": ["QuantConv2DTranspose", "QuantDense"],
    "3d": ["QuantConv3D", "QuantConv3DTranspose"],
}


@pytest.mark.skipif(BACKEND != "tensorflow", reason="a SavedModel is TensorFlow's")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("chain", CHAINS)
def test_export_keeps_outputs_and_latents(chain, tmp_path, rng):
    import tensorflow as tf

    cases = [BY_NAME[name] for name in CHAINS[chain]]
    layers = []
    for case in cases:
        padded = "Conv" in case.name and "Transpose" not in case.name
        options = {"padding": "same", "pad_values": -1} if padded else {}
        quantizer = {"class_name": "MagnitudeAwareSign", "config": {}}
        layers.append(
            case.make(kernel_quantizer=quantizer, input_quantizer="ste_sign", **options)
        )
        layers.append(keras.layers.BatchNormalization())
    shape = cases[0].input_shape
    model = keras.Sequential([keras.Input(shape[1:]), *layers])
    x = rng.normal(size=shape).astype("float32")
    expected = array(model(x))
    before = [bits(c, layer) for c, layer in zip(cases, layers[::2], strict=True)]
    model.export(str(tmp_path / "exported"), verbose=False)
    after = [bits(c, layer) for c, layer in zip(cases, layers[::2], strict=True)]
    assert before == after
    served = tf.saved_model.load(str(tmp_path / "exported"))
    np.testing.assert_allclose(served.serve(x).numpy(), expected, atol=1e-6)
    # Another batch size than that of the trace.
    np.testing.assert_allclose(served.serve(x[:1]).numpy(), expected[:1], atol=1e-6)
    np.testing.assert_array_equal(array(model(x)), expected)

"""LoRA on quantized layers: the sum of latents and update is what is quantized."""

import keras
import numpy as np
import pytest

from kerasbnn import QuantDense
from tests.helpers import references
from tests.helpers.gradients import array, tensor, weight_gradients
from tests.helpers.layer_cases import BY_NAME

NAMES = ["QuantDense", "QuantConv1D", "QuantConv2D", "QuantConv3D"]


def layer_with_update(name, rng, **arguments):
    """A layer with LoRA whose update changes signs.

    The quantizer's gradient has no limit, so no constraint is due: Keras has LoRA only
    without one.
    """
    case = BY_NAME[name]
    sign = {"class_name": "SteSign", "config": {"clip_value": None}}
    layer = case.layer_class(
        **case.arguments, kernel_quantizer=sign, use_bias=False, **arguments
    )
    layer.build(case.input_shape)
    base = array(layer.kernel.value)
    layer.enable_lora(2, lora_alpha=4)
    a = rng.normal(size=layer.lora_kernel_a.shape).astype("float32")
    b = rng.normal(size=layer.lora_kernel_b.shape).astype("float32")
    layer.lora_kernel_a.assign(a)
    layer.lora_kernel_b.assign(b)
    latent = base + 2 * (a @ b)
    assert np.any(references.sign(latent) != references.sign(base))
    return case, layer, latent


@pytest.mark.parametrize("name", NAMES)
def test_forward(name, rng):
    case, layer, latent = layer_with_update(name, rng)
    np.testing.assert_array_equal(
        array(layer.quantize_kernel()), references.sign(latent)
    )
    probed = case.probe(layer)
    np.testing.assert_array_equal(probed, references.sign(latent).reshape(probed.shape))


@pytest.mark.parametrize("name", NAMES)
def test_gradients_reach_both_factors(name, rng):
    case, layer, _ = layer_with_update(name, rng)
    assert [weight.name for weight in layer.trainable_weights] == [
        "lora_kernel_a",
        "lora_kernel_b",
    ]
    twin = case.keras_class(**case.arguments, use_bias=False)
    twin.build(case.input_shape)
    twin.set_weights([array(layer.quantize_kernel())])
    x = tensor(rng.normal(size=case.input_shape))
    upstream = rng.normal(size=array(layer(x)).shape)
    (to_kernel,) = weight_gradients(twin, x, upstream)
    to_a, to_b = weight_gradients(layer, x, upstream)
    a, b = array(layer.lora_kernel_a.value), array(layer.lora_kernel_b.value)
    flat = to_kernel.reshape(-1, to_kernel.shape[-1])
    expected_a = 2 * (to_kernel @ b.T)
    expected_b = 2 * a.reshape(-1, a.shape[-1]).T @ flat
    np.testing.assert_allclose(to_a, expected_a, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(to_b, expected_b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_saving_merges_the_update_into_the_latents(name, policy, tmp_path, rng):
    case, layer, latent = layer_with_update(name, rng, dtype=policy)
    model = keras.Sequential([keras.Input(case.input_shape[1:]), layer])
    x = tensor(rng.normal(size=case.input_shape))
    expected = array(model(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(loaded(x)), expected)
    stored = array(loaded.layers[0].kernel)
    tolerance = 1e-6 if policy == "float32" else 1e-2
    np.testing.assert_allclose(stored, latent, rtol=tolerance, atol=tolerance)


def test_small_latents_keep_their_sign_in_half_precision(tmp_path):
    sign = {"class_name": "SteSign", "config": {"clip_value": None}}
    layer = QuantDense(2, kernel_quantizer=sign, dtype="mixed_float16")
    model = keras.Sequential([keras.Input((3,)), layer])
    layer.kernel.assign(np.full((3, 2), -1e-9))
    layer.enable_lora(1)
    np.testing.assert_array_equal(array(layer.quantize_kernel()), -1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(loaded.layers[0].quantize_kernel()), -1)


def test_fit_trains_the_factors_alone(rng):
    case, layer, _ = layer_with_update("QuantDense", rng)
    model = keras.Sequential([keras.Input(case.input_shape[1:]), layer])
    model.compile("sgd", "mse")
    base = array(layer._kernel.value)
    before = [array(weight.value) for weight in layer.trainable_weights]
    x = rng.normal(size=(8, 7)).astype("float32")
    model.fit(x, rng.normal(size=(8, 5)).astype("float32"), verbose=0)
    np.testing.assert_array_equal(array(layer._kernel.value), base)
    for old, weight in zip(before, layer.trainable_weights, strict=True):
        assert np.any(array(weight.value) != old)


def test_a_clip_constraint_excludes_lora():
    layer = QuantDense(3, kernel_quantizer="ste_sign", kernel_constraint="weight_clip")
    layer.build((None, 4))
    with pytest.raises(ValueError, match="kernel_constraint"):
        layer.enable_lora(2)

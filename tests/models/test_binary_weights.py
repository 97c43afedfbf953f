"""The weights in use: exact values, by path, and latent weights that come back."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense, models, quantizers

CLIPPED_SIGN = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}


def sign(values):
    return np.where(values >= 0, 1, -1)


def mixed_model():
    """A model with a nested block, a shared layer and one kernel of each kind."""
    block = keras.Sequential(
        [
            keras.Input((6, 6, 4)),
            kerasbnn.QuantSeparableConv2D(
                3,
                2,
                depthwise_quantizer="ste_sign",
                depthwise_constraint="weight_clip",
                pointwise_quantizer="ste_tern",
                name="separable",
            ),
        ],
        name="block",
    )
    inputs = keras.Input((6, 6, 4))
    conv = QuantConv2D(4, 3, padding="same", **CLIPPED_SIGN, name="conv")
    x = block(conv(conv(inputs)))
    x = layers.Flatten()(x)
    x = QuantDense(5, input_quantizer="ste_sign", name="plain_kernel")(x)
    x = layers.BatchNormalization()(x)
    outputs = QuantDense(2, **CLIPPED_SIGN, name="head")(x)
    return keras.Model(inputs, outputs)


def test_values_are_those_of_the_quantizer_by_path():
    model = mixed_model()
    conv = model.get_layer("conv").kernel
    # Zero of either sign is +1.
    latent = keras.ops.convert_to_numpy(conv).copy()
    latent[0, 0, 0, :2] = (0.0, -0.0)
    conv.assign(latent)
    weights = models.quantized_weights(model)
    assert list(weights) == [
        "conv/kernel",
        "block/separable/depthwise_kernel",
        "block/separable/pointwise_kernel",
        "head/kernel",
    ]
    assert {array.dtype.name for array in weights.values()} == {"float32"}
    np.testing.assert_array_equal(weights["conv/kernel"], sign(latent))
    separable = model.get_layer("block").get_layer("separable")
    pointwise = keras.ops.convert_to_numpy(separable.pointwise_kernel)
    np.testing.assert_array_equal(
        weights["block/separable/pointwise_kernel"],
        np.sign(pointwise) * (np.abs(pointwise) > np.float32(0.05)),
    )


def test_the_arrays_alone_reproduce_the_outputs(rng):
    model = mixed_model()
    x = rng.normal(size=(2, 6, 6, 4)).astype("float32")
    expected = keras.ops.convert_to_numpy(model(x))
    weights = models.quantized_weights(model)
    with models.quantized_scope(model):
        held = {v.path: keras.ops.convert_to_numpy(v).copy() for v in model.weights}
        inside = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(inside, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(held["head/kernel"], weights["head/kernel"])
    np.testing.assert_array_equal(held["conv/kernel"], weights["conv/kernel"])


def test_integers_are_exact_or_refused():
    model = mixed_model()
    weights = models.quantized_weights(model, dtype="int8")
    assert {array.dtype.name for array in weights.values()} == {"int8"}
    assert set(np.unique(weights["block/separable/pointwise_kernel"])) <= {-1, 0, 1}
    scaled = keras.Sequential(
        [
            keras.Input((3,)),
            QuantDense(
                2,
                kernel_quantizer="magnitude_aware_sign",
                kernel_constraint="weight_clip",
                name="scaled",
            ),
        ]
    )
    with pytest.raises(ValueError, match="scaled/kernel.*float32"):
        models.quantized_weights(scaled, dtype="int8")
    kernel = models.quantized_weights(scaled)["scaled/kernel"]
    latent = scaled.get_weights()[0]
    np.testing.assert_allclose(
        kernel, sign(latent) * np.abs(latent).mean(axis=0), rtol=1e-6
    )


def test_half_precision_rounds_as_the_forward_pass_does():
    layer = QuantDense(
        3,
        kernel_quantizer=quantizers.DoReFa(6, mode="weights"),
        dtype="mixed_bfloat16",
        name="dense",
    )
    model = keras.Sequential([keras.Input((8,)), layer])
    (kernel,) = models.quantized_weights(model).values()
    eye = keras.ops.convert_to_numpy(keras.ops.cast(model(np.eye(8)), "float32"))
    np.testing.assert_array_equal(kernel, eye)
    # Six bits have more digits than bfloat16 keeps.
    assert not np.allclose(kernel * 63, np.round(kernel * 63), rtol=0, atol=1e-3)


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_files_hold_signs_and_latent_weights_come_back(tmp_path, rng, suffix):
    model = mixed_model()
    x = rng.normal(size=(2, 6, 6, 4)).astype("float32")
    expected = keras.ops.convert_to_numpy(model(x))
    latent = [array.copy() for array in model.get_weights()]
    path = tmp_path / f"signs{suffix}"
    with models.quantized_scope(model) as same:
        assert same is model
        (model.save if suffix == ".keras" else model.save_weights)(path)
    for before, after in zip(latent, model.get_weights(), strict=True):
        assert before.tobytes() == after.tobytes()
    other = mixed_model()
    if suffix == ".keras":
        other = keras.models.load_model(path)
    else:
        other.load_weights(path)
    stored = keras.ops.convert_to_numpy(other.get_layer("conv").kernel)
    assert set(np.unique(stored)) == {-1.0, 1.0}
    outputs = keras.ops.convert_to_numpy(other(x))
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_latent_weights_come_back_after_an_exception_and_from_nested_scopes():
    model = mixed_model()
    latent = [array.copy() for array in model.get_weights()]

    def fail_inside():
        with models.quantized_scope(model):
            with models.quantized_scope(model):
                pass
            assert set(np.unique(model.get_layer("conv").get_weights()[0])) == {-1, 1}
            model.set_weights([np.zeros_like(array) for array in latent])
            raise KeyError

    with pytest.raises(KeyError):
        fail_inside()
    for variable, before in zip(model.weights, latent, strict=True):
        after = keras.ops.convert_to_numpy(variable)
        # What is no quantized kernel was set to 0 for good.
        is_latent = variable.path.split("/", 1)[-1] in (
            *("conv/kernel", "separable/depthwise_kernel", "kernel"),
            *("separable/pointwise_kernel", "depthwise_kernel", "pointwise_kernel"),
        ) and not variable.path.startswith("plain_kernel")
        expected = before if is_latent else np.zeros_like(before)
        np.testing.assert_array_equal(after, expected)


def test_a_failing_quantizer_leaves_no_kernel_changed():
    def fails(x):
        raise RuntimeError("not today")

    good = QuantDense(3, **CLIPPED_SIGN)
    bad = QuantDense(3, kernel_quantizer=fails)
    for layer in (good, bad):
        layer.build((None, 3))
    inputs = keras.Input((3,))
    model = keras.Model(inputs, good(inputs))
    model.bad = bad
    before = good.get_weights()[0].copy()
    with pytest.raises(RuntimeError, match="not today"), models.quantized_scope(model):
        pass
    np.testing.assert_array_equal(good.get_weights()[0], before)


@pytest.mark.filterwarnings("ignore:Layer .* has a binary kernel without a clip")
def test_the_sum_that_lora_makes_is_what_is_quantized(rng):
    layer = QuantDense(4, kernel_quantizer="ste_sign", name="dense", use_bias=False)
    model = keras.Sequential([keras.Input((5,)), layer])
    layer.enable_lora(2)
    for variable in layer.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    kernel, a, b = (keras.ops.convert_to_numpy(v) for v in layer.weights)
    values = models.quantized_weights(model)["dense/kernel"]
    np.testing.assert_array_equal(values, sign(kernel + a @ b))
    with pytest.raises(ValueError, match="LoRA"), models.quantized_scope(model):
        pass
    totals = models.summary(model, print_fn=lambda line: None)["totals"]
    assert totals["weights"] == {"1": 20, "32": 5 * 2 + 2 * 4}
    assert totals["macs"] == {"32x1": 20}


def test_a_quantizer_that_changes_its_own_values_warns():
    layer = QuantDense(
        4, kernel_quantizer=quantizers.DoReFa(4, mode="weights"), name="dorefa"
    )
    model = keras.Sequential([keras.Input((9,)), layer])
    with (
        pytest.warns(UserWarning, match="dorefa/kernel") as caught,
        models.quantized_scope(model),
    ):
        pass
    (warning,) = [w for w in caught if w.category is UserWarning]
    assert warning.filename == __file__


@pytest.mark.parametrize(
    "quantizer", ["magnitude_aware_sign", "swish_sign", "ste_heaviside", "irnet_sign"]
)
def test_most_quantizers_keep_their_own_values(quantizer, rng):
    layer = QuantDense(
        16, kernel_quantizer=quantizer, kernel_constraint="weight_clip", name="dense"
    )
    model = keras.Sequential([keras.Input((64,)), layer])
    expected = models.quantized_weights(model)["dense/kernel"]
    with models.quantized_scope(model):
        np.testing.assert_array_equal(layer.get_weights()[0], expected)


def test_what_has_no_weights_yet_is_an_error():
    with pytest.raises(ValueError, match="Build the model"):
        models.quantized_weights(keras.Sequential([QuantDense(3, **CLIPPED_SIGN)]))
    with pytest.raises(TypeError, match="Sequential"):
        models.quantized_weights(QuantDense(3, **CLIPPED_SIGN))
    with pytest.raises(TypeError, match="Sequential"), models.quantized_scope(True):
        pass
    plain = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    assert models.quantized_weights(plain) == {}

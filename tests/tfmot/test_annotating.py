"""Layers of tf_keras under TFMOT: what they compute, train, save and refuse."""

import warnings

import numpy as np
import pytest

from tests.tfmot.networks import (
    KERNEL_LAYERS,
    BinaryQuantizeConfig,
    BinaryQuantizer,
    TernaryQuantizer,
    WeightClip,
    annotate,
    chain,
    inputs_of,
    layers,
    load_model,
    outputs_of,
    quantization,
    randomized,
    scheme_named,
    tf,
    tf_keras,
    trained,
)

KERNELS = ("kernel", "depthwise_kernel", "pointwise_kernel")


def quantized(shape, layer, config, scheme="only annotated"):
    return quantization.quantize_apply(
        chain(shape, annotate(layer, config)), scheme=scheme_named(scheme)
    )


def latent_of(wrapper):
    """Return the latent kernels and the bias of a wrapper by name."""
    return {w.name.split("/")[-1].removesuffix(":0"): w for w in wrapper.weights}


@pytest.mark.parametrize("name", KERNEL_LAYERS)
def test_kernels_and_inputs_are_exactly_signs(name, rng):
    """The layer itself, with signs of numpy in the place of its kernels."""
    shape, arguments = KERNEL_LAYERS[name]
    layer = getattr(layers, name)(**arguments)
    config = BinaryQuantizeConfig(input_quantizer="binary")
    model = randomized(quantized(shape, layer, config), rng)
    plain = chain(shape, getattr(layers, name)(**arguments))
    latent = latent_of(model.layers[-1])
    used = [w.name.split("/")[-1].removesuffix(":0") for w in plain.weights]
    values = [latent[key].numpy() for key in used]
    assert any(np.abs(v).max() not in (0, 1) for v in values)
    plain.set_weights(
        [
            np.where(v >= 0, 1, -1) if key in KERNELS else v
            for key, v in zip(used, values, strict=True)
        ]
    )
    x = inputs_of(model, rng)
    x[:, ..., :1] = 0.0
    expected = outputs_of(plain, np.where(x >= 0, 1.0, -1.0))
    np.testing.assert_array_equal(outputs_of(model, x), expected)


@pytest.mark.parametrize("name", KERNEL_LAYERS)
def test_the_latent_weights_get_the_gradient(name, rng):
    shape, arguments = KERNEL_LAYERS[name]
    layer = getattr(layers, name)(**arguments)
    model = quantized(shape, layer, BinaryQuantizeConfig("ternary", "binary"))
    before = {key: w.numpy() for key, w in latent_of(model.layers[-1]).items()}
    trained(model, rng)
    after = latent_of(model.layers[-1])
    changed = {k for k, w in after.items() if (w.numpy() != before[k]).any()}
    assert changed == {k for k in before if k in (*KERNELS, "bias")}
    trainable = {w.name for w in model.trainable_weights}
    assert {w.name for k, w in after.items() if k in changed} == trainable


def test_the_gradient_of_the_inputs_stops_beyond_the_clip_value(rng):
    config = BinaryQuantizeConfig(None, BinaryQuantizer(clip_value=0.5))
    model = quantized((6,), layers.Dense(1, use_bias=False), config)
    x = tf.constant([[0.5, -0.5, 0.6, -0.6, 0.0, 3.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = model(x)
    kernel = latent_of(model.layers[-1])["kernel"].numpy()[:, 0]
    expected = [[*kernel[:2], 0, 0, kernel[4], 0]]
    np.testing.assert_array_equal(tape.gradient(outputs, x).numpy(), expected)


def test_padding_comes_after_the_signs(rng):
    layer = layers.Conv2D(1, 3, padding="same", use_bias=False)
    model = quantized((2, 2, 1), layer, BinaryQuantizeConfig("binary", "binary"))
    signs = np.sign(latent_of(model.layers[-1])["kernel"].numpy())[..., 0, 0]
    found = model.predict(-np.ones((1, 2, 2, 1)), verbose=0)
    # Only the four taps that see pixels count; padded with +1 others would too.
    assert found[0, 0, 0, 0] == -signs[1:, 1:].sum()


def test_outputs_can_be_quantized_of_any_layer(rng):
    config = BinaryQuantizeConfig(None, output_quantizer=TernaryQuantizer(0.3))
    model = quantized((5,), layers.BatchNormalization(), config)
    x = inputs_of(model, rng)
    values = x / np.sqrt(1 + 1e-3)
    expected = np.where(np.abs(values) > 0.3, np.sign(values), 0)
    np.testing.assert_array_equal(model.predict(x, verbose=0), expected)


def mixed_model(scheme, config):
    float_first = layers.Dense(6, activation="relu", name="first")
    return quantization.quantize_apply(
        chain(
            (5,),
            float_first,
            annotate(layers.Dense(4, name="binary"), config),
            annotate(layers.Dense(3, name="last")),
        ),
        scheme=scheme_named(scheme),
    )


def test_the_scheme_quantizes_what_is_annotated_and_nothing_else():
    model = mixed_model("only annotated", BinaryQuantizeConfig())
    names = [layer.name for layer in model.layers]
    assert names == ["first", "quant_binary", "quant_last"]
    assert type(model.layers[0]) is layers.Dense
    # A layer annotated without a config gets TFMOT's.
    assert type(model.layers[2].quantize_config).__name__ == "Default8BitQuantizeConfig"
    default = mixed_model("default", BinaryQuantizeConfig())
    assert [layer.name for layer in default.layers] == [
        "quant_first",
        "quant_binary",
        "quant_last",
    ]


@pytest.mark.parametrize("relu", [layers.ReLU, lambda: layers.Activation("relu")])
def test_the_scheme_keeps_a_config_in_front_of_an_annotated_relu(relu):
    config = BinaryQuantizeConfig("ternary")
    found = []
    for scheme in ("only annotated", "default"):
        annotated = chain((5,), annotate(layers.Dense(4), config), annotate(relu()))
        model = quantization.quantize_apply(annotated, scheme=scheme_named(scheme))
        found.append(model.layers[-2].quantize_config)
    assert found[0] == config
    # What the documentation warns of.
    assert type(found[1]).__name__ == "NoOpQuantizeConfig"


def test_the_scheme_leaves_the_inputs_of_the_model(rng):
    dense = layers.Dense(4, use_bias=False)
    model = quantized((5,), dense, BinaryQuantizeConfig())
    assert [type(layer).__name__ for layer in model.layers] == ["QuantizeWrapperV2"]
    default = quantized((5,), layers.Dense(4), BinaryQuantizeConfig(), "default")
    assert type(default.layers[0]).__name__ == "QuantizeLayer"


def test_the_weights_of_the_annotated_model_are_kept(rng):
    dense = layers.Dense(4)
    annotated = chain((5,), annotate(dense, BinaryQuantizeConfig()))
    annotated.set_weights([rng.normal(size=(5, 4)), rng.normal(size=4)])
    before = annotated.get_weights()
    model = quantization.quantize_apply(
        annotated, scheme=scheme_named("only annotated")
    )
    latent = latent_of(model.layers[-1])
    np.testing.assert_array_equal(latent["kernel"].numpy(), before[0])
    np.testing.assert_array_equal(latent["bias"].numpy(), before[1])


FORMATS = ["model.h5", "model.keras", "folder"]


@pytest.mark.parametrize("file", FORMATS)
@pytest.mark.parametrize("scheme", ["only annotated", "default"])
def test_saved_models_compute_the_same(file, scheme, rng, tmp_path):
    config = BinaryQuantizeConfig(BinaryQuantizer(0.7, scale=True), "binary")
    model = quantization.quantize_apply(
        chain(
            (8, 7, 3),
            annotate(layers.Conv2D(4, 3)),
            layers.BatchNormalization(),
            annotate(
                layers.Conv2D(6, 3, kernel_constraint=WeightClip(0.8)),
                BinaryQuantizeConfig(TernaryQuantizer(0.1), "binary"),
            ),
            layers.BatchNormalization(),
            annotate(layers.DepthwiseConv2D(3), config),
            layers.Flatten(),
            annotate(layers.Dense(3), config),
            layers.BatchNormalization(),
        ),
        scheme=scheme_named(scheme),
    )
    trained(model, rng)
    x = inputs_of(model, rng)
    save(model, tmp_path / file)
    again = load_model(tmp_path / file)
    np.testing.assert_array_equal(
        again.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    if file == "folder":
        return
    assert [w.numpy().tolist() for w in again.layers[-2].trainable_weights] == [
        w.numpy().tolist() for w in model.layers[-2].trainable_weights
    ]
    configs = [getattr(layer, "quantize_config", None) for layer in again.layers]
    assert [c for c in configs if isinstance(c, BinaryQuantizeConfig)][-1] == config
    trained(again, rng)
    # From a model that was loaded rather than annotated.
    save(again, tmp_path / f"again_{file}")
    third = load_model(tmp_path / f"again_{file}")
    np.testing.assert_array_equal(
        third.predict(x, verbose=0), again.predict(x, verbose=0)
    )


def save(model, path):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file")
        model.save(path, save_format=None if path.suffix else "tf")


def test_loading_leaves_the_classes_of_tfmot_as_they_are(tmp_path):
    model = quantized((5,), layers.Dense(3), BinaryQuantizeConfig())
    model.save(tmp_path / "model.keras")
    load_model(tmp_path / "model.keras")
    assert "load_own_variables" not in vars(quantization.QuantizeWrapper)
    with pytest.raises(OSError, match=r"missing.keras|No file"):
        load_model(tmp_path / "missing.keras")
    assert "load_own_variables" not in vars(quantization.QuantizeWrapper)


def test_a_clip_constraint_holds_the_latent_weights(rng):
    largest = []
    for constraint in (None, WeightClip(0.1)):
        dense = layers.Dense(4, kernel_constraint=constraint)
        model = trained(quantized((5,), dense, BinaryQuantizeConfig()), rng)
        kernel = latent_of(model.layers[-1])["kernel"].numpy()
        largest.append(float(np.abs(kernel).max()))
    assert largest[1] <= 0.1 < largest[0]


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (dict(kernel_quantizer="binari"), ValueError, "Did you mean 'binary'"),
        (dict(input_quantizer=3), TypeError, "`input_quantizer` must be 'binary'"),
        (
            dict(input_quantizer=BinaryQuantizer(scale=True)),
            ValueError,
            "`input_quantizer` must have scale=False",
        ),
        (
            dict(output_quantizer=TernaryQuantizer(scale=True)),
            ValueError,
            "`output_quantizer` must have scale=False",
        ),
    ],
)
def test_bad_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        BinaryQuantizeConfig(**arguments)


def test_a_quantizer_of_keras_3_is_told_from_one_of_tfmot():
    from kerasbnn.quantizers import SteSign

    with pytest.raises(TypeError, match="are for layers of Keras 3"):
        BinaryQuantizeConfig(SteSign())


def test_a_layer_without_a_kernel_needs_no_quantizer_of_it():
    with pytest.raises(
        ValueError, match="'norm' is a BatchNormalization, which has no"
    ):
        quantized((5,), layers.BatchNormalization(name="norm"), BinaryQuantizeConfig())


def test_a_layer_of_ones_own_is_refused_too():
    class Dense(tf_keras.layers.Dense):
        """As the class of tf_keras, but it may compute anything."""

    with (
        tf_keras.utils.custom_object_scope({"Dense": Dense}),
        pytest.raises(
            ValueError, match="has no kernel that BinaryQuantizeConfig knows"
        ),
    ):
        quantized((5,), Dense(3), BinaryQuantizeConfig())

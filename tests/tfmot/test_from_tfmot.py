"""Models from TFMOT in Keras 3: the same outputs, names and weights."""

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn.tfmot import from_tfmot
from tests.tfmot.networks import (
    KERNEL_LAYERS,
    BinaryQuantizeConfig,
    BinaryQuantizer,
    TernaryQuantizer,
    WeightClip,
    annotate,
    assert_same_outputs,
    chain,
    inputs_of,
    layers,
    outputs_of,
    quantization,
    randomized,
    scheme_named,
    tf_keras,
    trained,
)

SCHEMES = ["only annotated", "default"]
CONFIGS = {
    "binary weights": lambda: BinaryQuantizeConfig(),
    "binary": lambda: BinaryQuantizeConfig("binary", "binary"),
    "scaled": lambda: BinaryQuantizeConfig(BinaryQuantizer(0.8, scale=True), "binary"),
    "ternary": lambda: BinaryQuantizeConfig("ternary", TernaryQuantizer(0.3)),
    "scaled ternary": lambda: BinaryQuantizeConfig(TernaryQuantizer(scale=True)),
    "float weights": lambda: BinaryQuantizeConfig(None, "binary", "ternary"),
}

pytestmark = pytest.mark.filterwarnings("ignore:Layer .* has a binary kernel without")


def applied(model, scheme="only annotated"):
    return quantization.quantize_apply(model, scheme=scheme_named(scheme))


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", KERNEL_LAYERS)
def test_each_layer_with_a_kernel(name, config, rng):
    shape, arguments = KERNEL_LAYERS[name]
    layer = getattr(layers, name)(**arguments, activation="relu", name="it")
    annotated = chain(shape, annotate(layer, CONFIGS[config]()))
    theirs = randomized(applied(annotated), rng)
    ours = from_tfmot(theirs)
    assert_same_outputs(ours, theirs, inputs_of(theirs, rng))
    (main, *_) = ours.layers
    assert main.name == "it"
    assert type(main) is getattr(kerasbnn, f"Quant{name}")
    latent = {w.name.split("/")[-1]: w.numpy() for w in theirs.layers[-1].weights}
    kernels = [latent[f"{k}:0"] for k in latent_names(name)]
    assert [w.tolist() for w in ours.get_weights()[: len(kernels)]] == [
        w.tolist() for w in kernels
    ]


def latent_names(name):
    if name.startswith("Separable"):
        return ["depthwise_kernel", "pointwise_kernel"]
    return ["depthwise_kernel" if name.startswith("Depthwise") else "kernel"]


BINARY = "binary"


def binarynet(scheme="only annotated", scale=False):
    """A small BinaryNet: 8-bit stem and head where the scheme says so."""
    config = BinaryQuantizeConfig(BinaryQuantizer(scale=scale), "binary")
    arguments = dict(use_bias=False, kernel_constraint=WeightClip())
    return applied(
        chain(
            (10, 9, 3),
            annotate(layers.Conv2D(8, 3, use_bias=False, name="stem")),
            layers.BatchNormalization(name="norm_1"),
            annotate(
                layers.Conv2D(12, 3, padding="same", **arguments, name="conv"), config
            ),
            layers.MaxPooling2D(2, name="pool"),
            layers.BatchNormalization(name="norm_2"),
            layers.Flatten(name="flatten"),
            annotate(layers.Dense(16, **arguments, name="dense"), config),
            layers.BatchNormalization(name="norm_3"),
            annotate(layers.Dense(4, name="head")),
            name="binarynet",
        ),
        scheme,
    )


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_binary_network_with_ends_of_8_bits(scheme, rng):
    theirs = trained(binarynet(scheme), rng, epochs=2)
    ours = from_tfmot(theirs)
    x = inputs_of(theirs, rng, 200)
    assert_same_outputs(ours, theirs, x)
    assert ours.name == "binarynet"
    names = [layer.name for layer in ours.layers]
    expected = ["stem", "norm_1", "conv", "pool", "norm_2", "flatten", "dense"]
    kept = [name for name in names if name in (*expected, "norm_3", "head")]
    assert kept == [*expected, "norm_3", "head"]
    conv = ours.get_layer("conv")
    assert isinstance(conv.kernel_constraint, kerasbnn.constraints.WeightClip)
    assert type(conv.input_quantizer) is kerasbnn.quantizers.SteSign
    # What the layers see: signs, of the same sign.
    seen = [x, x]
    for i, model in enumerate((ours, theirs)):
        for layer in model.layers:
            if layer.name in ("conv", "quant_conv"):
                break
            seen[i] = layer(seen[i])
    ours_seen, theirs_seen = map(keras.ops.convert_to_numpy, seen)
    assert 0.1 < (theirs_seen >= 0).mean() < 0.9
    np.testing.assert_array_equal(ours_seen >= 0, theirs_seen >= 0)


def test_the_result_trains_on(rng):
    theirs = trained(binarynet("default"), rng)
    ours = from_tfmot(theirs)
    before = ours.get_layer("dense").get_weights()[0]
    x = inputs_of(theirs, rng, 32)
    ours.compile(keras.optimizers.Adam(0.01), "mse")
    ours.fit(x, rng.normal(size=(32, 4)), verbose=0)
    assert (ours.get_layer("dense").get_weights()[0] != before).any()
    assert float(ours.get_layer("quantize_layer").max_value) >= x.max()


def functional(name):
    """Functional models: several inputs and outputs, branches, sharing, nesting."""
    binary = BinaryQuantizeConfig("binary", "binary")
    if name == "residual":
        x = inputs = tf_keras.Input((6, 6, 4), name="image")
        for number in range(2):
            conv = layers.Conv2D(4, 3, padding="same", name=f"conv_{number}")
            y = layers.BatchNormalization()(annotate(conv, binary)(x))
            x = layers.Add(name=f"add_{number}")([x, y])
        x = layers.GlobalAveragePooling2D()(x)
        return tf_keras.Model(inputs, annotate(layers.Dense(3), binary)(x))
    if name == "operators":
        inputs = tf_keras.Input((6,))
        x = annotate(layers.Dense(6, name="a"), binary)(inputs)
        y = annotate(layers.Dense(6, name="b"), binary)(x)
        return tf_keras.Model(inputs, (x + y) * x - y)
    if name == "several":
        image = tf_keras.Input((6, 6, 2), name="image")
        number = tf_keras.Input((5,), name="number")
        x = annotate(layers.Conv2D(4, 3), binary)(image)
        x = layers.Flatten()(x)
        y = annotate(layers.Dense(7, activation="tanh"), BinaryQuantizeConfig())(number)
        both = layers.Concatenate()([x, y])
        first = annotate(layers.Dense(3, name="first"), binary)(both)
        second = layers.Dense(2, name="second")(both)
        return tf_keras.Model([image, number], [first, second])
    if name == "shared":
        one, other = tf_keras.Input((5,)), tf_keras.Input((5,))
        shared = annotate(layers.Dense(6, name="shared"), binary)
        dot = layers.Dot(1)([shared(one), shared(other)])
        return tf_keras.Model([one, other], dot)
    raise AssertionError(name)


@pytest.mark.parametrize("name", ["residual", "operators", "several", "shared"])
def test_functional_models(name, rng):
    theirs = randomized(applied(functional(name)), rng)
    ours = from_tfmot(theirs)
    assert type(ours) is keras.src.models.Functional
    assert_same_outputs(ours, theirs, inputs_of(theirs, rng, 100))
    assert [t.name for t in ours.inputs] == [t.name for t in theirs.inputs]


@pytest.mark.parametrize("name", ["residual", "several"])
def test_functional_models_of_the_default_scheme(name, rng):
    theirs = randomized(applied(functional(name), "default"), rng)
    assert_same_outputs(from_tfmot(theirs), theirs, inputs_of(theirs, rng, 100))


def test_a_shared_layer_stays_one(rng):
    theirs = randomized(applied(functional("shared")), rng)
    ours = from_tfmot(theirs)
    assert [layer.name for layer in ours.layers].count("shared") == 1
    assert ours.count_params() == 5 * 6 + 6


def test_nested_models(rng):
    """TFMOT takes no nested ones, but what it returns can be nested."""
    inner = applied(functional("residual"), "default")
    dense = annotate(layers.Dense(6), BinaryQuantizeConfig("ternary"))
    block = applied(chain((3,), dense, layers.ReLU(), name="block"))
    inputs = tf_keras.Input((6, 6, 4))
    x = inner(inputs)
    outputs = layers.Add()([block(x), block(layers.LeakyReLU(alpha=0.2)(x))])
    theirs = randomized(tf_keras.Model(inputs, outputs), rng)
    ours = from_tfmot(theirs)
    assert_same_outputs(ours, theirs, inputs_of(theirs, rng, 100))
    nested = chain((6, 6, 4), theirs, layers.Softmax())
    assert_same_outputs(from_tfmot(nested), nested, inputs_of(theirs, rng, 100))


def test_structures_of_inputs_and_outputs(rng):
    one, other = tf_keras.Input((4,), name="one"), tf_keras.Input((4,), name="other")
    dense = annotate(layers.Dense(4, name="dense"), BinaryQuantizeConfig())
    outputs = {"sum": layers.Add()([dense(one), other]), "left": one}
    theirs = applied(tf_keras.Model({"one": one, "other": other}, outputs))
    ours = from_tfmot(theirs)
    x = {name: rng.normal(size=(9, 4)).astype("float32") for name in ("one", "other")}
    assert_same_outputs(ours, theirs, x)


def eight_bits(name):
    """Models for `quantize_model`, with what its scheme treats in a way of its own."""
    if name == "convolutions":
        return chain(
            (12, 11, 3),
            layers.Conv2D(6, 3, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
            layers.SeparableConv2D(5, 3),
            layers.Conv2DTranspose(4, 3, strides=2),
            layers.AveragePooling2D(),
            layers.Conv2D(4, 1, use_bias=False),
            layers.BatchNormalization(),
            layers.Activation("relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(6),
            layers.LeakyReLU(),
            layers.Dense(3, activation="softmax"),
        )
    if name == "one dimension":
        return chain(
            (12, 3),
            layers.SeparableConv1D(6, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(5, activation="tanh"),
            layers.Dense(4, activation="gelu"),
            layers.Dense(4, activation="sigmoid"),
            layers.Activation("softmax"),
        )
    inputs = tf_keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(inputs)
    y = layers.Conv2D(4, 1)(inputs)
    z = layers.ReLU()(layers.Add()([x, y]))
    z = layers.Concatenate()([z, x, layers.UpSampling2D()(layers.MaxPooling2D()(y))])
    z = layers.Dense(3, use_bias=False)(layers.Flatten()(z))
    return tf_keras.Model(inputs, layers.ReLU()(layers.BatchNormalization()(z)))


@pytest.mark.parametrize("name", ["convolutions", "one dimension", "branches"])
def test_models_of_8_bits(name, rng):
    theirs = trained(quantization.quantize_model(eight_bits(name)), rng, epochs=3)
    ours = from_tfmot(theirs)
    x = inputs_of(theirs, rng, 50)
    expected, found = outputs_of(theirs, x), outputs_of(ours, x)
    # A sum that rounding puts on the other side of the middle of two levels of 8 bits
    # is one level off; all others are the same.
    assert np.mean(np.isclose(found, expected, atol=1e-5)) > 0.98
    spread = expected.max() - expected.min()
    np.testing.assert_allclose(found, expected, atol=0.05 * spread)


def test_untrained_models_of_8_bits(rng):
    """Ranges as TFMOT begins: of the inputs there is none yet, so all is zero."""
    theirs = quantization.quantize_model(eight_bits("convolutions"))
    ours = from_tfmot(theirs)
    x = inputs_of(theirs, rng)
    np.testing.assert_allclose(outputs_of(ours, x), outputs_of(theirs, x), atol=1e-6)


@pytest.mark.parametrize("change", ["fix_input_output_range", "remove_input_range"])
def test_ranges_that_were_fixed_or_removed(change, rng):
    with quantization.quantize_scope():
        theirs = quantization.quantize_model(
            chain((6,), layers.Dense(5, activation="relu"), layers.Dense(3))
        )
        theirs = randomized(getattr(quantization, change)(theirs), rng)
    ours = from_tfmot(theirs)
    assert_same_outputs(ours, theirs, inputs_of(theirs, rng, 100))
    if change == "fix_input_output_range":
        first = ours.layers[0]
        assert (float(first.min_value), float(first.max_value)) == (0, 1)
        # Training does not move it, as it does not in TFMOT.
        first(np.full((1, 6), 9.0, "float32"), training=True)
        assert (float(first.min_value), float(first.max_value)) == (0, 1)


def test_a_model_without_quantization_is_carried_over_too(rng):
    theirs = randomized(eight_bits("convolutions"), rng)
    assert_same_outputs(from_tfmot(theirs), theirs, inputs_of(theirs, rng))


def test_nothing_of_the_given_model_changes(rng):
    theirs = randomized(binarynet("default"), rng)
    x = inputs_of(theirs, rng)
    before = theirs.get_config(), theirs.get_weights(), outputs_of(theirs, x)
    ours = from_tfmot(theirs)
    for variable in ours.variables:
        variable.assign(keras.ops.ones_like(variable))
    assert theirs.get_config() == before[0]
    for one, other in zip(theirs.get_weights(), before[1], strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(outputs_of(theirs, x), before[2])


@pytest.mark.parametrize("file", ["model.keras", "model.h5"])
def test_the_result_can_be_saved(file, rng, tmp_path, monkeypatch):
    theirs = randomized(binarynet("default", scale=True), rng)
    ours = from_tfmot(theirs)
    if file == "model.h5":
        ours.save_weights(tmp_path / "model.weights.h5")
        again = from_tfmot(binarynet("default", scale=True))
        again.load_weights(tmp_path / "model.weights.h5")
    else:
        ours.save(tmp_path / file)
        again = keras.saving.load_model(tmp_path / file)
    assert_same_outputs(again, theirs, inputs_of(theirs, rng))


def test_frozen_layers_stay_frozen(rng):
    theirs = binarynet()
    theirs.layers[2].trainable = False
    ours = from_tfmot(theirs)
    assert [layer.name for layer in ours.layers if not layer.trainable] == ["conv"]

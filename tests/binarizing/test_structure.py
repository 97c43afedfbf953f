"""Which layers the new network has, and where."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasbnn import QuantConv2D, QuantDense, models, quantizers
from kerasbnn.binarizing import binarize
from kerasbnn.models.layer_paths import named_layers
from tests.binarizing.networks import (
    assert_equal,
    names_of,
    outputs_of,
    randomized,
    values_of,
)
from tests.helpers.gradients import BACKEND, array

BN = layers.BatchNormalization
Conv = layers.Conv2D


def chain(*stack, shape=(8, 8, 3)):
    return keras.Sequential([keras.Input(shape), *stack])


# Layers of a network, and the names of those that the binary one has. "c" and "d" are
# convolutional and dense, the first one takes the inputs.
STRUCTURES = {
    "no activation": (
        lambda: [Conv(4, 3, name="c"), Conv(4, 3, name="d")],
        ["c", "c_norm", "d", "d_norm"],
    ),
    "fused relu": (
        lambda: [Conv(4, 3, activation="relu", name="c"), Conv(4, 3, name="d")],
        ["c", "c_norm", "c_activation", "d_input_norm", "d", "d_norm"],
    ),
    "relu apart": (
        lambda: [Conv(4, 3, name="c"), layers.ReLU(name="r"), Conv(4, 3, name="d")],
        ["c", "c_norm", "r", "d_input_norm", "d", "d_norm"],
    ),
    "normalized": (
        lambda: [
            Conv(4, 3, name="c"),
            BN(name="n"),
            Conv(4, 3, name="d"),
            BN(name="m"),
        ],
        ["c", "n", "d", "m"],
    ),
    "normalized before relu": (
        lambda: [
            *(Conv(4, 3, name="c"), BN(name="n"), layers.ReLU(name="r")),
            *(Conv(4, 3, name="d"), BN(name="m")),
        ],
        ["c", "n", "r", "d_input_norm", "d", "m"],
    ),
    "normalized behind a fused relu": (
        lambda: [
            Conv(4, 3, activation="relu", name="c"),
            BN(name="n"),
            Conv(4, 3, name="d"),
        ],
        ["c", "c_norm", "c_activation", "n", "d", "d_norm"],
    ),
    "pooled": (
        lambda: [
            *(Conv(4, 3, name="c"), layers.MaxPooling2D(2, name="p"), BN(name="n")),
            *(layers.Flatten(name="f"), layers.Dense(2, name="d")),
        ],
        ["c", "p", "n", "f", "d", "d_norm"],
    ),
    "averaged": (
        lambda: [
            Conv(4, 3, name="c"),
            layers.AveragePooling2D(2, name="p"),
            BN(name="n"),
        ],
        ["c", "c_norm", "p", "n"],
    ),
    "pooled behind the normalization": (
        lambda: [
            *(Conv(4, 3, name="c"), BN(name="n"), layers.MaxPooling2D(2, name="p")),
            Conv(4, 3, name="d"),
        ],
        ["c", "n", "p", "d_input_norm", "d", "d_norm"],
    ),
    "normalized along another axis": (
        lambda: [Conv(4, 3, name="c"), BN(axis=1, name="n")],
        ["c", "c_norm", "n"],
    ),
    "another normalization": (
        lambda: [
            Conv(4, 3, name="c"),
            layers.LayerNormalization(name="n"),
            Conv(4, 3, name="d"),
        ],
        ["c", "c_norm", "n", "d", "d_norm"],
    ),
    "a sign already": (
        lambda: [
            Conv(4, 3, name="c"),
            quantizers.SteSign(name="s"),
            Conv(4, 3, name="d"),
        ],
        ["c", "c_norm", "s", "d", "d_norm"],
    ),
    "0 and 1": (
        lambda: [
            Conv(4, 3, name="c"),
            quantizers.SteHeaviside(name="s"),
            Conv(4, 3, name="d"),
        ],
        ["c", "c_norm", "s", "d_input_norm", "d", "d_norm"],
    ),
    "passed on": (
        lambda: [
            *(Conv(4, 3, name="c"), BN(name="n"), layers.Dropout(0.1, name="o")),
            *(layers.ZeroPadding2D(name="z"), layers.Permute((2, 1, 3), name="p")),
            Conv(4, 3, name="d"),
        ],
        ["c", "n", "o", "z", "p", "d", "d_norm"],
    ),
    "names that are taken": (
        lambda: [
            *(Conv(4, 3, name="c"), layers.ReLU(name="c_norm")),
            *(layers.ReLU(name="d_input_norm"), Conv(4, 3, name="d")),
        ],
        ["c", "c_norm_1", "c_norm", "d_input_norm", "d_input_norm_1", "d", "d_norm"],
    ),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_what_is_inserted(name):
    stack, expected = STRUCTURES[name]
    model = chain(*stack())
    new = binarize(model)
    assert type(new) is keras.Sequential
    assert names_of(new) == expected
    assert new.get_layer("c").input_quantizer is None
    assert isinstance(new.get_layer("c").kernel_quantizer, quantizers.SteSign)
    if "d" in expected:
        assert isinstance(new.get_layer("d").input_quantizer, quantizers.SteSign)
    weights_only = binarize(model, binarize_inputs=False)
    without = [n for n in expected if not n.startswith("d_input_norm_")]
    if "taken" not in name:
        without = [n for n in without if n != "d_input_norm"]
    assert names_of(weights_only) == without
    # The same as a functional model.
    functional = keras.Model(model.inputs, model.outputs)
    assert names_of(binarize(functional)) == expected


RAW = {
    "rescaled": lambda: [layers.Rescaling(1 / 255), layers.Flatten()],
    "normalized": lambda: [BN(), layers.ReLU(), layers.MaxPooling2D(2)],
    "augmented": lambda: [
        layers.RandomFlip(),
        layers.Dropout(0.1),
        layers.ZeroPadding2D(),
    ],
}


@pytest.mark.parametrize("name", RAW)
def test_the_inputs_of_the_model_stay_continuous(name):
    new = binarize(chain(*RAW[name](), layers.Dense(3, name="d")))
    assert new.get_layer("d").input_quantizer is None
    assert names_of(new)[-2:] == ["d", "d_norm"]


def test_inputs_that_come_in_beside_others_stay_continuous():
    x = keras.Input((5,), name="x")
    hidden = layers.Dense(5, name="a")(x)
    mixed = layers.Dense(2, name="b")(layers.Concatenate()([x, hidden]))
    pure = layers.Dense(2, name="c")(layers.Concatenate()([hidden, hidden]))
    new = binarize(keras.Model(x, [mixed, pure]))
    quantized = [new.get_layer(n).input_quantizer is not None for n in "abc"]
    assert quantized == [False, False, True]


def test_an_embedding_is_no_raw_input():
    words = keras.Input((6,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(words)
    x = layers.Dense(5, name="d")(x)
    x = layers.GlobalAveragePooling1D()(x)
    model = randomized(keras.Model(words, layers.Dense(2, name="e")(x)))
    tokens = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 1]])
    longer = np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 1], [3, 3, 3, 3, 3, 3]])
    new = binarize(model, data=longer)
    assert new.get_layer("d").input_quantizer is not None
    assert_equal(outputs_of(binarize(model, {}), tokens), outputs_of(model, tokens))
    # Masked positions reach neither the statistics nor what follows.
    (masked,) = outputs_of(new, tokens)
    (again,) = outputs_of(new, tokens[:1])
    np.testing.assert_allclose(masked[:1], again, rtol=1e-5, atol=1e-6)
    norm = new.get_layer("d_input_norm")
    embedded = np.array(new.get_layer("embedding").get_weights()[0])
    kept = embedded[longer[longer != 0]]
    np.testing.assert_allclose(
        norm.get_weights()[1], kept.mean(axis=0), rtol=1e-4, atol=1e-5
    )


def test_a_layer_that_feeds_two_places_keeps_its_own_normalization():
    x = keras.Input((8, 8, 3))
    y = Conv(4, 3, padding="same", name="c")(x)
    both = layers.Add(name="add")([BN(name="n")(y), y])
    assert names_of(binarize(keras.Model(x, both))) == ["c", "c_norm", "n", "add"]
    two = layers.Add(name="add")([BN(name="n")(y), BN(name="m")(y)])
    assert names_of(binarize(keras.Model(x, two))) == ["c", "n", "m", "add"]
    ends = keras.Model(x, [y, BN(name="n")(y)])
    assert names_of(binarize(ends)) == ["c", "c_norm", "n"]


def test_a_normalization_of_two_layers_is_left_alone():
    x, shared = keras.Input((6,)), BN(name="n")
    a = shared(layers.Dense(4, name="a")(x))
    b = shared(layers.Dense(4, name="b")(x))
    model = randomized(keras.Model(x, [a, b]))
    new = binarize(model)
    assert sorted(names_of(new)) == ["a", "a_norm", "b", "b_norm", "n"]
    assert_equal(new.get_layer("n").get_weights(), shared.get_weights())


def test_shared_layers_and_models_stay_shared(rng):
    x = keras.Input((8, 8, 3), name="x")
    stem = Conv(4, 3, padding="same", name="stem")(x)
    shared = Conv(4, 3, padding="same", activation="relu", name="conv")
    inner = keras.Sequential([keras.Input((8, 8, 4)), shared], name="inner")
    i = keras.Input((8, 8, 4))
    outer = keras.Model(
        i, layers.Add()([inner(i), layers.ReLU()(shared(i))]), name="outer"
    )
    y = outer(outer(shared(stem)))
    model = randomized(keras.Model(x, layers.Dense(2, name="head")(y)))
    images = rng.normal(size=(20, 8, 8, 3)).astype("float32")
    new = binarize(model, data=images)
    paths = {path: layer for path, layer in named_layers(new)}
    assert paths["outer"] is new.get_layer("outer")
    assert new.get_layer("outer").get_layer("inner").get_layer("conv") is paths["conv"]
    found = [path for path in paths if path.startswith("conv") and "/" not in path]
    assert sorted(found) == ["conv", "conv_activation", "conv_input_norm", "conv_norm"]
    assert_equal(outputs_of(binarize(model, {}), images), outputs_of(model, images))


def test_a_siamese_network_takes_continuous_inputs():
    a, b = keras.Input((5,), name="a"), keras.Input((5,), name="b")
    tower = keras.Sequential(
        [keras.Input((5,)), layers.Dense(4, name="one"), layers.Dense(3, name="two")],
        name="tower",
    )
    model = keras.Model({"a": a, "b": b}, layers.Dot(1)([tower(a), tower(b)]))
    new = binarize(model)
    tower = new.get_layer("tower")
    assert tower.get_layer("one").input_quantizer is None
    assert tower.get_layer("two").input_quantizer is not None


def test_what_follows_and_precedes_is_found_across_nested_models(rng):
    block = keras.Sequential([keras.Input((8, 8, 4)), Conv(4, 3, name="c")], name="b")
    norm = keras.Sequential([keras.Input((6, 6, 4)), BN(name="n")], name="m")
    x = keras.Input((8, 8, 4))
    stem = BN(name="first")(Conv(4, 1, name="stem")(x))
    model = randomized(keras.Model(x, norm(layers.MaxPooling2D(1, 1)(block(stem)))))
    new = binarize(model)
    assert [path for path, _ in named_layers(new) if "norm" in path] == []
    images = rng.normal(size=(9, 8, 8, 4)).astype("float32")
    assert new(images).shape == model(images).shape
    # Twice, and one of the calls has no normalization behind it.
    y = block(stem)
    model = keras.Model(x, [norm(y), block(stem)])
    assert "b/c_norm" in dict(named_layers(binarize(model)))


def test_dicts_of_inputs_and_outputs_keep_their_structure(rng):
    x, y = keras.Input((6,), name="x"), keras.Input((4,), name="y")
    joined = layers.Concatenate()([layers.Dense(3, name="d")(x), y * 2.0])
    out = {"a": layers.Dense(2, activation="softmax", name="e")(joined), "b": joined}
    model = randomized(keras.Model({"x": x, "y": y}, out))
    inputs = {
        "x": rng.normal(size=(50, 6)).astype("float32"),
        "y": rng.normal(size=(50, 4)).astype("float32"),
    }
    new = binarize(model, data=inputs)
    given = new(inputs)
    assert set(given) == {"a", "b"}
    assert new.get_layer("d").input_quantizer is None
    pairs = [inputs["x"], inputs["y"]]
    listed = keras.Model([x, y], [out["a"], out["b"]])
    assert len(binarize(listed, data=pairs)(pairs)) == 2
    same = binarize(model, {})(inputs)
    assert_equal(map(array, same.values()), outputs_of(model, inputs))


def test_inputs_of_nested_models_are_told_apart_by_their_names():
    z, a = keras.Input((5,), name="z"), keras.Input((5,), name="a")
    first, second = layers.Dense(2, name="first")(z), layers.Dense(2, name="second")(a)
    inner = keras.Model([z, a], [first, second], name="inner")
    x = keras.Input((5,))
    hidden = layers.Dense(5, name="stem")(x)
    fed = {"a": BN()(hidden), "z": layers.ReLU()(hidden)}
    new = binarize(keras.Model(x, inner(fed))).get_layer("inner")
    assert [n for n in names_of(new) if "input" in n] == ["first_input_norm"]


def test_a_mask_is_no_input():
    x, kept = keras.Input((6, 4)), keras.Input((6,), dtype="bool")
    hidden = BN(name="n")(layers.Dense(4, name="c")(x), mask=kept)
    model = keras.Model([x, kept], layers.Dense(2, name="d")(hidden))
    assert binarize(model).get_layer("d").input_quantizer is not None


def test_quantized_layers_stay_as_they_are(rng):
    model = chain(
        QuantConv2D(
            4,
            3,
            input_quantizer="ste_tern",
            kernel_quantizer="dorefa_quantizer",
            name="q",
        ),
        layers.Flatten(name="f"),
        layers.Dense(3, name="d"),
        QuantDense(2, kernel_quantizer=quantizers.RotatedSign(), name="r"),
    )
    randomized(model)
    new = binarize(model)
    assert names_of(new) == ["q", "f", "d_input_norm", "d", "d_norm", "r"]
    for name in ("q", "r"):
        assert new.get_layer(name).get_config() == model.get_layer(name).get_config()
        assert_equal(
            new.get_layer(name).get_weights(), model.get_layer(name).get_weights()
        )


def test_padding_values_reach_the_layers_that_take_signs():
    stack = [
        Conv(4, 3, padding="same", name="a"),
        layers.Conv2DTranspose(4, 3, name="t"),
        layers.SeparableConv2D(4, 3, padding="same", name="b"),
    ]
    model = chain(*stack)
    for pad_values in (0, -1):
        new = binarize(model, pad_values=pad_values)
        assert new.get_layer("a").pad_values == 0
        assert new.get_layer("b").pad_values == pad_values
    weights_only = binarize(model, pad_values=1, binarize_inputs=False)
    assert weights_only.get_layer("b").pad_values == 0


def test_what_training_asked_of_a_layer_goes_where_it_belongs():
    def regularized(**options):
        return layers.Dense(
            4, kernel_regularizer="l2", kernel_constraint="non_neg", name="d", **options
        )

    full = {
        "bias_regularizer": keras.regularizers.L1(0.5),
        "bias_constraint": "non_neg",
        "activity_regularizer": "l2",
        "trainable": False,
    }
    new = binarize(chain(regularized(activation="relu", **full), shape=(3,)))
    dense, norm, relu = (new.get_layer(n) for n in ("d", "d_norm", "d_activation"))
    assert dense.kernel_regularizer is None
    assert type(dense.kernel_constraint).__name__ == "WeightClip"
    assert norm.beta_regularizer.l1 == 0.5
    assert isinstance(norm.beta_constraint, keras.constraints.NonNeg)
    assert (dense.activity_regularizer, norm.activity_regularizer) == (None, None)
    assert isinstance(relu.activity_regularizer, keras.regularizers.L2)
    assert [layer.trainable for layer in (dense, norm, relu)] == [False] * 3
    assert new.trainable_weights == []
    # Without an activation the regularizer sees what the normalization returns, also
    # where one follows.
    new = binarize(chain(regularized(**full), BN(name="n"), shape=(3,)))
    assert names_of(new) == ["d", "d_norm", "n"]
    assert isinstance(
        new.get_layer("d_norm").activity_regularizer, keras.regularizers.L2
    )
    plain = binarize(chain(regularized(use_bias=False), shape=(3,)))
    assert plain.get_layer("d_norm").beta_regularizer is None


def test_an_activation_with_weights_is_copied(rng):
    model = chain(
        layers.Dense(4, activation=layers.PReLU(), name="d"),
        layers.Dense(2, activation=lambda x: 2 * x, name="e"),
        shape=(3,),
    )
    x = rng.normal(size=(30, 3)).astype("float32")
    # Keras builds such an activation in the first call only.
    assert binarize(model).get_layer("d_activation").built
    model(x)
    randomized(model)
    for data in (None, x):
        new = binarize(model, data=data)
        relu = new.get_layer("d_activation")
        assert isinstance(relu, layers.PReLU)
        assert_equal(relu.get_weights(), model.get_layer("d").activation.get_weights())
        assert relu is not model.get_layer("d").activation
        assert float(new.get_layer("e_activation").activation(3.0)) == 6
    assert_equal(outputs_of(binarize(model, {}), x), outputs_of(model, x))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_goes_on(policy, rng):
    model = chain(
        Conv(4, 3, activation="relu", dtype=policy, name="c"),
        layers.Flatten(),
        layers.Dense(2, activation="softmax", dtype="float32", name="d"),
    )
    images = rng.normal(size=(30, 8, 8, 3)).astype("float32")
    new = binarize(model, data=images)
    for name in ("c", "c_norm", "c_activation"):
        assert new.get_layer(name).dtype_policy.name == policy
    for name in ("d_input_norm", "d", "d_norm", "d_activation"):
        assert new.get_layer(name).dtype_policy.name == "float32"
    kernel = np.sign(np.float32(model.get_layer("c").get_weights()[0]))
    assert_equal([np.sign(new.get_layer("c").get_weights()[0])], [kernel])
    assert np.isfinite(outputs_of(new, images)[0]).all()


@pytest.mark.skipif(BACKEND == "tensorflow", reason="has no such convolution on a CPU")
def test_channels_first(rng):
    first = {"data_format": "channels_first"}
    model = chain(
        Conv(4, 3, activation="relu", name="c", **first),
        layers.MaxPooling2D(**first),
        Conv(5, 2, name="d", **first),
        layers.MaxPooling2D(1, **first),
        BN(axis=1, name="n"),
        shape=(3, 8, 8),
    )
    images = rng.normal(size=(20, 3, 8, 8)).astype("float32")
    new = binarize(model, data=images)
    assert new.get_layer("c_norm").axis == 1
    assert new.get_layer("d_input_norm").axis == 1
    assert "d_norm" not in names_of(new)
    assert new(images).shape == model(images).shape


def test_the_original_does_not_change(rng):
    x = keras.Input((8, 8, 3))
    y = Conv(4, 3, activation="relu", name="c")(x)
    y = BN(name="n")(y + 1.0)
    model = randomized(keras.Model(x, layers.Dense(2, name="d")(y)))
    model.compile("adam", "mse")
    images = rng.normal(size=(20, 8, 8, 3)).astype("float32")
    before = (model.get_config(), values_of(model), outputs_of(model, images))
    nodes = [len(layer._inbound_nodes) for layer in model.operations]
    new = binarize(model, data=images)
    assert not new.compiled
    assert model.get_config() == before[0]
    assert_equal(values_of(model), before[1])
    assert_equal(outputs_of(model, images), before[2])
    assert [len(layer._inbound_nodes) for layer in model.operations] == nodes
    shared = {id(layer) for layer in model.operations}
    assert not shared & {id(layer) for layer in new.operations}


def test_the_summary_shows_weights_of_one_bit():
    model = chain(Conv(4, 3, name="c"), Conv(4, 3, activation="relu", name="d"))
    summary = models.summary(binarize(model), print_fn=lambda line: None)
    by_name = {layer["name"]: layer["weights"] for layer in summary["layers"]}
    assert by_name["c"] == {"1": 3 * 3 * 3 * 4}
    assert by_name["d"] == {"1": 3 * 3 * 4 * 4}
    found = models.quantized_weights(binarize(model), dtype="int8")
    assert set(found) == {"c/kernel", "d/kernel"}

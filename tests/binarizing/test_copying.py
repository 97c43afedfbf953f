"""Layers that stay as they are compute bit for bit what they did."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from kerasbnn.binarizing import binarize
from kerasbnn.models.layer_paths import named_layers
from tests.binarizing.networks import (
    assert_equal,
    outputs_of,
    randomized,
    values_of,
)
from tests.helpers.gradients import BACKEND


def assert_copied(model, inputs, **options):
    """Copy a model, which has nothing to binarize in it, and compare all."""
    expected = outputs_of(model, inputs)
    new = binarize(model, {}, **options)
    assert type(new) is type(model)
    assert new.name == model.name
    ours, theirs = named_layers(new), named_layers(model)
    for (path, layer), (expected_path, original) in zip(ours, theirs, strict=True):
        assert layer is not original
        if not path.startswith("multi_head_attention/"):
            # Those inside get their names from Keras.
            assert path == expected_path
            assert layer.get_config() == original.get_config()
    assert_equal(values_of(new), values_of(model))
    assert_equal(outputs_of(new, inputs), expected)
    return new


def test_a_network_of_all_kinds_of_layers(rng):
    x = keras.Input((12, 12, 3), name="images")
    y = layers.Conv2D(8, 3, padding="same", activation="relu")(x)
    y = layers.BatchNormalization()(y)
    y = layers.DepthwiseConv2D(3, padding="same")(y)
    y = layers.SeparableConv2D(8, 3, padding="same")(y) + y * 0.5
    y = ops.concatenate([y, ops.relu(y)], axis=-1)
    y = layers.Conv2DTranspose(6, 2, strides=2)(y)
    y = layers.MaxPooling2D(2)(layers.GroupNormalization(2)(y))
    y = layers.Reshape((144, 6))(y)
    y = layers.MultiHeadAttention(2, 4)(y, y)
    y = layers.Bidirectional(layers.SimpleRNN(5, return_sequences=True))(y)
    y = layers.TimeDistributed(layers.Dense(4))(y)
    y = layers.EinsumDense("abc,cd->abd", (None, 3), bias_axes="d")(y)
    y = layers.Conv1D(4, 3, padding="causal")(layers.Dropout(0.4)(y))
    y = layers.GlobalAveragePooling1D()(y)
    model = randomized(keras.Model(x, layers.Dense(3, activation="softmax")(y)))
    assert_copied(model, rng.normal(size=(5, 12, 12, 3)).astype("float32"))


def test_models_in_models_and_their_flags(rng):
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4), layers.BatchNormalization()], name="inner"
    )
    inner.layers[0].trainable = False
    x = keras.Input((4,))
    middle = keras.Model(x, inner(inner(x)), name="middle")
    outer = keras.Sequential(
        [keras.Input((4,)), middle, layers.Dense(2), layers.Dense(2)], name="outer"
    )
    outer.layers[-1].trainable = False
    randomized(outer)
    inputs = rng.normal(size=(5, 4)).astype("float32")
    new = assert_copied(outer, inputs)
    assert [w.path for w in new.trainable_weights] == [
        w.path for w in outer.trainable_weights
    ]
    middle.trainable = False
    frozen = binarize(outer, {})
    assert not frozen.get_layer("middle").trainable
    assert len(frozen.trainable_weights) == len(outer.trainable_weights) == 2
    # An encoder that is part of its own decoder's input.
    code = keras.Model(x, layers.Dense(2, name="code")(x), name="encoder")
    both = keras.Model(x, [code(x), layers.Dense(4)(code.get_layer("code").output)])
    assert_copied(randomized(both), inputs)


class Trained(keras.Model):
    """A functional model with a training step of its own."""

    def train_step(self, *args):
        return super().train_step(*args)


def test_a_class_with_a_training_step_of_its_own_is_kept(rng):
    x = keras.Input((4,))
    model = Trained(x, layers.Dense(2)(x))
    inputs = rng.normal(size=(5, 4)).astype("float32")
    assert type(assert_copied(model, inputs)) is Trained
    assert type(binarize(model)) is Trained


class Scaled(layers.Layer):
    """A layer that is not registered with Keras."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        self.offset = self.add_weight(shape=input_shape[-1:], name="offset")

    def call(self, inputs):
        return self.factor * inputs + self.offset

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


SHIFT = 3.0


def test_layers_and_functions_that_keras_does_not_know(rng):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            Scaled(2.0, name="mine"),
            layers.Dense(3, activation=lambda x: x + SHIFT),
            layers.Lambda(lambda x, by: x * by, arguments={"by": 2.0}),
        ]
    )
    randomized(model)
    inputs = rng.normal(size=(5, 4)).astype("float32")
    expected = outputs_of(model, inputs)
    new = binarize(model, {})
    assert_equal(outputs_of(new, inputs), expected)
    assert_equal(values_of(new), values_of(model))


def test_states_that_are_no_plain_weights(rng):
    inputs = rng.normal(2, 3, size=(50, 4)).astype("float32")
    normalization = layers.Normalization()
    normalization.adapt(inputs)
    model = keras.Sequential([keras.Input((4,)), normalization, layers.Dense(2)])
    new = binarize(model, {})
    assert_equal(outputs_of(new, inputs), outputs_of(model, inputs))
    if BACKEND != "tensorflow":
        return  # Keras' own `adapt` asks for TensorFlow.
    discretization = layers.Discretization(num_bins=3)
    discretization.adapt(inputs)
    model = keras.Sequential([keras.Input((4,)), discretization])
    new = binarize(model, {})
    assert_equal(outputs_of(new, inputs), outputs_of(model, inputs))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="other backends have no strings")
@pytest.mark.parametrize("mode", ["int", "tf_idf"])
def test_vocabularies(mode):
    import tensorflow as tf

    words = tf.constant([["good film"], ["bad film"], ["film"]])
    text = layers.TextVectorization(output_mode=mode)
    text.adapt(words)
    x = keras.Input((1,), dtype="string")
    model = keras.Model(x, text(x))
    new = binarize(model, {})
    assert_equal(outputs_of(new, words), outputs_of(model, words))


@pytest.mark.parametrize("kind", [layers.Dense, layers.Conv1D])
def test_lora(kind, rng):
    arguments = {} if kind is layers.Dense else {"kernel_size": 3}
    layer = kind(4, name="it", **arguments)
    model = keras.Sequential([keras.Input((6, 5)), layer])
    layer.enable_lora(2)
    randomized(model)
    inputs = rng.normal(size=(5, 6, 5)).astype("float32")
    new = binarize(model, {})
    assert_equal(outputs_of(new, inputs), outputs_of(model, inputs))
    assert new.get_layer("it").lora_enabled
    assert [w.path for w in new.trainable_weights] == [
        w.path for w in model.trainable_weights
    ]
    # The signs are those of the sum.
    for data in (None, inputs):
        binary = binarize(model, data=data).get_layer("it")
        assert not binary.lora_enabled
        merged = keras.ops.convert_to_numpy(layer.kernel)
        assert_equal([np.sign(binary.get_weights()[0])], [np.sign(merged)])
    assert not np.array_equal(np.sign(merged), np.sign(layer.get_weights()[1]))


@pytest.mark.skipif(BACKEND == "torch", reason="its int8 products need other hardware")
def test_int8_stays(rng):
    model = keras.Sequential(
        [keras.Input((6,)), layers.Dense(5, name="a"), layers.Dense(4, name="b")]
    )
    randomized(model)
    model.layers[0].quantize("int8")
    inputs = rng.normal(size=(5, 6)).astype("float32")
    new = binarize(model, {"b": "binary"})
    assert new.get_layer("a").quantization_mode == "int8"
    assert_equal(
        outputs_of(keras.Sequential(new.layers[:1]), inputs),
        outputs_of(keras.Sequential(model.layers[:1]), inputs),
    )
    for plan in (None, {"a": "binary"}):
        with pytest.raises(ValueError, match="'a' has been quantized by Keras"):
            binarize(model, plan)


def test_the_copy_trains_on_its_own(rng):
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    before = values_of(model)
    new = binarize(model, {})
    new.compile("sgd", "mse")
    new.fit(np.ones((8, 4)), np.ones((8, 2)), verbose=0)
    assert_equal(values_of(model), before)
    assert not np.array_equal(values_of(new)[0], before[0])

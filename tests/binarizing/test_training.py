"""A trained network on real images: binarized, calibrated, fine-tuned, saved."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasbnn import datasets, models
from kerasbnn.binarizing import binarize
from tests.binarizing.networks import assert_equal, outputs_of, values_of

WORDS = ("binary", "ternary", "rotated")
NAMES = ("conv_1", "block/conv_2", "dense", "head")


@pytest.fixture(scope="module")
def digits():
    return datasets.load_digits()


@pytest.fixture(scope="module")
def trained(digits):
    """A small float network and its accuracy on the images held out."""
    keras.utils.set_random_seed(1)
    block = keras.Sequential(
        [
            keras.Input((8, 8, 16)),
            layers.Conv2D(24, 3, padding="same", use_bias=False, name="conv_2"),
            layers.MaxPooling2D(2),
            layers.BatchNormalization(momentum=0.9, name="bn"),
            layers.ReLU(),
        ],
        name="block",
    )
    inputs = keras.Input((8, 8, 1))
    x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv_1")(inputs)
    x = layers.Flatten()(block(x))
    x = layers.Dense(48, activation="relu", name="dense")(x)
    outputs = layers.Dense(10, activation="softmax", name="head")(x)
    model = keras.Model(inputs, outputs)
    fit(model, digits, epochs=6)
    return model, accuracy(model, digits)


def fit(model, digits, epochs, rate=1e-3):
    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
    )
    return model.fit(
        digits.x_train, digits.y_train, batch_size=50, epochs=epochs, verbose=0
    ).history


def accuracy(model, digits):
    (scores,) = outputs_of(model, digits.x_test)
    return float(np.mean(scores.argmax(axis=-1) == digits.y_test))


def test_the_float_network_is_worth_binarizing(trained):
    assert trained[1] > 0.93


@pytest.mark.parametrize("word", WORDS)
def test_data_makes_up_for_much_of_what_binary_weights_lose(trained, digits, word):
    model, _ = trained
    plan = dict.fromkeys(NAMES[1:], word)
    new = binarize(model, plan, data=digits.x_train, binarize_inputs=False)
    assert accuracy(new, digits) > 0.8


def test_with_signs_as_inputs_data_is_what_makes_a_network_predict(trained, digits):
    model, _ = trained
    plan = {"block/conv_2": "binary", "dense": "binary"}
    with_data = accuracy(binarize(model, plan, data=digits.x_train), digits)
    without = accuracy(binarize(model, plan), digits)
    assert with_data > without + 0.2
    assert with_data > 0.6


@pytest.mark.parametrize(
    "word",
    ["binary", *(pytest.param(word, marks=pytest.mark.slow) for word in WORDS[1:])],
)
def test_fine_tuning_brings_most_of_the_accuracy_back(trained, digits, word, tmp_path):
    model, before = trained
    weights = values_of(model)
    new = binarize(model, dict.fromkeys(NAMES, word), data=digits.x_train)
    latents = new.get_layer("dense").get_weights()[0]
    history = fit(new, digits, epochs=6)
    models.refit_batchnorm(new, digits.x_train, verbose=0)
    assert history["loss"][-1] < 0.7 * history["loss"][0]
    assert accuracy(new, digits) > before - 0.08
    trained_latents = new.get_layer("dense").get_weights()[0]
    assert np.abs(trained_latents).max() <= 1
    assert (np.sign(trained_latents) != np.sign(latents)).mean() > 0.01
    # The float network knows nothing of it.
    assert_equal(values_of(model), weights)

    path = tmp_path / "binary.keras"
    new.save(path)
    loaded = keras.saving.load_model(path)
    assert_equal(outputs_of(loaded, digits.x_test), outputs_of(new, digits.x_test))


def test_a_saved_network_goes_on_where_it_was_before_any_training(
    trained, digits, tmp_path
):
    new = binarize(trained[0], data=digits.x_train)
    new.save(tmp_path / "binary.keras")
    loaded = keras.saving.load_model(tmp_path / "binary.keras")
    assert_equal(outputs_of(loaded, digits.x_test), outputs_of(new, digits.x_test))
    weights = models.quantized_weights(loaded, dtype="int8")
    assert {f"{name}/kernel" for name in NAMES} == set(weights)
    for name in NAMES:
        owner = trained[0]
        for part in name.split("/"):
            owner = owner.get_layer(part)
        signs = np.where(owner.get_weights()[0] >= 0, 1, -1)
        np.testing.assert_array_equal(weights[f"{name}/kernel"], signs)

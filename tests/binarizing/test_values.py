"""What the new network computes, against the float one."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasbnn import models, quantizers
from kerasbnn.binarizing import binarize
from kerasbnn.models.call_tracing import trace_calls
from tests.binarizing.networks import (
    assert_equal,
    of_two_values,
    outputs_of,
    randomized,
    values_of,
)
from tests.helpers.gradients import array
from tests.helpers.layer_cases import CASES

BN = layers.BatchNormalization
WEIGHTS_ONLY = {"binarize_inputs": False}


@pytest.fixture
def images(rng):
    return rng.normal(size=(120, 7, 6, 3)).astype("float32")


def with_signs():
    """A network of which every layer but the first takes signs already."""
    return of_two_values(
        keras.Sequential(
            [
                keras.Input((7, 6, 3)),
                layers.Conv2D(6, 3, padding="same", name="conv_1"),
                layers.MaxPooling2D(2, padding="same"),
                BN(name="bn"),
                quantizers.SteSign(),
                layers.Conv2D(5, 2, name="conv_2"),
                quantizers.SteSign(),
                layers.Flatten(),
                layers.Dense(4, activation="softmax", name="head"),
            ]
        )
    )


@pytest.mark.parametrize("plan", [None, {"conv_1": "binary", "head": "binary"}])
@pytest.mark.parametrize("sequential", [False, True])
def test_two_valued_weights_and_signs_keep_their_outputs(images, plan, sequential):
    model = with_signs()
    models.refit_batchnorm(model, images, sequential=True, verbose=0)
    batch_size = 25 if sequential else 120
    binary = binarize(
        model, plan, data=images, batch_size=batch_size, sequential=sequential
    )
    assert_equal(
        outputs_of(binary, images), outputs_of(model, images), rtol=2e-4, atol=2e-5
    )
    # Without data the normalizations are made for just that.
    plain = binarize(model, plan)
    assert_equal(
        outputs_of(plain, images), outputs_of(model, images), rtol=2e-4, atol=2e-5
    )


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("word", ["binary", "ternary", "rotated"])
def test_latents_and_scale_of_every_kind_of_layer(case, word, rng):
    layer = case.keras_class(**case.arguments, name="it")
    model = randomized(keras.Sequential([keras.Input(case.input_shape[1:]), layer]))
    new = binarize(model, {"it": word})
    quantized, norm = new.get_layer("it"), new.get_layer("it_norm")
    assert type(quantized) is case.layer_class
    for kernel, quantizer, constraint, _ in case.kernels:
        trained = array(getattr(layer, kernel))
        latents = array(getattr(quantized, kernel))
        np.testing.assert_array_equal(np.sign(latents), np.sign(trained))
        assert np.abs(latents).max() <= 1
        kinds = {
            "binary": quantizers.SteSign,
            "ternary": quantizers.SteTern,
            "rotated": quantizers.RotatedSign,
        }
        assert type(getattr(quantized, quantizer)) is kinds[word]
        assert getattr(quantized, constraint).clip_value == 1
    # The normalization turns the outputs into those of the float layer, but for what
    # quantization does: least squares leave a remainder that is orthogonal to them.
    x = rng.normal(size=(300, *case.input_shape[1:])).astype("float32")
    (ours,), (theirs,) = outputs_of(new, x), outputs_of(model, x)
    bias = array(layer.bias)
    a, b = (ours - bias).ravel(), (theirs - bias).ravel()
    if "Separable" not in case.name:
        assert (a @ b) / (a @ a) == pytest.approx(1, abs=0.12)
    # Not less than the angle of 37 degrees, twice for two kernels.
    assert np.corrcoef(a, b)[0, 1] > (0.55 if len(case.kernels) == 2 else 0.75)
    z = array(quantized(x))
    alike = array(norm.moving_variance) / z.var(axis=tuple(range(z.ndim - 1)))
    if "Transpose" not in case.name:
        np.testing.assert_allclose(alike, 1, rtol=0.5)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_two_valued_weights_of_every_kind_of_layer(case, rng):
    layer = case.keras_class(**case.arguments, name="it", activation="relu")
    model = keras.Sequential([keras.Input(case.input_shape[1:]), layer])
    randomized(model)
    for kernel, _, _, axes in case.kernels:
        variable = getattr(layer, kernel)
        shape = [
            n if i - len(variable.shape) in axes else 1
            for i, n in enumerate(variable.shape)
        ]
        signs = rng.choice([-1.0, 1.0], size=variable.shape)
        if kernel == "depthwise_kernel":
            # Different magnitudes would be lost in the binary pointwise kernel.
            shape = [1]
        variable.assign(signs * rng.uniform(0.1, 2, size=shape))
    x = rng.normal(size=(40, *case.input_shape[1:])).astype("float32")
    for data in (None, x):
        new = binarize(model, data=data)
        assert_equal(outputs_of(new, x), outputs_of(model, x), rtol=1e-3, atol=1e-4)


def float_network(images):
    model = keras.Sequential(
        [
            keras.Input((7, 6, 3)),
            layers.Conv2D(8, 3, padding="same", activation="relu", name="conv_1"),
            layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv_2"),
            layers.MaxPooling2D(2),
            BN(name="bn"),
            layers.ReLU(),
            layers.Flatten(),
            layers.Dense(5, activation="tanh", name="head"),
        ]
    )
    randomized(model, spread=0.3)
    models.refit_batchnorm(model, images, verbose=0)
    return model


@pytest.mark.parametrize("options", [{}, WEIGHTS_ONLY], ids=["signs", "weights"])
def test_outputs_start_with_the_statistics_of_the_float_layers(images, options):
    model = float_network(images)
    new = binarize(model, data=images, sequential=True, batch_size=50, **options)
    with trace_calls(new) as calls:
        new(images)
    by_path = {call.path: call for call in calls}
    with trace_calls(model) as calls:
        model(images)
    inputs = {call.path: array(call.inputs[0]) for call in calls}
    for name in ("conv_1", "head"):
        layer = model.get_layer(name)
        linear = type(layer).from_config({**layer.get_config(), "activation": None})
        linear.build(inputs[name].shape)
        linear.set_weights(layer.get_weights())
        expected = array(linear(inputs[name].astype("float32")))
        given = array(by_path[f"{name}_norm"].output_tensors[0])
        axes = tuple(range(expected.ndim - 1))
        np.testing.assert_allclose(
            given.mean(axes), expected.mean(axes), rtol=1e-3, atol=1e-4
        )
        np.testing.assert_allclose(given.std(axes), expected.std(axes), rtol=2e-3)
    # All the others were refitted: their outputs have the mean and deviation they name.
    for name in ("bn", *([] if options else ["conv_2_input_norm", "head_input_norm"])):
        norm = new.get_layer(name)
        given = array(by_path[name].inputs[0])
        axes = tuple(range(given.ndim - 1))
        np.testing.assert_allclose(
            array(norm.moving_mean), given.mean(axes), rtol=1e-4, atol=1e-4
        )
        np.testing.assert_allclose(
            array(norm.moving_variance), given.var(axes), rtol=1e-3, atol=1e-5
        )


def test_what_is_measured_is_the_float_network(rng):
    x = rng.normal(size=(200, 6)).astype("float32")
    stack = [
        layers.Dense(6, name=f"d{i}", activation=layers.PReLU() if i == 2 else None)
        for i in range(6)
    ]
    model = keras.Sequential([keras.Input((6,)), *stack])
    model(x)
    randomized(model)
    new = binarize(model, data=x)
    values = np.float64(x)
    for layer in stack:
        kernel, bias = (array(w) for w in (layer.kernel, layer.bias))
        values = values @ kernel + bias
        norm = new.get_layer(f"{layer.name}_norm")
        np.testing.assert_allclose(
            array(norm.beta), values.mean(axis=0), rtol=1e-4, atol=1e-5
        )
        alpha = np.abs(kernel).mean(axis=0)
        np.testing.assert_allclose(
            array(norm.gamma), np.sqrt(values.var(axis=0) + 1e-3 * alpha**2), rtol=1e-4
        )
        if layer.name == "d2":
            slopes = array(layer.activation.alpha)
            values = np.where(values > 0, values, slopes * values)


@pytest.mark.parametrize("names", [["conv_1"], ["conv_2"], ["head"], None])
def test_with_binary_weights_alone_the_outputs_are_much_as_before(images, names):
    model = float_network(images)
    (expected,) = outputs_of(model, images)
    plan = names and dict.fromkeys(names, "binary")
    for data in (None, images):
        (given,) = outputs_of(binarize(model, plan, data=data, **WEIGHTS_ONLY), images)
        correlations = [
            np.corrcoef(a, b)[0, 1] for a, b in zip(given.T, expected.T, strict=True)
        ]
        # About 0.8 per layer with random weights and inputs.
        assert np.median(correlations) > (0.5 if names else 0.3)


def test_statistics_of_a_following_normalization_are_rescaled(images):
    model = randomized(
        keras.Sequential(
            [
                keras.Input((7, 6, 3)),
                layers.Conv2D(4, 3, name="conv"),
                layers.MaxPooling2D(2),
                BN(epsilon=0.1, name="bn"),
            ]
        )
    )
    conv, bn = model.get_layer("conv"), model.get_layer("bn")
    kernel, bias = (array(w) for w in conv.weights)
    gamma, beta, mean, variance = (array(w) for w in bn.weights)
    new = binarize(model)
    alpha = np.abs(kernel).mean(axis=(0, 1, 2))
    signs = np.where(kernel >= 0, 1.0, -1.0)
    approximate = keras.Sequential(
        [keras.Input((7, 6, 3)), *map(copy_of, model.layers)]
    )
    approximate.set_weights([alpha * signs, bias, gamma, beta, mean, variance])
    assert_equal(
        outputs_of(new, images), outputs_of(approximate, images), rtol=1e-4, atol=1e-4
    )
    names = ["/".join(w.path.split("/")[-2:]) for w in new.weights]
    statistics = ["bn/moving_mean", "bn/moving_variance"]
    assert names == ["conv/kernel", "bn/gamma", "bn/beta", *statistics]
    assert_equal(new.get_weights()[1:3], [gamma, beta], rtol=1e-7)


def copy_of(layer):
    return type(layer).from_config(layer.get_config())


@pytest.mark.parametrize("word", ["binary", "ternary", "rotated"])
@pytest.mark.parametrize("data", [False, True])
@pytest.mark.parametrize("follows", [False, True])
def test_filters_of_zeros_survive(word, data, follows, images):
    stack = [keras.Input((7, 6, 3)), layers.Conv2D(4, 3, name="conv")]
    model = randomized(keras.Sequential(stack + [BN(name="bn")] * follows))
    conv = model.get_layer("conv")
    kernel = np.array(conv.get_weights()[0])
    kernel[..., 1] = 0
    kernel[..., 2] = 1e-30
    conv.kernel.assign(kernel)
    new = binarize(model, {"conv": word}, data=images if data else None)
    assert all(np.isfinite(values).all() for values in values_of(new))
    (given,), (expected,) = outputs_of(new, images), outputs_of(model, images)
    assert np.isfinite(given).all()
    if not follows:
        # Nothing but the bias comes out of zeros.
        np.testing.assert_allclose(given[..., 1], expected[..., 1], rtol=1e-6)
    # The other filters know nothing of it.
    assert np.corrcoef(given[..., 0].ravel(), expected[..., 0].ravel())[0, 1] > 0.6


def test_a_kernel_of_nothing_but_zeros_survives(images):
    model = keras.Sequential(
        [keras.Input((7, 6, 3)), layers.Conv2D(4, 3, kernel_initializer="zeros")]
    )
    for word in ("binary", "ternary", "rotated"):
        for data in (None, images):
            new = binarize(model, {model.layers[0].name: word}, data=data)
            assert_equal(outputs_of(new, images), [np.zeros((120, 5, 4, 4))])


def correlated(rng, count=4000):
    """Images whose pixels and channels are much alike, as those of photographs are."""
    base = rng.normal(size=(count, 1, 1, 1))
    return (base + 0.4 * rng.normal(size=(count, 5, 5, 2))).astype("float32")


@pytest.mark.parametrize("follows", [False, True])
def test_whitened_layers_are_fitted_to_the_inputs_that_they_meet(follows, rng):
    x = correlated(rng)
    model = randomized(
        keras.Sequential(
            [
                keras.Input((5, 5, 2)),
                layers.Conv2D(6, 2, name="conv"),
                *[BN(name="bn")] * follows,
            ]
        )
    )
    kernel = array(model.get_layer("conv").kernel)
    # Filters that look at what differs are those that plain signs do harm to.
    kernel -= kernel.mean(axis=(0, 1, 2))
    model.get_layer("conv").kernel.assign(kernel)
    if follows:
        models.refit_batchnorm(model, x, verbose=0)
    (expected,) = outputs_of(model, x)

    def correlations(word):
        (given,) = outputs_of(binarize(model, {"conv": word}, data=x), x)
        rows = zip(given.reshape(-1, 6).T, expected.reshape(-1, 6).T, strict=True)
        return [np.corrcoef(a, b)[0, 1] for a, b in rows]

    assert np.median(correlations("whitened")) > 0.7
    assert np.median(correlations("whitened")) > np.median(correlations("binary")) + 0.1

    new = binarize(model, {"conv": "whitened"}, data=x)
    windows = np.lib.stride_tricks.sliding_window_view(x, (2, 2), axis=(1, 2))
    patches = np.moveaxis(windows, 3, -1).reshape(-1, 8)
    covariance = np.cov(patches.T)
    values, vectors = np.linalg.eigh(covariance * 8 / np.trace(covariance))
    root = vectors * np.sqrt(values) @ vectors.T
    signs = np.where(root @ kernel.reshape(8, 6) >= 0, 1.0, -1.0)
    (weights,) = models.quantized_weights(new).values()
    # The quantizer saw a sample of the patches.
    by_hand = np.linalg.solve(root, signs).ravel()
    assert np.corrcoef(weights.reshape(8, 6).ravel(), by_hand)[0, 1] > 0.99
    (given,) = outputs_of(new, x)
    np.testing.assert_allclose(
        given.mean((0, 1, 2)), expected.mean((0, 1, 2)), rtol=1e-3, atol=1e-3
    )
    # The normalization of the model adds its epsilon to a variance that is another now.
    np.testing.assert_allclose(
        given.std((0, 1, 2)), expected.std((0, 1, 2)), rtol=1e-2 if follows else 2e-3
    )


def test_whitening_of_layers_that_take_signs(images):
    model = float_network(images)
    plan = {"conv_1": "binary", "conv_2": "whitened", "head": "whitened"}
    new = binarize(model, plan, data=images)
    for name in ("conv_2", "head"):
        layer = new.get_layer(name)
        assert isinstance(layer.input_quantizer, quantizers.SteSign)
        plain = np.abs(models.quantized_weights(new)[f"{name}/kernel"])
        assert plain.std() > 0.01
    assert np.isfinite(outputs_of(new, images)[0]).all()

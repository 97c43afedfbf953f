"""Training: gradients reach the latent weights, signs change, a problem is learnt."""

import keras
import numpy as np
import pytest

from kerasbnn import QuantConv2D, QuantDense
from tests.helpers import references
from tests.helpers.gradients import BACKEND, array, tensor, weight_gradients
from tests.helpers.layer_cases import BY_NAME
from tests.helpers.training import make_step, separable_points, squared_hinge

# JAX without compilation runs each operation by itself.
SLOW_ON_JAX = [pytest.mark.slow] if BACKEND == "jax" else []
NOT_ON_TORCH = pytest.mark.skipif(
    BACKEND == "torch", reason="torch compiles for minutes; a test of its own has it"
)
BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}


def binary_network(kind):
    """The same two binary layers as three kinds of model."""
    layers = [
        QuantDense(32, **BINARY),
        keras.layers.BatchNormalization(),
        QuantDense(1, **BINARY),
        keras.layers.BatchNormalization(),
    ]
    if kind == "sequential":
        return keras.Sequential([keras.Input((8,)), *layers])
    if kind == "functional":
        inputs = outputs = keras.Input((8,))
        for layer in layers:
            outputs = layer(outputs)
        return keras.Model(inputs, outputs)

    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = layers

        def call(self, inputs, training=False):
            for layer in self.blocks:
                inputs = layer(inputs, training=training)
            return inputs

    model = Subclassed()
    model(np.zeros((1, 8), "float32"))
    return model


def quant_layers(model):
    return [layer for layer in model._flatten_layers() if isinstance(layer, QuantDense)]


def signs(model):
    return [references.sign(array(layer.kernel.value)) for layer in quant_layers(model)]


def accuracy(model, x, y):
    return np.mean(references.sign(array(model(x, training=False))) == y)


@pytest.mark.parametrize(
    ("kind", "jit_compile"),
    [
        ("sequential", "auto"),
        ("functional", "auto"),
        ("subclassed", "auto"),
        pytest.param("functional", False, marks=SLOW_ON_JAX),
        pytest.param("functional", True, marks=NOT_ON_TORCH),
    ],
)
def test_fit(kind, jit_compile):
    x, y = separable_points()
    model = binary_network(kind)
    model.compile(keras.optimizers.Adam(0.02), "squared_hinge", jit_compile=jit_compile)
    before = signs(model)
    model.fit(x, y, epochs=15, batch_size=32, verbose=0)
    for layer, old, new in zip(quant_layers(model), before, signs(model), strict=True):
        latent = array(layer.kernel.value)
        assert np.any(old != new)
        assert np.abs(latent).max() <= 1
        np.testing.assert_array_equal(array(layer.quantize_kernel()), new)
    assert accuracy(model, x, y) >= 0.95


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "torch", reason="for torch's compiler alone")
@pytest.mark.filterwarnings("ignore")  # of torch's own code
def test_fit_compiled_by_torch():
    layer = QuantDense(4, **BINARY)
    model = keras.Sequential([keras.Input((8,)), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=True)
    before = array(layer.kernel.value)
    x, y = separable_points(count=8)
    model.fit(x, y, verbose=0)
    assert np.any(array(layer.kernel.value) != before)


@pytest.mark.parametrize("kind", ["sequential", "functional", "subclassed"])
def test_a_training_loop_of_the_users_own(kind):
    x, y = separable_points()
    model = binary_network(kind)
    step = make_step(model, keras.optimizers.Adam(0.02), squared_hinge)
    before, order = signs(model), np.random.default_rng(1)
    losses = []
    for _ in range(12):
        for batch in np.array_split(order.permutation(len(x)), 8):
            losses.append(step(x[batch], y[batch]))
    assert all(
        np.any(old != new) for old, new in zip(before, signs(model), strict=True)
    )
    assert np.mean(losses[-8:]) < 0.5 * np.mean(losses[:8])
    assert accuracy(model, x, y) >= 0.95


@pytest.mark.parametrize("name", BY_NAME)
def test_gradients_of_every_layer_go_straight_through(name, rng):
    """The gradient to the latents is that of a float layer with the signs as kernel."""
    case = BY_NAME[name]
    layer = case.make()
    layer.build(case.input_shape)
    twin = case.keras_class(**case.arguments)
    twin.build(case.input_shape)
    twin_weights = list(layer.get_weights())
    masks = []
    for i, latent in enumerate(case.latents(layer)):
        w = rng.normal(size=latent.shape)
        getattr(layer, case.kernels[i][0]).assign(w)
        twin_weights[i] = references.sign(w).astype("float32")
        masks.append(np.abs(w) <= 1)
        assert 0 < masks[-1].mean() < 1
    twin.set_weights(twin_weights)
    x = tensor(rng.normal(size=case.input_shape))
    upstream = rng.normal(size=array(twin(x)).shape)
    found = weight_gradients(layer, x, upstream)
    expected = weight_gradients(twin, x, upstream)
    for i, mask in enumerate(masks):
        expected[i] = expected[i] * mask
    for gradient, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(gradient, wanted, rtol=1e-5, atol=1e-5)
        assert np.any(gradient != 0)


@pytest.mark.parametrize("name", BY_NAME)
def test_fit_moves_every_kernel(name, rng):
    case = BY_NAME[name]
    layer = case.make(input_quantizer="ste_sign")
    model = keras.Sequential([keras.Input(case.input_shape[1:]), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = case.latents(layer)
    x = rng.normal(size=(8, *case.input_shape[1:])).astype("float32")
    y = rng.normal(size=(8, *layer.output.shape[1:])).astype("float32")
    model.fit(x, y, batch_size=4, verbose=0)
    for old, new in zip(before, case.latents(layer), strict=True):
        assert np.mean(old != new) > 0.5
        assert np.any(references.sign(old) != references.sign(new))


def test_a_convolution_learns_the_direction_of_stripes():
    rng = np.random.default_rng(0)
    stripes = np.where(np.arange(7) % 2 == 0, 1.0, -1.0)
    x = np.empty((256, 6, 6, 1), "float32")
    for i, image in enumerate(x):
        phase = rng.integers(2)
        image[..., 0] = stripes[phase : phase + 6]
        if i % 2:
            image[..., 0] = image[..., 0].T
    x *= np.where(rng.random(x.shape) < 0.1, -1, 1)
    y = np.where(np.arange(256) % 2, 1.0, -1.0).astype("float32")[:, None]
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            QuantConv2D(8, 2, **BINARY),
            keras.layers.ReLU(),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(1),
        ]
    )
    model.compile(keras.optimizers.Adam(0.03), "squared_hinge")
    before = references.sign(array(model.layers[0].kernel.value))
    model.fit(x, y, epochs=8, batch_size=32, verbose=0)
    assert np.any(before != references.sign(array(model.layers[0].kernel.value)))
    assert accuracy(model, x, y) >= 0.95

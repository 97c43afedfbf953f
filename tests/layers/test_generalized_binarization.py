"""The layer that binarizes in another basis, against matrices written out."""

import keras
import numpy as np
import pytest

from kerasbnn import geometry
from kerasbnn.geometry.hadamard import hadamard_rotation
from kerasbnn.geometry.rotation import haar_rotation
from kerasbnn.geometry.whitening import whitening_from_samples
from kerasbnn.layers import GeneralizedBinarization
from tests.helpers import references
from tests.helpers.gradients import (
    BACKEND,
    array,
    tensor,
    value_and_gradient,
    weight_gradients,
)
from tests.helpers.keras_harness import run_layer_test

ROTATIONS = {"haar": haar_rotation, "hadamard": hadamard_rotation}
ROTATIONS["learned"] = haar_rotation  # where it starts
KINDS = [*ROTATIONS, "whitening"]


def correlated(shape, rng):
    """Samples whose components along the last axis are correlated and off 0."""
    mix = 0.5 * np.eye(shape[-1]) + 0.5
    return (rng.normal(size=shape) @ mix + np.arange(shape[-1])).astype("float32")


def make_layer(kind, data, **arguments):
    """A built layer; the whitening one is adapted to the data."""
    layer = GeneralizedBinarization(kind, seed=7, **arguments)
    if kind == "whitening":
        layer.adapt(data)
    else:
        layer.build(data.shape)
    return layer


@pytest.mark.parametrize("d", [1, 8, 27])
@pytest.mark.parametrize("kind", ROTATIONS)
@pytest.mark.parametrize("clip_value", [0.5, None])
def test_rotated_values_and_gradients(kind, d, clip_value, rng):
    matrix = ROTATIONS[kind](d, seed=7).matrix()
    x, upstream = rng.normal(size=(6, d)), rng.normal(size=(6, d))
    layer = make_layer(kind, x, clip_value=clip_value)
    outputs, gradient = value_and_gradient(layer, tensor(x), upstream)
    rotated = x @ matrix.T
    np.testing.assert_allclose(
        array(outputs), references.sign(rotated) @ matrix, atol=1e-5
    )
    through = references.straight_through(rotated, upstream @ matrix.T, clip_value)
    np.testing.assert_allclose(array(gradient), through @ matrix, atol=1e-5)
    sizes = {"haar": d * d, "hadamard": len(matrix), "learned": 2 * d * d}
    assert layer.count_params() == sizes[kind]
    trainable = sum(np.prod(v.shape) for v in layer.trainable_variables)
    assert trainable == (d * d if kind == "learned" else 0)


@pytest.mark.parametrize("clip_value", [1.0, None])
def test_whitened_values_and_gradients(clip_value, rng):
    data, x = correlated((300, 5), rng), correlated((6, 5), rng)
    upstream = rng.normal(size=x.shape)
    layer = make_layer("whitening", data, clip_value=clip_value, regularization=0.05)
    outputs, gradient = value_and_gradient(layer, tensor(x), upstream)
    mean = data.astype("float64").mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(data.astype("float64").T))
    values = np.maximum(values, 0.05 * values.mean())
    root = vectors @ np.diag(values**0.5) @ vectors.T
    inverse = np.linalg.inv(root)
    white = (x - mean) @ inverse
    np.testing.assert_allclose(
        array(outputs), mean + references.sign(white) @ root, rtol=1e-4, atol=1e-4
    )
    through = references.straight_through(white, upstream @ root, clip_value)
    np.testing.assert_allclose(array(gradient), through @ inverse, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((4, 6), 1), ((2, 3, 5), -1), ((2, 5, 3), 1), ((2, 3, 5, 4), -2)],
)
def test_any_axis(kind, shape, axis, rng):
    x = rng.normal(size=shape).astype("float32")
    layer = make_layer(kind, x, axis=axis)
    outputs = layer(tensor(x))
    assert tuple(outputs.shape) == shape == layer.compute_output_shape(shape)
    last = np.moveaxis(x, axis, -1)
    rows = last.reshape(-1, last.shape[-1])
    if kind == "whitening":
        expected = whitening_from_samples(rows).binarize(rows)
    else:
        matrix = ROTATIONS[kind](rows.shape[-1], seed=7).matrix()
        expected = references.sign(rows @ matrix.T) @ matrix
    expected = np.moveaxis(expected.reshape(last.shape), -1, axis)
    np.testing.assert_allclose(array(outputs), expected, atol=1e-4)


def test_one_hot_vectors_keep_their_direction():
    layer = GeneralizedBinarization("hadamard")
    outputs = array(layer(tensor(np.eye(27))))
    np.testing.assert_allclose(outputs, np.eye(27) * 32**0.5, atol=1e-5)


def test_bad_scales_are_repaired(rng):
    x = rng.normal(size=(1000, 100)) * np.exp(0.1 * (np.arange(100) - 50))
    for kind in ("haar", "hadamard", "learned"):
        outputs = array(make_layer(kind, x)(tensor(x)))
        assert np.mean(geometry.angle_degrees(x, outputs)) < 37.5
    plain = geometry.angle_degrees(x, references.sign(x))
    assert np.mean(plain) > 67


@pytest.mark.parametrize("kind", KINDS)
def test_saved_and_loaded_bit_by_bit(kind, tmp_path, rng):
    x = correlated((20, 6), rng)
    model = keras.Sequential([keras.Input((6,)), make_layer(kind, x)])
    expected = array(model(tensor(x)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].get_config() == model.layers[0].get_config()
    for old, new in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(array(old.value), array(new.value))
    np.testing.assert_array_equal(array(loaded(tensor(x))), expected)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(array(clone(tensor(x))), expected)
    model.save_weights(tmp_path / "model.weights.h5")
    other = keras.Sequential([keras.Input((6,)), GeneralizedBinarization(kind)])
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(array(other(tensor(x))), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_trains_in_a_model(kind, rng):
    x = correlated((64, 6), rng)
    y = (x[:, :1] > x[:, 1:2]).astype("float32")
    layer = make_layer(kind, x)
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(6), layer, keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.03), "mse")
    before = [array(v.value) for v in model.trainable_variables]
    fixed = [array(v.value) for v in layer.non_trainable_variables]
    # The last batch is of another size.
    history = model.fit(x, y, batch_size=20, epochs=12, verbose=0)
    assert history.history["loss"][-1] < 0.6 * history.history["loss"][0]
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert np.any(old != array(new.value))
    for old, new in zip(fixed, layer.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(old, array(new.value))


def test_a_learned_rotation_finds_the_basis_and_stays_orthogonal(rng):
    d = 8
    hidden = haar_rotation(d, seed=3).matrix()
    x = (rng.choice([-1.0, 1.0], size=(512, d)) @ hidden).astype("float32")
    layer = make_layer("learned", x)
    model = keras.Sequential([keras.Input((d,)), layer])
    model.compile(keras.optimizers.Adam(0.02), "mse")

    def angle():
        return np.mean(geometry.angle_degrees(x, array(model(tensor(x)))))

    before = angle()
    model.fit(x, x, batch_size=64, epochs=40, verbose=0)
    # The outputs of one-hot signs are rows of the rotation.
    rotation = array(layer._rotation.matrix("float32"))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(d), atol=1e-5)
    assert np.abs(rotation - haar_rotation(d, seed=7).matrix()).max() > 0.1
    assert before > 25
    assert angle() < 5


def test_the_gradient_reaches_the_learned_rotation(rng):
    x, upstream = rng.normal(size=(6, 4)), rng.normal(size=(6, 4))
    layer = make_layer("learned", x, clip_value=None)
    generator = 0.3 * rng.normal(size=(4, 4))
    layer.trainable_variables[0].assign(generator)
    start = haar_rotation(4, seed=7).matrix()

    def rotation(generator):
        skew = (generator - generator.T) / 2
        return np.linalg.solve(np.eye(4) + skew, np.eye(4) - skew) @ start

    signs = references.sign(x @ rotation(generator).T)
    np.testing.assert_allclose(
        array(layer(tensor(x))), signs @ rotation(generator), atol=1e-5
    )
    # Straight through: the signs change as R x does.
    fixed = signs - x @ rotation(generator).T

    def loss(generator):
        matrix = rotation(generator)
        return np.sum(upstream * ((x @ matrix.T + fixed) @ matrix))

    expected, step = np.empty((4, 4)), 1e-6
    for index in np.ndindex(4, 4):
        moved = np.zeros((4, 4))
        moved[index] = step
        expected[index] = (loss(generator + moved) - loss(generator - moved)) / 2e-6
    (found,) = weight_gradients(layer, tensor(x), upstream)
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "bfloat16"])
def test_other_dtype_policies(kind, policy, rng):
    data = rng.normal(size=(50, 6)).astype("float32")
    layer = make_layer(kind, data, dtype=policy)
    inputs = keras.Input((6,), dtype="float32")
    model = keras.Model(inputs, layer(inputs))
    outputs = model(tensor(data))
    dtype = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    assert model.outputs[0].dtype == dtype
    # The basis keeps its precision, so only inputs and outputs are rounded.
    exact = make_layer(kind, data)
    expected = array(exact(tensor(array(tensor(data, dtype)))))
    np.testing.assert_allclose(array(outputs), expected, rtol=0.01, atol=0.01)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has no float64 by default")
def test_float64(rng):
    data = rng.normal(size=(50, 5))
    layer = make_layer("haar", data, dtype="float64")
    matrix = haar_rotation(5, seed=7).matrix()
    np.testing.assert_allclose(
        array(layer(tensor(data, "float64"))),
        references.sign(data @ matrix.T) @ matrix,
        # On PyTorch Keras multiplies matrices in float32 at most.
        atol=1e-12 if BACKEND == "tensorflow" else 1e-6,
    )


def test_integers_will_do(rng):
    x = rng.integers(-9, 9, size=(5, 4))
    layer = GeneralizedBinarization("haar", seed=7)
    matrix = haar_rotation(4, seed=7).matrix()
    expected = references.sign(x @ matrix.T) @ matrix
    np.testing.assert_allclose(array(layer(x)), expected, atol=1e-5)


def test_masks_pass_through():
    inputs = keras.Input((None, 3))
    masked = keras.layers.Masking()(inputs)
    binarized = GeneralizedBinarization("hadamard", seed=0)(masked)
    outputs = keras.layers.GlobalAveragePooling1D()(binarized)
    x = np.array([[[1.0, -2.0, 3.0], [0.0, 0.0, 0.0]]], "float32")
    model = keras.Model(inputs, outputs)
    # Without the mask the second step would count too.
    np.testing.assert_allclose(array(model(x)), array(model(x[:, :1])), atol=1e-6)


@pytest.mark.skipif(BACKEND == "torch", reason="torch's compiler takes a minute each")
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_and_eager_outputs_agree(kind, rng):
    x = correlated((9, 6), rng)
    model = keras.Sequential([keras.Input((6,)), make_layer(kind, x)])
    model.compile(jit_compile=True)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), array(model(tensor(x))), atol=1e-5
    )


@pytest.mark.filterwarnings("ignore:The model does not have any trainable weights")
@pytest.mark.parametrize("kind", ROTATIONS)
def test_keras_own_checks(kind):
    run_layer_test(
        GeneralizedBinarization,
        {"rotation": kind, "axis": 1, "seed": 3, "clip_value": None},
        input_shape=(2, 6, 3),
        expected_output_shape=(2, 6, 3),
        expected_num_trainable_weights=int(kind == "learned"),
        expected_num_non_trainable_weights=1,
        expected_num_losses=0,
    )


def test_a_seed_fixes_the_rotation(rng):
    x = tensor(rng.normal(size=(9, 6)))
    first, same = (GeneralizedBinarization("haar", seed=1)(x) for _ in range(2))
    np.testing.assert_array_equal(array(first), array(same))
    others = [GeneralizedBinarization("haar") for _ in range(2)]
    assert np.any(array(others[0](x)) != array(others[1](x)))
    again = GeneralizedBinarization.from_config(others[0].get_config())
    np.testing.assert_array_equal(array(again(x)), array(others[0](x)))


@pytest.mark.parametrize(
    ("axis", "error", "message"),
    [
        ("last", TypeError, "must be one int"),
        (1.0, TypeError, "must be one int"),
        (True, TypeError, "must be one int"),
        ((1, 2), TypeError, "must be one int"),
        (0, ValueError, "axis of the batch"),
    ],
)
def test_wrong_axes(axis, error, message):
    with pytest.raises(error, match=message):
        GeneralizedBinarization(axis=axis)


@pytest.mark.parametrize("axis", [3, -3, -4])
def test_axes_that_the_inputs_lack(axis):
    layer = GeneralizedBinarization(axis=axis)
    with pytest.raises(ValueError, match="must be an axis of the inputs"):
        layer.build((None, 4, 5))
    with pytest.raises(ValueError, match="must be an axis of the inputs"):
        layer.compute_output_shape((None, 4, 5))


def test_wrong_arguments(rng):
    with pytest.raises(ValueError, match="Did you mean 'hadamard'"):
        GeneralizedBinarization("hadamar")
    with pytest.raises(ValueError, match="size must be known"):
        GeneralizedBinarization().build((None, None))
    for seed in (-1, 1.5, "a", True):
        with pytest.raises(ValueError, match="`seed` must be"):
            GeneralizedBinarization(seed=seed)
    with pytest.raises(ValueError, match="`clip_value` must be"):
        GeneralizedBinarization(clip_value=0)
    with pytest.raises(ValueError, match="`regularization` must be"):
        GeneralizedBinarization(regularization=0.0)
    with pytest.raises(ValueError, match="needs no data"):
        GeneralizedBinarization("haar").adapt(np.ones((3, 4)))

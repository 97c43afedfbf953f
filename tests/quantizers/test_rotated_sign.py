"""Signs of filters in a rotated basis, against matrices written out."""

import json

import keras
import numpy as np
import pytest

from kerasbnn import (
    QuantConv2D,
    QuantDense,
    QuantDepthwiseConv2D,
    geometry,
    quantizers,
)
from kerasbnn.geometry.hadamard import hadamard_rotation
from kerasbnn.geometry.rotation import haar_rotation
from kerasbnn.quantizers import RotatedSign, WhitenedSign
from tests.helpers import references
from tests.helpers.gradients import (
    array,
    tensor,
    value_and_gradient,
    weight_gradients,
)
from tests.helpers.training import separable_points

ROTATIONS = {
    "haar": haar_rotation,
    "hadamard": hadamard_rotation,
    "learned": haar_rotation,  # where it starts
}
# Shapes of kernels as Keras stores them, with the axes of their output channels.
KERNELS = {
    "dense": ((7, 5), (-1,)),
    "conv2d": ((3, 2, 4, 6), (-1,)),
    "depthwise2d": ((3, 3, 4, 2), (-2, -1)),
    "transposed2d": ((2, 2, 4, 2), (-2,)),
}


def rotated_sign(w, upstream, matrix, clip_value, channel_axes=(-1,), scale=False):
    """Value and gradient of the quantizer, filter by filter."""
    outputs, gradient = np.empty_like(w), np.empty_like(w)
    for channel in references.channel_slices(w.shape, channel_axes):
        values, pulled = w[channel].ravel(), upstream[channel].ravel()
        rotated = matrix @ values
        binarized = matrix.T @ references.sign(rotated)
        a = values @ binarized / (binarized @ binarized) if scale else 1.0
        outputs[channel] = a * binarized.reshape(w[channel].shape)
        through = references.straight_through(rotated, matrix @ pulled, clip_value)
        gradient[channel] = a * (matrix.T @ through).reshape(w[channel].shape)
    return outputs, gradient


def built(shape, channel_axes=(-1,), *arguments, **options):
    quantizer = RotatedSign(*arguments, seed=7, **options)
    quantizer.build_for_channels(shape, channel_axes)
    return quantizer


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("rotation", ROTATIONS)
@pytest.mark.parametrize(("clip_value", "scale"), [(None, False), (0.5, True)])
def test_forward_and_gradient(kernel, rotation, clip_value, scale, rng):
    shape, axes = KERNELS[kernel]
    w, upstream = rng.normal(size=shape), rng.normal(size=shape)
    quantizer = built(shape, axes, rotation, clip_value=clip_value, scale=scale)
    fan_in = int(np.prod([shape[a] for a in references_axes(shape, axes)]))
    matrix = ROTATIONS[rotation](fan_in, seed=7).matrix()
    outputs, gradient = value_and_gradient(quantizer, tensor(w), upstream)
    expected, expected_gradient = rotated_sign(
        w, upstream, matrix, clip_value, axes, scale
    )
    np.testing.assert_allclose(array(outputs), expected, atol=1e-5)
    np.testing.assert_allclose(array(gradient), expected_gradient, atol=1e-5)


def references_axes(shape, channel_axes):
    channels = {axis % len(shape) for axis in channel_axes}
    return [axis for axis in range(len(shape)) if axis not in channels]


def test_the_scale_brings_filters_nearest(rng):
    w = 0.1 * rng.normal(size=(27, 8))
    found = array(built(w.shape, (-1,), "hadamard", scale=True)(tensor(w)))
    for factor in (0.98, 1.02):
        nearer = np.sum((w - found) ** 2, axis=0)
        assert np.all(nearer < np.sum((w - factor * found) ** 2, axis=0))


@pytest.mark.parametrize("scale", [False, True])
def test_zeros_stay_finite(scale):
    outputs, gradient = value_and_gradient(
        built((6, 2), (-1,), "hadamard", scale=scale), tensor(np.zeros((6, 2)))
    )
    assert np.isfinite(array(outputs)).all()
    assert np.isfinite(array(gradient)).all()


def test_badly_scaled_filters_keep_their_direction(rng):
    w = rng.normal(size=(128, 64)) * np.exp(0.1 * (np.arange(128) - 64))[:, None]
    assert np.mean(geometry.angle_degrees(w, references.sign(w), axis=0)) > 67
    for rotation in ROTATIONS:
        found = array(built(w.shape, (-1,), rotation)(tensor(w)))
        assert np.mean(geometry.angle_degrees(w, found, axis=0)) < 38
    one_hot = np.eye(128)
    found = array(built(one_hot.shape, (-1,), "hadamard")(tensor(one_hot)))
    assert np.max(geometry.angle_degrees(one_hot, found, axis=0)) < 1e-3


def test_bits_per_weight():
    assert RotatedSign().precision == 1
    assert built((3, 3, 8, 5), (-1,), "haar").precision == 1
    assert built((2, 2, 8, 5), (-1,), "hadamard").precision == 1
    assert built((3, 3, 3, 5), (-1,), "hadamard").precision == 32 / 27
    assert RotatedSign.precision == 1


def test_only_a_limited_gradient_starves():
    assert not RotatedSign().starves
    assert RotatedSign(clip_value=1.0).starves
    # No limit, no need of a constraint: a warning would be an error here.
    QuantDense(3, kernel_quantizer="rotated_sign")
    with pytest.warns(UserWarning, match="weight_clip"):
        QuantDense(3, kernel_quantizer=RotatedSign(clip_value=1.0))


def test_layers_use_it(rng):
    for layer, shape in (
        (QuantDense(5, kernel_quantizer="rotated_sign"), (2, 7)),
        (QuantConv2D(4, 3, kernel_quantizer="rotated_sign"), (2, 6, 6, 3)),
    ):
        layer.build(shape)
        kernel, seed = array(layer.kernel.value), layer.kernel_quantizer.seed
        flat = kernel.reshape(-1, kernel.shape[-1])
        matrix = hadamard_rotation(len(flat), seed).matrix()
        expected = matrix.T @ references.sign(matrix @ flat)
        found = array(layer.quantize_kernel())
        np.testing.assert_allclose(found, expected.reshape(kernel.shape), atol=1e-5)
    layer = QuantDepthwiseConv2D(
        3, depth_multiplier=2, depthwise_quantizer=RotatedSign("haar", seed=1)
    )
    layer.build((None, 8, 8, 3))
    flat = array(layer.kernel.value).reshape(9, 6)
    matrix = haar_rotation(9, seed=1).matrix()
    expected = matrix.T @ references.sign(matrix @ flat)
    np.testing.assert_allclose(
        array(layer.quantize_kernel()).reshape(9, 6), expected, atol=1e-5
    )


def test_gradients_reach_latents_and_the_learned_rotation(rng):
    layer = QuantDense(3, kernel_quantizer=RotatedSign("learned"), use_bias=False)
    layer.build((None, 5))
    x, upstream = rng.normal(size=(4, 5)), rng.normal(size=(4, 3))
    kernel, generator = weight_gradients(layer, tensor(x), upstream)
    np.testing.assert_allclose(kernel, x.T @ upstream, atol=1e-5)
    assert generator.shape == (5, 5)
    np.testing.assert_allclose(generator, -generator.T, atol=1e-6)
    assert np.any(generator != 0)


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_fit_learns(rotation):
    x, y = separable_points()
    layers = [
        QuantDense(32, kernel_quantizer=RotatedSign(rotation), use_bias=False),
        keras.layers.BatchNormalization(),
        QuantDense(
            1, input_quantizer="ste_sign", kernel_quantizer=RotatedSign(rotation)
        ),
        keras.layers.BatchNormalization(),
    ]
    model = keras.Sequential([keras.Input((8,)), *layers])
    model.compile(keras.optimizers.Adam(0.02), "squared_hinge")
    model.fit(x, y, epochs=15, batch_size=32, verbose=0)
    outputs = array(model(tensor(x), training=False))
    assert np.mean(references.sign(outputs) == y) >= 0.95
    if rotation == "learned":
        matrix = array(layers[0].kernel_quantizer._rotation.matrix("float32"))
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(8), atol=1e-5)
        assert np.any(array(layers[0].kernel_quantizer.trainable_variables[0].value))


@pytest.mark.parametrize("rotation", ROTATIONS)
def test_saved_with_its_layer_bit_by_bit(rotation, tmp_path, rng):
    layer = QuantConv2D(3, 2, kernel_quantizer=RotatedSign(rotation))
    model = keras.Sequential([keras.Input((4, 4, 2)), layer])
    if rotation == "learned":
        layer.kernel_quantizer.trainable_variables[0].assign(rng.normal(size=(8, 8)))
    x = tensor(rng.normal(size=(2, 4, 4, 2)))
    expected = array(model(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(loaded(x)), expected)
    for old, new in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(array(old.value), array(new.value))
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    np.testing.assert_array_equal(array(clone(x)), expected)


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
def test_half_precision(policy, rng):
    layer = QuantDense(4, kernel_quantizer=RotatedSign("haar", seed=0), dtype=policy)
    layer.build((None, 6))
    kernel = layer.quantize_kernel()
    assert keras.backend.standardize_dtype(kernel.dtype) == layer.compute_dtype
    matrix = haar_rotation(6, seed=0).matrix()
    expected = matrix.T @ references.sign(matrix @ array(layer.kernel.value))
    np.testing.assert_allclose(array(kernel), expected, rtol=0.01, atol=0.01)


@pytest.mark.parametrize(
    "quantizer",
    [
        RotatedSign("haar", seed=3, clip_value=0.5, scale=True),
        RotatedSign(),
        WhitenedSign(clip_value=2.0, scale=True, regularization=0.1),
    ],
)
def test_configs_round_trip(quantizer):
    config = json.loads(json.dumps(quantizers.serialize(quantizer)))
    revived = quantizers.get(config)
    assert type(revived) is type(quantizer)
    # A seed that was drawn too: a copy has the same rotation.
    assert revived.get_config() == quantizer.get_config()


def test_activations_are_refused():
    layer = QuantDense(4, input_quantizer=RotatedSign())
    with pytest.raises(ValueError, match="layers.GeneralizedBinarization"):
        layer.build((None, 6))
    with pytest.raises(ValueError, match="layers.GeneralizedBinarization"):
        built((6,), (-1,))


def test_wrong_arguments():
    with pytest.raises(ValueError, match="Did you mean 'hadamard'"):
        RotatedSign("hadmard")
    with pytest.raises(ValueError, match="Known rotations: haar, hadamard, learned"):
        RotatedSign("whitening")
    with pytest.raises(ValueError, match="`seed` must be"):
        RotatedSign(seed=-1)
    with pytest.raises(TypeError, match="`clip_value` must be a number or None"):
        RotatedSign(clip_value="1")
    quantizer = RotatedSign()
    QuantDense(3, kernel_quantizer=quantizer)
    with pytest.raises(ValueError, match="has weights of its own"):
        QuantDense(3, kernel_quantizer=quantizer)

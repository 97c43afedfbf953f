"""Signs of filters where inputs are white, and the patches that say what white is."""

import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn import QuantConv2D, QuantDense
from kerasbnn.geometry.whitening import whitening_from_covariance
from kerasbnn.quantizers import WhitenedSign
from kerasbnn.quantizers.patches import layer_patches
from tests.helpers import references
from tests.helpers.gradients import BACKEND, array, tensor, value_and_gradient
from tests.helpers.layer_cases import BY_NAME
from tests.helpers.training import separable_points


def images(shape, rng):
    """Smooth images: sums along all spatial axes of noise, and a mean off 0."""
    x = rng.normal(size=shape)
    for axis in range(1, len(shape) - 1):
        x = np.cumsum(x, axis=axis)
    return (x + 0.5).astype("float32")


def roots(patches, regularization=0.01):
    """Both roots of the covariance over its mean variance, small values raised."""
    c = np.cov(patches.astype("float64").T)
    c /= np.trace(c) / len(c)
    values, vectors = np.linalg.eigh(c)
    values = np.maximum(values, regularization)
    root = vectors @ np.diag(np.sqrt(values)) @ vectors.T
    return root, np.linalg.inv(root)


def test_before_adapt_it_is_the_plain_sign(rng):
    w, upstream = rng.normal(size=(3, 2, 4)), rng.normal(size=(3, 2, 4))
    quantizer = WhitenedSign()
    outputs, gradient = value_and_gradient(quantizer, tensor(w), upstream)
    np.testing.assert_allclose(array(outputs), references.sign(w), atol=1e-6)
    np.testing.assert_allclose(array(gradient), upstream, atol=1e-6)


@pytest.mark.parametrize(("clip_value", "scale"), [(None, False), (0.5, True)])
@pytest.mark.parametrize("regularization", [0.01, 0.3])
def test_forward_and_gradient(clip_value, scale, regularization, rng):
    shape = (2, 3, 5)
    w, upstream = rng.normal(size=shape), rng.normal(size=shape)
    patches = rng.normal(size=(400, 6)) @ (0.8 * np.ones((6, 6)) + np.eye(6))
    quantizer = WhitenedSign(clip_value, scale, regularization)
    quantizer.build(shape)
    quantizer.adapt(patches)
    root, inverse = roots(patches, regularization)
    flat, pulled = w.reshape(6, 5), upstream.reshape(6, 5)
    values = root @ flat
    a = np.abs(values).mean(axis=0) if scale else 1.0
    outputs, gradient = value_and_gradient(quantizer, tensor(w), upstream)
    expected = a * (inverse @ references.sign(values))
    np.testing.assert_allclose(
        array(outputs), expected.reshape(shape), rtol=1e-4, atol=1e-5
    )
    through = references.straight_through(values, inverse @ (a * pulled), clip_value)
    np.testing.assert_allclose(
        array(gradient), (inverse @ through).reshape(shape), rtol=1e-3, atol=1e-3
    )


def test_a_step_of_descent_is_that_of_plain_signs_on_white_inputs(rng):
    x, upstream = rng.normal(size=(50, 6)), rng.normal(size=(50, 4))
    x = x @ (0.8 * np.ones((6, 6)) + np.eye(6))
    w = rng.normal(size=(6, 4))
    quantizer = WhitenedSign(clip_value=1.0)
    quantizer.build(w.shape)
    quantizer.adapt(x)
    root, inverse = roots(x)
    # The gradient of the outputs' loss to a kernel is x' times that to the outputs.
    _, gradient = value_and_gradient(quantizer, tensor(w), x.T @ upstream)
    white, latent = x @ inverse, root @ w
    on_white = references.straight_through(latent, white.T @ upstream, 1.0)
    step = 0.01
    np.testing.assert_allclose(
        root @ (w - step * array(gradient)), latent - step * on_white, atol=1e-3
    )


def test_the_scale_brings_dot_products_nearest(rng):
    patches = images((300, 5, 1), rng).reshape(300, 5)
    w = rng.normal(size=(5, 8))
    quantizer = WhitenedSign(scale=True, regularization=1e-6)
    quantizer.build(w.shape)
    quantizer.adapt(patches)
    found = array(quantizer(tensor(w)))
    x = patches - patches.mean(axis=0)
    error = np.sum((x @ (w - found)) ** 2, axis=0)
    for factor in (0.99, 1.01):
        assert np.all(error < np.sum((x @ (w - factor * found)) ** 2, axis=0))


def test_outputs_vary_as_those_of_signs_on_white_inputs(rng):
    x = 7 * images((2000, 9, 1), rng).reshape(2000, 9)
    layer = QuantDense(
        64, kernel_quantizer=WhitenedSign(regularization=1e-9), use_bias=False
    )
    layer.kernel_quantizer.adapt_from_inputs(layer, x)
    variance = array(layer(tensor(x))).var(axis=0)
    np.testing.assert_allclose(variance, x.var(axis=0).mean() * 9, rtol=0.02)


def test_whitening_restores_the_dot_products_of_a_first_layer(rng):
    # Of zero-mean filters on patches of this covariance, signs of the plain weights
    # correlate by 0.44, those in the whitened basis by 0.76 to 0.80.
    grid = np.stack(np.meshgrid(range(3), range(3), indexing="ij"), -1).reshape(9, 2)
    distances = np.linalg.norm(grid[:, None] - grid[None], axis=-1)
    colours = np.full((3, 3), 0.9) + 0.1 * np.eye(3)
    c = np.kron(0.95**distances, colours)
    x = rng.multivariate_normal(np.zeros(27), c, size=3000).astype("float32")
    layer = QuantDense(
        500, kernel_quantizer=WhitenedSign(regularization=1e-6), use_bias=False
    )
    layer.build((None, 27))
    w = rng.normal(size=(27, 500))
    w -= w.mean(axis=0)
    layer.kernel.assign(w)

    def correlation():
        return np.corrcoef(array(layer(tensor(x))).ravel(), (x @ w).ravel())[0, 1]

    assert correlation() == pytest.approx(0.44, abs=0.03)
    layer.kernel_quantizer.adapt(x)
    assert correlation() == pytest.approx(0.78, abs=0.03)
    root = whitening_from_covariance(np.cov(x.T), regularization=1e-6).root
    scale = np.sqrt(np.trace(np.cov(x.T)) / 27)
    expected = np.linalg.solve(root, references.sign(root @ w)) * scale
    np.testing.assert_allclose(
        array(layer.quantize_kernel()), expected, rtol=1e-2, atol=0.02
    )


def test_adapt_from_inputs_is_adapt_on_the_patches(rng):
    x = images((20, 8, 8, 3), rng)
    layer = QuantConv2D(
        4, 3, strides=2, padding="same", pad_values=1, kernel_quantizer="whitened_sign"
    )
    layer.kernel_quantizer.adapt_from_inputs(layer, x)
    root, inverse = roots(layer_patches(layer, x, 10**6))
    flat = array(layer.kernel.value).reshape(27, 4)
    expected = inverse @ references.sign(root @ flat)
    found = array(layer.quantize_kernel()).reshape(27, 4)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    before = found
    layer.kernel_quantizer.adapt_from_inputs(layer, x, max_patches=40, seed=3)
    found = array(layer.quantize_kernel()).reshape(27, 4)
    root, inverse = roots(layer_patches(layer, x, 40, seed=3))
    np.testing.assert_allclose(
        found, inverse @ references.sign(root @ flat), rtol=1e-3, atol=1e-3
    )
    assert np.any(found != before)


def test_batches_and_shapes_that_adapt_takes(rng):
    patches = images((60, 6, 1), rng).reshape(10, 6, 6)
    kernels = []
    for data in (patches, tensor(patches), patches.reshape(60, 6), iter(patches)):
        quantizer = WhitenedSign()
        quantizer.build((6, 3))
        quantizer.adapt(data)
        kernels.append(array(quantizer(tensor(np.eye(6)[:, :3]))))
    for kernel in kernels[1:]:
        np.testing.assert_allclose(kernel, kernels[0], rtol=1e-4, atol=1e-5)


def test_rank_deficient_patches_stay_finite(rng):
    patches = np.zeros((20, 9))
    patches[:, :3] = rng.normal(size=(20, 3))
    quantizer = WhitenedSign()
    quantizer.build((9, 4))
    quantizer.adapt(patches)
    outputs, gradient = value_and_gradient(quantizer, tensor(rng.normal(size=(9, 4))))
    assert np.isfinite(array(outputs)).all()
    assert np.isfinite(array(gradient)).all()


@pytest.mark.parametrize("adapted", [False, True])
def test_saved_with_its_layer_bit_by_bit(adapted, tmp_path, rng):
    x = images((4, 6, 6, 2), rng)
    layer = QuantConv2D(3, 2, kernel_quantizer="whitened_sign")
    model = keras.Sequential([keras.Input((6, 6, 2)), layer])
    if adapted:
        layer.kernel_quantizer.adapt_from_inputs(layer, x)
    expected = array(model(tensor(x)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(loaded(tensor(x))), expected)
    for old, new in zip(model.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(array(old.value), array(new.value))
    # What was not adapted before may be after loading.
    inner = loaded.layers[0]
    inner.kernel_quantizer.adapt_from_inputs(inner, x)
    layer.kernel_quantizer.adapt_from_inputs(layer, x)
    np.testing.assert_array_equal(array(loaded(tensor(x))), array(model(tensor(x))))


def test_fit_learns_and_leaves_the_basis_alone():
    x, y = separable_points()
    # Correlated as pixels are.
    x = x @ (0.3 * np.ones((8, 8)) + 0.5 * np.eye(8)).astype("float32")
    layer = QuantDense(32, kernel_quantizer="whitened_sign", use_bias=False)
    layer.kernel_quantizer.adapt_from_inputs(layer, x)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            layer,
            keras.layers.BatchNormalization(momentum=0.9),
            QuantDense(1, input_quantizer="ste_sign", use_bias=False),
            keras.layers.BatchNormalization(momentum=0.9),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), "squared_hinge")
    fixed = [array(v.value) for v in layer.non_trainable_variables]
    before = references.sign(array(layer.kernel.value))
    model.fit(x, y, epochs=15, batch_size=32, verbose=0)
    assert np.any(references.sign(array(layer.kernel.value)) != before)
    for old, new in zip(fixed, layer.non_trainable_variables, strict=True):
        np.testing.assert_array_equal(array(new.value), old)
    outputs = array(model(tensor(x), training=False))
    # By the chain rule alone it would be about 0.8.
    assert np.mean(references.sign(outputs) == y) >= 0.87


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_half_precision(policy, rng):
    x = images((100, 6, 1), rng).reshape(100, 6)
    layer = QuantDense(4, kernel_quantizer="whitened_sign", dtype=policy)
    layer.kernel_quantizer.adapt_from_inputs(layer, x)
    kernel = layer.quantize_kernel()
    assert keras.backend.standardize_dtype(kernel.dtype) == "bfloat16"
    root, inverse = roots(array(ops.cast(tensor(x), "bfloat16")))
    expected = inverse @ references.sign(root @ array(layer.kernel.value))
    np.testing.assert_allclose(array(kernel), expected, rtol=0.05, atol=0.05)


@pytest.mark.skipif(BACKEND == "jax", reason="JAX has no float64 by default")
def test_float64_kernels(rng):
    layer = QuantDense(
        4, kernel_quantizer=WhitenedSign(dtype="float64"), dtype="float64"
    )
    layer.build((None, 6))
    assert all(weight.dtype == "float64" for weight in layer.weights)
    np.testing.assert_array_equal(
        array(layer.quantize_kernel()), references.sign(array(layer.kernel.value))
    )


def test_wrong_uses(rng):
    x = rng.normal(size=(30, 6)).astype("float32")
    layer = QuantDense(4, kernel_quantizer="whitened_sign")
    with pytest.raises(ValueError, match="has no weights yet"):
        layer.kernel_quantizer.adapt(x)
    other = QuantDense(4, kernel_quantizer="whitened_sign")
    with pytest.raises(ValueError, match="is not this one"):
        layer.kernel_quantizer.adapt_from_inputs(other, x)
    layer.build(x.shape)
    before = array(layer.quantize_kernel())
    for data, message in [
        (np.ones((9, 6)), "do not vary"),
        (x[:, :5], "6 components"),
        (np.full((9, 6), np.inf), "NaN or infinite"),
        (x[:1], "at least two"),
        ([], "at least two"),
    ]:
        with pytest.raises(ValueError, match=message):
            layer.kernel_quantizer.adapt(data)
    with pytest.raises(ValueError, match="do not fit layer"):
        layer.kernel_quantizer.adapt_from_inputs(layer, x[:, :5])
    np.testing.assert_array_equal(array(layer.quantize_kernel()), before)
    for value in (0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="`regularization` must be"):
            WhitenedSign(regularization=value)
    assert not WhitenedSign().starves
    assert WhitenedSign(clip_value=1.0).starves
    assert WhitenedSign().precision == 1


def test_layers_whose_patches_are_not_known(rng):
    case = BY_NAME["QuantConv2DTranspose"]
    layer = case.make(kernel_quantizer="whitened_sign")
    layer.build(case.input_shape)
    with pytest.raises(TypeError, match="Use `adapt` with an array"):
        layer.kernel_quantizer.adapt_from_inputs(layer, np.ones(case.input_shape))
    small = QuantConv2D(4, 5, kernel_quantizer="whitened_sign")
    small.build((None, None, None, 2))
    with pytest.raises(ValueError, match="Pass larger inputs"):
        small.kernel_quantizer.adapt_from_inputs(small, np.ones((2, 4, 9, 2)))
    with pytest.raises(ValueError, match="do not fit layer"):
        small.kernel_quantizer.adapt_from_inputs(small, np.ones((2, 9, 9, 3)))


def test_activations_are_refused():
    layer = QuantDense(4, input_quantizer=WhitenedSign())
    with pytest.raises(ValueError, match="layers.GeneralizedBinarization"):
        layer.build((None, 6))

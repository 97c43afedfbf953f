"""Fitting the whitening variant of the generalized binarization to data."""

import keras
import numpy as np
import pytest

from kerasbnn.geometry import whitening_from_samples
from kerasbnn.layers import GeneralizedBinarization
from tests.helpers.gradients import array, tensor, value_and_gradient


def correlated(shape, rng):
    """Samples whose components along the last axis are correlated and off 0."""
    mix = 0.5 * np.eye(shape[-1]) + 0.5
    return (rng.normal(size=shape) @ mix + np.arange(shape[-1])).astype("float32")


def adapted(data):
    layer = GeneralizedBinarization("whitening")
    layer.adapt(data)
    return layer


def batches_of(data):
    return np.array_split(data, [3, 40, 41, 90])


class Images(keras.utils.PyDataset):
    def __init__(self, data):
        super().__init__()
        self.parts = batches_of(data)

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, index):
        return self.parts[index], np.zeros(len(self.parts[index]))


@pytest.mark.filterwarnings("ignore:.*PyDataset.*super.*")
@pytest.mark.parametrize(
    "pack",
    [
        lambda data: data,
        tensor,
        batches_of,
        lambda data: iter(batches_of(data)),
        lambda data: [(part, None) for part in batches_of(data)],
        Images,
    ],
    ids=["array", "tensor", "list", "iterator", "pairs", "pydataset"],
)
def test_adapt_takes_what_keras_takes(pack, rng):
    data = correlated((100, 2, 5), rng)
    layer = GeneralizedBinarization("whitening")
    layer.adapt(pack(data))
    expected = whitening_from_samples(data.reshape(-1, 5).astype("float64"))
    for weight, wanted in zip(
        layer.weights,
        [expected.mean, expected.root, expected.inverse_root, 1.0],
        strict=True,
    ):
        np.testing.assert_allclose(array(weight.value), wanted, rtol=1e-5, atol=1e-5)


def test_adapt_takes_a_tensorflow_dataset(rng):
    tf = pytest.importorskip("tensorflow", reason="needs TensorFlow to compare with")
    data = correlated((100, 5), rng)
    layer, other = (GeneralizedBinarization("whitening") for _ in range(2))
    dataset = tf.data.Dataset.from_tensor_slices(data).batch(30)
    layer.adapt(dataset)
    other.adapt(data)
    x = tensor(data)
    np.testing.assert_allclose(array(layer(x)), array(other(x)), atol=1e-4)
    with pytest.raises(ValueError, match="no end"):
        layer.adapt(dataset.repeat())


def test_adapting_again_forgets_the_first_data(rng):
    first, second = correlated((50, 4), rng), 3 * correlated((50, 4), rng)
    layer = adapted(first)
    layer.adapt(second)
    np.testing.assert_allclose(
        array(layer(tensor(second))),
        array(adapted(second)(tensor(second))),
    )


def test_rank_deficient_data_stays_finite(rng):
    data = correlated((4, 9), rng)
    data[:, 2] = 0.0
    layer = adapted(data)
    x = correlated((30, 9), rng)
    outputs, gradient = value_and_gradient(layer, tensor(x))
    assert np.isfinite(array(outputs)).all()
    assert np.isfinite(array(gradient)).all()


ADAPT_FIRST = r"has to see data.*Call layer.adapt\(data\) first"


def test_without_data_whitening_refuses_to_run(tmp_path, rng):
    x = correlated((20, 4), rng)
    layer = GeneralizedBinarization("whitening")
    assert not layer.is_adapted
    with pytest.raises(ValueError, match=ADAPT_FIRST):
        layer(tensor(x))
    # A model is put together, saved and loaded all the same.
    model = keras.Sequential([keras.Input((4,)), layer, keras.layers.Dense(2)])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert not loaded.layers[0].is_adapted
    loaded.layers[0].adapt(x)
    assert np.isfinite(loaded.predict(x, verbose=0)).all()
    loaded.compile("sgd", "mse")
    loaded.fit(x, x[:, :2], verbose=0)
    # On JAX a model is of no use after that: Keras has put its weights aside.
    for method, targets in (("predict", ()), ("fit", (x[:, :2],))):
        model = keras.models.load_model(tmp_path / "model.keras")
        model.compile("sgd", "mse")
        with pytest.raises(ValueError, match=ADAPT_FIRST):
            getattr(model, method)(x, *targets, verbose=0)


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (np.ones((9, 4)), ValueError, "do not vary"),
        (np.ones((1, 4)), ValueError, "at least two vectors"),
        (np.full((9, 4), np.nan), ValueError, "NaN or infinite"),
        (np.ones(4), ValueError, "axis"),
        ([], ValueError, "no batches"),
        ([np.ones((9, 4)), np.ones((9, 5))], ValueError, "4 components"),
        ([[1.0, 2.0]], TypeError, "arrays or tensors"),
        (3, TypeError, "Expected an array"),
    ],
)
def test_data_that_cannot_be_adapted_to(data, error, message):
    layer = GeneralizedBinarization("whitening")
    with pytest.raises(error, match=message):
        layer.adapt(data)
    assert not layer.is_adapted

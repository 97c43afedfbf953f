"""What the swap test takes: inputs and labels of every kind, and what it refuses."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasbnn import QuantDense
from kerasbnn.models.swap_table import SwapRow
from kerasbnn.models.swap_testing import binarization_cost, swap_test
from tests.helpers.gradients import array
from tests.helpers.swap_networks import BINARY, network


def sign(values):
    return np.where(values >= 0, 1.0, -1.0)


def labelled(count):
    rng = np.random.default_rng(4)
    return rng.normal(size=(count, 6)), rng.integers(0, 4, size=count)


def test_labels_of_every_form_give_the_same():
    model = network(**BINARY)
    x, y = labelled(200)
    forms = [y, y[:, None], y.astype("float64"), y.tolist(), np.eye(4)[y]]
    forms.append(2 * np.eye(4, dtype="float32")[y] - 1)
    reports = [
        swap_test(model, x, form, ["second"], verbose=0).to_dict() for form in forms
    ]
    assert all(report == reports[0] for report in reports[1:])
    unlabelled = swap_test(model, x, layers=["second"], verbose=0).to_dict()
    (row,), (expected,) = unlabelled["rows"], reports[0]["rows"]
    assert row["agreement_refit"] == expected["agreement_refit"] < 1
    assert row["accuracy"] is row["accuracy_refit"] is None
    # The only layer is all layers.
    assert reports[0]["together"] == {**expected, "layer": None}
    alone = swap_test(model, x, y, ["second"], one_at_a_time=False, verbose=0)
    assert alone.rows == []
    assert alone.together == SwapRow(**reports[0]["together"])


class Sequence(keras.utils.PyDataset):
    def __init__(self, batches, **kwargs):
        super().__init__(**kwargs)
        self.batches = batches
        self.reads = 0

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        self.reads += 1
        return self.batches[index]


def test_data_of_every_kind_gives_the_same():
    model, (x, y) = network(**BINARY), labelled(300)
    pairs = [(x[i : i + 100], y[i : i + 100]) for i in (0, 100, 200)]
    kinds = [(x, y), (x, y, np.ones(300)), Sequence(pairs)]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        kinds.append(tf.data.Dataset.from_tensor_slices((x, y)).batch(100))
    if keras.backend.backend() == "torch":
        from torch.utils.data import DataLoader

        kinds.append(DataLoader(list(zip(x, y, strict=True)), batch_size=100))
    arguments = {"layers": ["first"], "batch_size": 100, "verbose": 0}
    expected = swap_test(model, x, y, **arguments).to_dict()
    for kind in kinds:
        assert swap_test(model, kind, **arguments).to_dict() == expected
    # Refitted from other inputs, on batches of any kind.
    refit_data = Sequence([(x,) for x, _ in pairs])
    assert swap_test(model, (x, y), refit_data=refit_data, **arguments).to_dict() == (
        expected
    )
    first = swap_test(model, Sequence(pairs), steps=1, **arguments)
    assert first.samples == 100
    arguments["batch_size"] = 17
    other_batches = swap_test(model, x, y, **arguments)
    assert other_batches.rows[0].accuracy == expected["rows"][0]["accuracy"]
    np.testing.assert_allclose(
        other_batches.rows[0].correlation, expected["rows"][0]["correlation"], rtol=1e-6
    )


def test_each_batch_is_read_once_for_all_swaps():
    x, y = labelled(80)
    data = Sequence([(x[:50], y[:50]), (x[50:80], y[50:80])])
    refit = Sequence([(labelled(200)[0],)])
    swap_test(network(**BINARY), data, refit_data=refit, verbose=0)
    # One more of the first, to see that all fits.
    assert data.reads == 3
    # Baseline, two layers, both.
    assert refit.reads == 4


class TwoInputs(keras.Model):
    def __init__(self):
        super().__init__(name="two")
        self.dense = QuantDense(3, **BINARY, name="dense")
        self.norm = layers.BatchNormalization(name="norm")

    def call(self, inputs, training=None):
        a, b = inputs.values() if isinstance(inputs, dict) else inputs
        return self.norm(self.dense(a) + self.dense(b), training=training)


@pytest.mark.parametrize("names", [None, ("a", "b")])
def test_several_inputs(names, rng):
    x = [rng.normal(size=(40, 5)), rng.normal(size=(40, 5))]
    data = x if names is None else dict(zip(names, x, strict=True))
    model = TwoInputs()
    model(data)
    y = rng.integers(0, 3, size=40)
    report = swap_test(model, data, y, verbose=0)
    kernel = array(model.dense.kernel)
    z = (sign(x[0]) + sign(x[1])) @ kernel
    z = (z - z.mean(axis=0)) / np.sqrt(z.var(axis=0) + 1e-3)
    accuracy = np.mean(z.argmax(axis=1) == y)
    assert report.rows[0].accuracy_refit == pytest.approx(accuracy)
    batches = Sequence([(data, y)])
    assert swap_test(model, batches, verbose=0).to_dict() == report.to_dict()


@pytest.mark.parametrize("y", [[0, 1, 1, 0], [[-1], [1], [1], [-1]]])
def test_one_number_per_sample_needs_a_threshold(y):
    model = keras.Sequential(
        [keras.Input((2,)), layers.Dense(1, use_bias=False, name="score")]
    )
    model.set_weights([np.array([[1.0], [-0.1]])])
    x = np.array([[-1, 0], [1, 0], [0, 0], [-1, 2]], "float32")
    with pytest.raises(ValueError, match="threshold=0.0 for logits"):
        swap_test(model, x, np.array(y), verbose=0)
    report = swap_test(model, x, np.array(y), threshold=0.0, verbose=0)
    assert report.baseline.accuracy == 1
    # Signs give -1, 1, 0, -3.
    assert report.rows[0].accuracy == 1
    report = swap_test(model, x, np.array(y), threshold=0.5, verbose=0)
    assert report.baseline.accuracy == 0.75
    assert report.baseline.accuracy_refit is None
    assert not report.refitted


def test_a_class_per_position(rng):
    model = keras.Sequential([keras.Input((4, 4, 2)), layers.Conv2D(3, 1, name="conv")])
    x = rng.normal(size=(5, 4, 4, 2))
    y = array(model(x)).argmax(axis=-1)
    y[0] = (y[0] + 1) % 3
    report = swap_test(model, x, y, verbose=0)
    assert report.baseline.accuracy == pytest.approx(0.8)
    again = swap_test(model, x, np.eye(3)[y], verbose=0)
    assert again.to_dict() == report.to_dict()
    assert report.samples == 5


def two_outputs():
    inputs = keras.Input((6,))
    dense = QuantDense(4, **BINARY, name="first")
    return keras.Model(inputs, [dense(inputs), inputs])


def broken():
    model = network(**BINARY)
    model.get_layer("second_norm").beta.assign([np.nan, 0, 0, 0])
    return model


def tie(classes):
    return np.zeros((8, classes))


X = np.random.default_rng(2).normal(size=(8, 6))


@pytest.mark.parametrize(
    ("make", "x", "arguments", "error", "message"),
    [
        (two_outputs, X, {}, ValueError, "has 2"),
        (object, X, {}, TypeError, "keras.Model"),
        (broken, X, {}, ValueError, "before anything is swapped"),
        (network, X[:0], {}, ValueError, "no sample"),
        (network, X * np.nan, {}, ValueError, "NaN or infinite"),
        (network, X, {"y": np.arange(7)}, ValueError, "same number of samples"),
        (network, X, {"y": np.arange(8)}, ValueError, "labels 0 to 3.*Received 4"),
        (network, X, {"y": np.full(8, 0.5)}, ValueError, "Received 0.5"),
        (network, X, {"y": np.full(8, -1)}, ValueError, "Received -1"),
        (network, X, {"y": np.full(8, "a")}, ValueError, "integers from 0"),
        (network, X, {"y": tie(4)}, ValueError, "more than once"),
        (network, X, {"y": tie(3)}, ValueError, r"\(8, 3\) do not fit"),
        (network, X, {"y": {"a": np.zeros(8)}}, ValueError, "a dict of"),
        (network, (X, np.zeros(8)), {"y": np.zeros(8)}, ValueError, "labels once"),
        (network, Sequence([(X,)]), {"y": np.zeros(8)}, ValueError, "Leave `y` out"),
        (network, iter([X]), {}, TypeError, "read only once"),
        (network, X, {"refit_data": iter([X])}, TypeError, "read only once"),
        (network, 7, {}, TypeError, "arrays, a dataset"),
        (network, X, {"refit_data": X[:1]}, ValueError, "single value"),
        (network, X, {"threshold": 0.5}, ValueError, "puts out 4"),
        (network, X, {"layers": ["third"]}, ValueError, "no layer 'third'"),
        (network, X, {"layers": ["first_norm"]}, ValueError, "cannot be swapped"),
        (network, X, {"quantizer": "ste_sine"}, ValueError, "mean 'ste_sign'"),
    ],
)
def test_what_does_not_fit_is_refused(make, x, arguments, error, message):
    make = (lambda: network(layers.Dense)) if make is network else make
    with pytest.raises(error, match=message):
        swap_test(make(), x, **arguments, verbose=0)


def test_the_cost_needs_labels():
    with pytest.raises(ValueError, match="needs labels"):
        binarization_cost(network(layers.Dense), X, verbose=0)

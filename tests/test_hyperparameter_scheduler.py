"""HyperparameterScheduler: values of each epoch and step, on compiled models."""

import keras
import numpy as np
import pytest

from kerasbnn import QuantDense
from kerasbnn.callbacks import HyperparameterScheduler
from kerasbnn.optimizers import Bop, CaseOptimizer
from kerasbnn.quantizers import NoOp

X, Y = np.ones((8, 3), "float32"), np.ones((8, 2), "float32")


def dense_model(optimizer, **kwargs):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile(optimizer, "mse", **kwargs)
    return model


def fit(model, *schedulers, **kwargs):
    return model.fit(
        X, Y, batch_size=4, shuffle=False, verbose=0, callbacks=schedulers, **kwargs
    ).history


def weights_by_hand(rates, momenta):
    """SGD written out in numpy, a value of each hyperparameter for each step."""
    model = dense_model("sgd")
    kernel, bias = model.get_weights()
    x, y = X[:4].astype("float64"), Y[:4].astype("float64")
    velocity = [np.zeros_like(kernel), np.zeros_like(bias)]
    for rate, momentum in zip(rates, momenta, strict=True):
        error = 2 * (x @ kernel + bias - y) / y.size
        gradients = [x.T @ error, error.sum(axis=0)]
        velocity = [
            momentum * v - rate * g for v, g in zip(velocity, gradients, strict=True)
        ]
        kernel, bias = kernel + velocity[0], bias + velocity[1]
    return kernel, bias


@pytest.mark.parametrize("run_eagerly", [False, True])
def test_a_variable_and_a_plain_number_by_epoch(run_eagerly):
    keras.utils.set_random_seed(1)
    expected = weights_by_hand(
        [0.1, 0.1, 0.05, 0.05, 0.025, 0.025], [0.5, 0.5, 0.25, 0.25, 0, 0]
    )
    keras.utils.set_random_seed(1)
    model = dense_model(
        keras.optimizers.SGD(7.0, momentum=0.9), run_eagerly=run_eagerly
    )
    history = fit(
        model,
        HyperparameterScheduler(lambda epoch: 0.1 * 0.5**epoch, "learning_rate"),
        HyperparameterScheduler(lambda epoch: 0.5 - 0.25 * epoch, "momentum"),
        epochs=3,
    )
    assert history["learning_rate"] == pytest.approx([0.1, 0.05, 0.025])
    assert history["momentum"] == [0.5, 0.25, 0]
    for actual, by_hand in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(actual, by_hand, rtol=1e-5)


def test_by_step_and_from_the_value_so_far():
    keras.utils.set_random_seed(1)
    rates = [0.1 * 0.5**step for step in range(1, 5)]
    expected = weights_by_hand(rates, [0.9] * 4)
    keras.utils.set_random_seed(1)
    model = dense_model(keras.optimizers.SGD(0.1, momentum=0.9))
    steps = []

    def halve(step, value):
        steps.append((step, value))
        return value / 2

    history = fit(
        model,
        HyperparameterScheduler(halve, "learning_rate", update_freq="step"),
        epochs=2,
    )
    assert [step for step, _ in steps] == [0, 1, 2, 3]
    assert [value for _, value in steps] == pytest.approx([0.1, *rates[:3]])
    assert history["learning_rate"] == pytest.approx([rates[1], rates[3]])
    for actual, by_hand in zip(model.get_weights(), expected, strict=True):
        np.testing.assert_allclose(actual, by_hand, rtol=1e-5)


def test_one_of_several_optimizers(capsys):
    model = keras.Sequential(
        [
            keras.Input((3,)),
            QuantDense(2, kernel_quantizer=NoOp(precision=1)),
        ]
    )
    bop, adam = Bop(gamma=0.5), keras.optimizers.Adam(0.1)
    model.compile(
        CaseOptimizer((Bop.is_binary_variable, bop), default_optimizer=adam), "mse"
    )
    history = fit(
        model,
        HyperparameterScheduler(lambda i: 0.5 / 2**i, "gamma", bop, verbose=1),
        HyperparameterScheduler(lambda i: 10.0**-i, "threshold", bop, log_name="t"),
        epochs=2,
    )
    assert (history["gamma"], history["t"]) == ([0.5, 0.25], pytest.approx([1, 0.1]))
    assert capsys.readouterr().out.splitlines() == [
        "Epoch 0: gamma = 0.5",
        "Epoch 1: gamma = 0.25",
    ]
    with pytest.raises(ValueError, match="Pass the one of its optimizers"):
        fit(model, HyperparameterScheduler(lambda i: 0.5, "gamma"))


def test_under_loss_scaling():
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    model = dense_model(keras.optimizers.LossScaleOptimizer(optimizer))
    fit(model, HyperparameterScheduler(lambda epoch: 0.25, "momentum"))
    assert optimizer.momentum == 0.25


def test_a_saved_model_has_the_last_value(tmp_path):
    model = dense_model(keras.optimizers.Adam(0.1))
    fit(
        model,
        HyperparameterScheduler(lambda epoch: 0.5 + 0.1 * epoch, "beta_1"),
        epochs=2,
    )
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.optimizer.beta_1 == 0.6
    assert len(again.optimizer.variables) == len(model.optimizer.variables)


def test_what_is_refused():
    with pytest.raises(TypeError, match="must be a function"):
        HyperparameterScheduler(0.1, "momentum")
    with pytest.raises(ValueError, match="'epoch' or 'step'"):
        HyperparameterScheduler(float, "momentum", update_freq="batch")
    model = dense_model(keras.optimizers.SGD(0.1))
    with pytest.raises(ValueError, match="no attribute 'momentun'"):
        fit(model, HyperparameterScheduler(lambda epoch: 0.1, "momentun"))
    with pytest.raises(TypeError, match="must return a number"):
        fit(model, HyperparameterScheduler(lambda epoch: "0.1", "momentum"))
    with pytest.raises(TypeError, match="no number"):
        fit(model, HyperparameterScheduler(lambda epoch: 0.1, "name"))

    def broken(epoch, value):
        raise TypeError("of the schedule itself")

    with pytest.raises(TypeError, match="of the schedule itself"):
        fit(model, HyperparameterScheduler(broken, "momentum"))

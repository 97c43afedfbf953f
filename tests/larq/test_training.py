"""Whole trainings: the same histories, and the same weights at the end, as in Larq."""

import keras
import numpy as np
import pytest

import kerasbnn.larq as lq
from tests.larq import real


def network(name, quantizer, second=None):
    found = real.under(f"training/{name}")
    # Names begin to count anew.
    keras.utils.clear_session()
    model = keras.Sequential(
        [
            keras.Input((6,)),
            lq.layers.QuantDense(8, use_bias=False, kernel_quantizer=quantizer),
            keras.layers.BatchNormalization(),
            lq.layers.QuantDense(
                3,
                input_quantizer="ste_sign",
                kernel_quantizer=second
                or lq.quantizers.SteSign(metrics=["flip_ratio"]),
                kernel_constraint="weight_clip",
            ),
        ]
    )
    model.set_weights(real.row(found, "start"))
    return model, found


def compare(name, model, history, found):
    expected = real.content("figures")["history"][name]
    assert set(history.history) == set(expected)
    for key, values in expected.items():
        np.testing.assert_allclose(
            history.history[key], values, rtol=1e-4, atol=1e-5, err_msg=key
        )
    for i, (ours, theirs) in enumerate(
        zip(model.get_weights(), real.row(found, "end"), strict=True)
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4, err_msg=str(i))


def loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_flip_ratios_in_the_history():
    with lq.context.metrics_scope(["flip_ratio"]):
        model, found = network("flips", "ste_sign", "ste_sign")
    model.compile(keras.optimizers.SGD(0.3), loss())
    history = model.fit(
        found["x"],
        found["labels"],
        batch_size=6,
        epochs=4,
        validation_split=0.25,
        shuffle=False,
        verbose=0,
    )
    assert max(history.history["flip_ratio/ste_sign"]) > 0
    assert max(history.history["flip_ratio/ste_sign_1"]) > 0
    compare("flips", model, history, found)


@pytest.mark.parametrize(
    ("name", "schedule", "update_freq"),
    [
        ("scheduled_epoch", lambda epoch: 0.05 * 0.5**epoch, "epoch"),
        ("scheduled_step", lambda step: 0.05 / (1 + step), "step"),
        ("scheduled_value", lambda epoch, value: value * 0.5, "epoch"),
    ],
)
def test_scheduled_hyperparameters(name, schedule, update_freq):
    keras.utils.clear_session()
    no_op = lq.quantizers.NoOp(precision=1)
    model, found = network(name, no_op)
    bop = lq.optimizers.Bop(threshold=1e-4, gamma=0.05)
    adam = keras.optimizers.Adam(0.02, epsilon=1e-3)
    optimizer = lq.optimizers.CaseOptimizer(
        (
            lambda v: isinstance(getattr(v, "quantizer", None), lq.quantizers.NoOp),
            bop,
        ),
        default_optimizer=adam,
    )
    model.compile(optimizer, loss())
    scheduler = lq.callbacks.HyperparameterScheduler
    callbacks = [
        scheduler(schedule, "gamma", bop, update_freq=update_freq),
        scheduler(lambda i: 0.02 / (1 + i), "learning_rate", adam, log_name="rate"),
        scheduler(lambda epoch: 0.9 - 0.1 * epoch, "beta_1", adam),
    ]
    history = model.fit(
        found["x"],
        found["labels"],
        batch_size=8,
        epochs=3,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )
    compare(name, model, history, found)

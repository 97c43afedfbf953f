"""Quantizer parameters that change while a compiled model trains."""

import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn import QuantConv2D
from kerasbnn.callbacks import QuantizerSchedule, irnet_temperature
from kerasbnn.quantizers import IRNetSign, SteSign, SteTern, SwishSign
from tests.helpers.scheduling import RATE, Scaled, data, fit, network

BACKEND = keras.backend.backend()


class Steps(keras.callbacks.Callback):
    """Notes the loss of each step and the weights after it."""

    def __init__(self):
        super().__init__()
        self.losses, self.weights = [], []

    def on_train_batch_end(self, batch, logs=None):
        self.losses.append(float(logs["loss"]))
        self.weights.append(self.model.get_weights()[0])


def ternary(w, threshold):
    return np.sign(w) * (np.abs(w) > threshold)


def train_by_hand(w, x, y, thresholds, clip_values):
    """Gradient descent through the ternary quantizer, one step per threshold."""
    losses, weights = [], []
    for threshold, clip_value in zip(thresholds, clip_values, strict=True):
        error = x.astype("float64") @ ternary(w, threshold) - y
        losses.append((error**2).mean())
        gradient = (2 / error.size * x.T @ error) * (np.abs(w) <= clip_value)
        w = np.clip(w - RATE * gradient, -1, 1)
        weights.append(w)
    return losses, weights


MODES = [{}, {"jit_compile": True}, {"run_eagerly": True}]


@pytest.mark.parametrize("mode", MODES, ids=["default", "jit", "eager"])
@pytest.mark.parametrize("on", ["epoch", "step"])
def test_every_step_computes_with_its_value(mode, on, rng):
    """Forward pass by the threshold, gradient by the clip value, of the same steps."""
    if mode.get("jit_compile") and BACKEND == "torch":
        pytest.skip("torch.compile needs minutes and a C++ compiler")
    quantizer = SteTern(threshold_value=0.5)
    model = network(quantizer, **mode)
    start = rng.uniform(-1, 1, size=(4, 4)).astype("float32")
    x, y = data(rng)
    thresholds, clip_values = [0.0, 0.3, 10.0, 0.6], [1.0, 0.4, 0.7, 0.2]
    both = [
        QuantizerSchedule(quantizer, "threshold_value", thresholds.__getitem__, on=on),
        QuantizerSchedule("ste_tern", "clip_value", clip_values.__getitem__, on=on),
    ]
    names = [variable.path for variable in model.variables]
    for fit_number in range(2):
        # On a step schedule the optimizer's iterations go on in the second fit.
        model.optimizer.iterations.assign(0)
        model.set_weights([start])
        steps = Steps()
        if on == "epoch":
            history = fit(model, both[0], (x, y), 4, callbacks=[both[1], steps])
            assert history["threshold_value"] == thresholds
            assert history["clip_value"] == clip_values
        else:
            many = np.tile(x, (4, 1)), np.tile(y, (4, 1))
            history = fit(model, both[0], many, 1, callbacks=[both[1], steps])
            assert history["threshold_value"] == thresholds[-1:]
        losses, weights = train_by_hand(start, x, y, thresholds, clip_values)
        if on == "epoch":
            np.testing.assert_allclose(steps.losses, losses, rtol=1e-4)
        else:
            # Keras logs the running mean of an epoch.
            means = np.cumsum(losses) / np.arange(1, 5)
            np.testing.assert_allclose(steps.losses, means, rtol=1e-4)
        np.testing.assert_allclose(steps.weights, weights, atol=1e-5)

        # What is left is a plain number, and what is compiled from now on knows it.
        assert (quantizer.threshold_value, quantizer.clip_value) == (0.6, 0.2)
        assert type(quantizer.threshold_value) is float
        assert [variable.path for variable in model.variables] == names
        expected = x @ ternary(model.get_weights()[0], 0.6)
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, rtol=1e-4)
        loss = ((expected - y) ** 2).mean()
        assert model.evaluate(x, y, verbose=0) == pytest.approx(loss, rel=1e-4)
        quantizer.threshold_value = 0.5 if fit_number == 0 else 0.6


def test_functions_that_are_compiled_already(rng):
    """Before a schedule with plain numbers, during it, and after it."""
    quantizer = SteTern(threshold_value=0.0)
    model = network(quantizer)
    x, y = data(rng)
    of_zeros = pytest.approx((y**2).mean(), rel=1e-5)
    assert model.fit(x, y, verbose=0).history["loss"] != [of_zeros]
    assert model.evaluate(x, y, verbose=0) != of_zeros
    assert model.predict(x, verbose=0).any()

    schedule = QuantizerSchedule(quantizer, "threshold_value", lambda epoch: 10.0)
    history = fit(model, schedule, (x, y), 2, validation_data=(x, y))
    assert history["loss"] == [of_zeros, of_zeros]
    assert history["val_loss"] == [of_zeros, of_zeros]
    assert not model.predict(x, verbose=0).any()
    assert model.fit(x, y, verbose=0).history["loss"] == [of_zeros]

    fit(model, schedule, (x, y), 1, validation_data=(x, y))
    quantizer.threshold_value = 0.0
    assert model.evaluate(x, y, verbose=0) != of_zeros
    assert model.fit(x, y, verbose=0).history["loss"] != [of_zeros]


def test_validation_sees_the_current_value(rng):
    quantizer = SteTern()
    model = network(quantizer)
    x, y = data(rng)
    schedule = QuantizerSchedule(
        quantizer, "threshold_value", lambda epoch: 10.0 * (epoch % 2)
    )
    history = fit(model, schedule, (x, y), 4, validation_data=(x, y))
    assert history["val_loss"][1::2] == pytest.approx([(y**2).mean()] * 2, rel=1e-5)
    assert history["val_loss"][0] != pytest.approx((y**2).mean(), rel=1e-3)


@pytest.mark.parametrize(
    ("quantizer", "parameter"),
    [
        (SteSign(), "clip_value"),
        (SteSign(clip_value=None), "clip_value"),
        (SwishSign(beta=5), "beta"),
        (IRNetSign(), "temperature"),
        (Scaled(), "alpha"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_gradients_of_other_quantizers(quantizer, parameter, policy, rng):
    """One step under a schedule is one step of a quantizer made with that value."""
    keras.config.set_dtype_policy(policy)
    start, (x, y) = rng.uniform(-1, 1, size=(4, 4)), data(rng)
    steps = Steps()
    values = [0.25, 1.5]
    model = network(quantizer)
    model.set_weights([start])
    schedule = QuantizerSchedule(quantizer, parameter, values.__getitem__)
    fit(model, schedule, (x, y), 2, callbacks=[steps])
    for value, after in zip(values, steps.weights, strict=True):
        config = {**quantizer.get_config(), parameter: value}
        fixed = network(type(quantizer).from_config(config))
        fixed.set_weights([start])
        fixed.fit(x, y, verbose=0)
        (start,) = fixed.get_weights()
        np.testing.assert_allclose(after, start, atol=1e-6)
    assert steps.weights[0].std() > 0


def test_saved_in_between_with_the_current_value(tmp_path, rng):
    quantizer = Scaled(alpha=3.0)
    model = network(quantizer)
    xy = data(rng)
    path = str(tmp_path / "epoch_{epoch}.keras")
    save = keras.callbacks.ModelCheckpoint(path)
    schedule = QuantizerSchedule(quantizer, "alpha", lambda epoch: 0.1 * (epoch + 1))
    fit(model, schedule, xy, 2, callbacks=[save])
    for epoch in (1, 2):
        loaded = keras.models.load_model(tmp_path / f"epoch_{epoch}.keras")
        assert loaded.layers[0].kernel_quantizer.alpha == 0.1 * epoch
        outputs = loaded.predict(xy[0], verbose=0)
        kernel = loaded.get_weights()[0]
        signs = np.where(kernel >= 0, 1, -1)
        np.testing.assert_allclose(outputs, 0.1 * epoch * xy[0] @ signs, atol=1e-5)
    clone = keras.models.clone_model(model)
    assert clone.layers[0].kernel_quantizer.alpha == 0.2


class Interruption(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            raise RuntimeError("stopped by the test")


def test_training_that_an_error_ends(tmp_path, rng):
    quantizer = SteTern(threshold_value=0.5)
    model = network(quantizer)
    x, y = data(rng)
    weights = len(model.get_weights())

    def schedule():
        return QuantizerSchedule(quantizer, "threshold_value", lambda epoch: 10.0)

    interrupted = schedule()
    with pytest.raises(RuntimeError, match="stopped by the test"):
        fit(model, interrupted, (x, y), callbacks=[Interruption()])
    # The model works with the value it has, and its files are as ever.
    assert len(model.get_weights()) == weights
    np.testing.assert_array_equal(model.predict(x, verbose=0), 0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].kernel_quantizer.threshold_value == 10.0
    model.save_weights(tmp_path / "model.weights.h5")
    network(SteTern()).load_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")

    # Another fit takes over; the callback that was interrupted has no more say.
    fit(model, QuantizerSchedule(quantizer, "threshold_value", lambda e: 0.25), (x, y))
    interrupted.restore()
    assert quantizer.threshold_value == 0.25

    interrupted = schedule()
    with pytest.raises(RuntimeError, match="stopped by the test"):
        fit(model, interrupted, (x, y), callbacks=[Interruption()])
    interrupted.restore()
    assert quantizer.threshold_value == 10.0
    assert "get_config" not in vars(quantizer)
    np.testing.assert_array_equal(model.predict(x, verbose=0), 0)


def test_a_second_schedule_that_is_wrong_leaves_the_first_parameter(rng):
    quantizer = SteTern(0.1, clip_value=0.7)
    model = network(quantizer)
    first = QuantizerSchedule(quantizer, "clip_value", lambda epoch: 0.5)
    for second in (
        QuantizerSchedule(quantizer, "thresh", lambda epoch: 0.5),
        QuantizerSchedule(quantizer, "threshold_value", lambda epoch: -0.5),
    ):
        with pytest.raises(ValueError, match="thresh"):
            fit(model, first, data(rng), callbacks=[second])
        first.restore()
    assert (quantizer.threshold_value, quantizer.clip_value) == (0.1, 0.5)


def test_a_shared_quantizer_is_set_once(rng):
    shared = SteTern()
    model = network(shared, layers=2)
    calls = []

    def schedule(epoch):
        calls.append(epoch)
        return 0.1 * (epoch + 1)

    fit(
        model,
        QuantizerSchedule("kernel_quantizer", "threshold_value", schedule),
        data(rng),
    )
    assert calls == [0, 1, 2]
    assert shared.threshold_value == 0.1 * 3


@pytest.mark.parametrize(
    "kind", [np.float32, np.int64, np.array, ops.convert_to_tensor]
)
def test_takes_any_kind_of_number(kind, rng):
    quantizer = SteTern()
    callback = QuantizerSchedule(quantizer, "threshold_value", lambda epoch: kind(2))
    fit(network(quantizer), callback, data(rng), 1)
    assert quantizer.threshold_value == 2
    assert type(quantizer.threshold_value) is float


def test_keras_schedules_by_step(rng):
    quantizer = SteTern()
    decay = keras.optimizers.schedules.ExponentialDecay(0.8, 2, 0.5)
    callback = QuantizerSchedule(quantizer, "threshold_value", decay, on="step")
    model = network(quantizer)
    history = fit(model, callback, data(rng, 24), 2)
    # The values of the last of three steps in each epoch.
    expected = [0.8 * 0.5 ** (step / 2) for step in (2, 5)]
    np.testing.assert_allclose(history["threshold_value"], expected, rtol=1e-6)
    # Steps go on where the optimizer is.
    history = fit(model, callback, data(rng, 24), 1)
    np.testing.assert_allclose(history["threshold_value"], 0.8 * 0.5**4, rtol=1e-6)


def test_irnet_temperature():
    temperature = irnet_temperature(epochs=3)
    np.testing.assert_allclose(
        [temperature(epoch) for epoch in range(5)], [0.01, 0.1, 1, 10, 10]
    )
    assert irnet_temperature(10, first=0.5, last=2.0)(5) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="epochs"):
        irnet_temperature(0)


def test_irnet_trains_a_convolution(rng):
    model = keras.Sequential(
        [
            keras.Input((5, 5, 2)),
            QuantConv2D(
                3, 3, kernel_quantizer="irnet_sign", input_quantizer="ste_sign"
            ),
            keras.layers.GlobalAveragePooling2D(),
        ]
    )
    model.compile("adam", loss="mse")
    schedule = QuantizerSchedule("irnet_sign", "temperature", irnet_temperature(4))
    x, y = rng.normal(size=(8, 5, 5, 2)), rng.normal(size=(8, 3))
    history = model.fit(x, y, epochs=4, verbose=0, callbacks=[schedule]).history
    expected = [0.01, 0.01 * 1000**0.25, 0.01 * 1000**0.5, 0.01 * 1000**0.75]
    np.testing.assert_allclose(history["temperature"], expected)
    assert np.isfinite(history["loss"]).all()

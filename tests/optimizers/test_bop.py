"""Bop against its update rule written out in numpy."""

import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn import QuantConv2D, QuantDense
from kerasbnn.optimizers import Bop, is_binary_variable
from kerasbnn.quantizers import NoOp

schedules = keras.optimizers.schedules


class Reference:
    """Bop on one array, in float32 as the optimizer computes."""

    def __init__(self, weights):
        self.w = np.where(weights >= 0, 1, -1).astype("float32")
        self.m = np.zeros_like(self.w)

    def step(self, gradient, threshold, gamma):
        threshold, gamma = np.float32(threshold), np.float32(gamma)
        self.m = self.m + gamma * (gradient - self.m)
        flips = (np.abs(self.m) > threshold) & (np.sign(self.m) == np.sign(self.w))
        self.w = np.where(flips, -self.w, self.w)
        return self.w


def binary_variable(values):
    variable = keras.Variable(np.asarray(values, "float32"))
    variable.precision = 1
    return variable


def apply(optimizer, variable, gradient):
    optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
    return ops.convert_to_numpy(variable)


def linear_model(optimizer, **compile_arguments):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            QuantDense(3, kernel_quantizer=NoOp(precision=1), use_bias=False),
        ]
    )
    model.compile(optimizer, loss="mse", **compile_arguments)
    return model


def linear_gradient(w, x, y):
    """Gradient of the mean squared error of `x @ w`, in float64."""
    error = x.astype("float64") @ w.astype("float64") - y
    return (2 / error.size * x.T @ error).astype("float32")


def data(rng, samples=8):
    x = rng.normal(size=(samples, 6)).astype("float32")
    return x, rng.normal(size=(samples, 3)).astype("float32")


@pytest.mark.parametrize("shape", [(), (1,), (5, 7), (3, 3, 2, 4)])
@pytest.mark.parametrize(
    ("threshold", "gamma"), [(1e-8, 1e-4), (1e-2, 1e-2), (0.3, 0.5), (0.0, 1.0), (0, 0)]
)
def test_follows_the_rule(shape, threshold, gamma, rng):
    start = rng.choice([-1.0, 1.0], size=shape)
    variable, reference = binary_variable(start), Reference(start)
    optimizer = Bop(threshold=threshold, gamma=gamma)
    for _ in range(20):
        gradient = np.asarray(rng.normal(size=shape), "float32")
        expected = reference.step(gradient, threshold, gamma)
        np.testing.assert_array_equal(apply(optimizer, variable, gradient), expected)


def test_boundaries_stay_as_the_paper_says():
    # |m| = threshold, with signs that agree: no flip.
    weights = [-1, -1, 1, 1]
    stays = apply(Bop(0.5, 1.0), binary_variable(weights), [-0.5, 0.5, 0.5, -0.5])
    np.testing.assert_array_equal(stays, weights)
    # No gradient yet, and no threshold: no flip.
    stays = apply(Bop(0.0, 0.5), binary_variable(weights), [0.0, -0.0, 0.0, -0.0])
    np.testing.assert_array_equal(stays, weights)
    above = np.nextafter(np.float32(0.5), np.float32(1))
    flips = apply(
        Bop(0.5, 1.0), binary_variable(weights), [-above, above, above, -above]
    )
    np.testing.assert_array_equal(flips, [1, -1, -1, 1])


def test_initial_weights_become_their_signs_on_build():
    variable = binary_variable([0.0, -0.0, 0.3, -0.3, 1e-20, -5.0])
    optimizer = Bop(threshold=0.2, gamma=1.0)
    optimizer.build([variable])
    signs = [1, 1, 1, -1, 1, -1]
    np.testing.assert_array_equal(ops.convert_to_numpy(variable), signs)
    # The first decision sees the sign: 0.3 * 0.5 would be below the threshold.
    after = apply(optimizer, variable, [0.1, 0.5, 0.5, -0.5, -0.5, 0.5])
    np.testing.assert_array_equal(after, [1, -1, -1, 1, 1, -1])


def test_schedules_run_by_steps(rng):
    gammas = schedules.ExponentialDecay(0.5, 5, 0.8)
    thresholds = schedules.PolynomialDecay(0.3, 10, 0.01)
    start = rng.choice([-1.0, 1.0], size=(30,))
    variable, reference = binary_variable(start), Reference(start)
    optimizer = Bop(threshold=thresholds, gamma=gammas)
    for step in range(15):
        gradient = rng.normal(size=30).astype("float32")
        gamma = 0.5 * 0.8 ** (step / 5)
        threshold = 0.01 + (0.3 - 0.01) * (1 - min(step, 10) / 10)
        expected = reference.step(gradient, threshold, gamma)
        np.testing.assert_array_equal(apply(optimizer, variable, gradient), expected)
    clone = Bop.from_config(optimizer.get_config())
    assert isinstance(clone._threshold, schedules.PolynomialDecay)
    assert clone.get_config() == optimizer.get_config()


def test_config_round_trip():
    optimizer = Bop(threshold=1e-6, gamma=0.01, clipnorm=2.0, name="flipper")
    optimizer.gamma, optimizer.threshold = 0.5, 0.25
    config = optimizer.get_config()
    assert "learning_rate" not in config
    clone = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert clone.get_config() == config
    assert (float(clone.gamma), float(clone.threshold)) == (0.5, 0.25)
    assert (clone.clipnorm, clone.name) == (2.0, "flipper")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"gamma": -0.1}, ValueError, "gamma"),
        ({"gamma": 1.5}, ValueError, "at most 1"),
        ({"gamma": "fast"}, TypeError, "LearningRateSchedule"),
        ({"threshold": -1e-9}, ValueError, "threshold"),
        ({"threshold": float("nan")}, ValueError, "threshold"),
        ({"threshold": None}, TypeError, "threshold"),
        ({"learning_rate": 0.1}, ValueError, "Bop has no `learning_rate`"),
        ({"weight_decay": 0.1}, ValueError, "Bop has no `weight_decay`"),
    ],
)
def test_refuses(arguments, error, message):
    with pytest.raises(error, match=message):
        Bop(**arguments)


def test_refuses_a_late_schedule():
    schedule = schedules.ExponentialDecay(0.5, 5, 0.8)
    with pytest.raises(TypeError, match="when the optimizer is made"):
        Bop().threshold = schedule
    with pytest.raises(TypeError, match="cannot be replaced"):
        Bop(gamma=schedule).gamma = 0.5
    optimizer = Bop()
    with pytest.raises(ValueError, match="at most 1"):
        optimizer.gamma = 2.0


@pytest.mark.parametrize(
    "compile_arguments",
    [{}, {"jit_compile": True}, {"run_eagerly": True}],
    ids=["default", "jit", "eager"],
)
def test_trains_a_model_step_by_step(compile_arguments, rng):
    if compile_arguments.get("jit_compile") and keras.backend.backend() == "torch":
        pytest.skip("torch.compile needs minutes and a C++ compiler")
    model = linear_model(Bop(threshold=0.05, gamma=0.3), **compile_arguments)
    if compile_arguments.get("run_eagerly"):
        model.optimizer.build(model.trainable_variables)
    reference = Reference(model.get_weights()[0])
    for step in range(12):
        if step == 6:
            # A compiled training step must see the new values.
            model.optimizer.gamma, model.optimizer.threshold = 1.0, 0.4
        late = step >= 6
        x, y = data(rng)
        model.train_on_batch(x, y)
        gradient = linear_gradient(reference.w, x, y)
        expected = reference.step(gradient, 0.4 if late else 0.05, 1.0 if late else 0.3)
        np.testing.assert_array_equal(model.get_weights()[0], expected)


def test_clips_gradients():
    variable = binary_variable([1.0, 1.0])
    # With gamma 1 the average is the gradient: clipped to 0.1 it stays below 0.2.
    after = apply(Bop(0.2, 1.0, clipvalue=0.1), variable, [5.0, 0.05])
    np.testing.assert_array_equal(after, [1, 1])
    after = apply(Bop(0.2, 1.0, clipnorm=0.3), binary_variable([1.0, 1.0]), [5.0, 0.05])
    np.testing.assert_array_equal(after, [-1, 1])


def test_accumulates_gradients(rng):
    gradients = rng.normal(size=(6, 20)).astype("float32")
    variable, reference = binary_variable(np.ones(20)), Reference(np.ones(20))
    optimizer = Bop(0.1, 0.5, gradient_accumulation_steps=2)
    expected = reference.w
    for step, gradient in enumerate(gradients):
        if step % 2:
            mean = (gradients[step - 1] + gradient) / 2
            expected = reference.step(mean, 0.1, 0.5)
        np.testing.assert_array_equal(apply(optimizer, variable, gradient), expected)


@pytest.mark.parametrize("frequency", [None, 2])
def test_moving_average_of_weights_ends_in_signs(frequency, rng):
    optimizer = Bop(
        0.0, 1.0, use_ema=True, ema_momentum=0.5, ema_overwrite_frequency=frequency
    )
    model = linear_model(optimizer)
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(model.get_weights()[0])
    )
    x, y = data(rng)
    model.fit(x, y, epochs=5, batch_size=8, verbose=0, callbacks=[watch])
    for weights in (*seen, model.get_weights()[0]):
        np.testing.assert_array_equal(np.abs(weights), 1)
    if frequency is None:
        weight, average = Reference(seen[0]), None
        for weight in seen:
            average = weight if average is None else 0.5 * average + 0.5 * weight
        expected = np.where(average >= 0, 1, -1)
        np.testing.assert_array_equal(model.get_weights()[0], expected)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy, rng):
    keras.config.set_dtype_policy(policy)
    model = linear_model(Bop(1e-3, 0.5))
    before = None
    x, y = data(rng)
    for _ in range(3):
        model.fit(x, y, verbose=0)
        weights = model.get_weights()[0]
        assert weights.dtype == "float32"
        np.testing.assert_array_equal(np.abs(weights), 1)
        before = weights if before is None else before
    assert (weights != before).any()
    is_scaled = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert is_scaled == (policy == "mixed_float16")


def test_model_that_fit_builds(rng):
    layers = [
        QuantConv2D(4, 3, kernel_quantizer=NoOp(precision=1), use_bias=False),
        keras.layers.Flatten(),
        QuantDense(2, kernel_quantizer=NoOp(precision=1), use_bias=False),
    ]
    model = keras.Sequential(layers)
    model.compile(Bop(), loss="mse")
    model.fit(rng.normal(size=(4, 5, 5, 1)), rng.normal(size=(4, 2)), verbose=0)
    for weights in model.get_weights():
        np.testing.assert_array_equal(np.abs(weights), 1)


def test_warns_of_variables_that_are_not_binary():
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(3, name="float")])
    with pytest.warns(UserWarning, match="float/kernel.*CaseOptimizer"):
        Bop().build(model.trainable_variables)


@pytest.mark.parametrize(
    ("quantizer", "is_binary"),
    [(NoOp(precision=1), True), (NoOp(precision=2), False), ("ste_sign", False)],
)
def test_layers_mark_their_binary_kernels(quantizer, is_binary):
    layer = QuantDense(3, kernel_quantizer=quantizer, kernel_constraint="weight_clip")
    layer.build((None, 6))
    assert is_binary_variable(layer.kernel) is is_binary
    assert not Bop.is_binary_variable(layer.bias)


def test_training_goes_on_after_a_reload(tmp_path, rng):
    x, y = data(rng, samples=16)
    straight = linear_model(Bop(threshold=0.02, gamma=0.05))
    interrupted = linear_model(Bop(threshold=0.02, gamma=0.05))
    interrupted.set_weights(straight.get_weights())
    arguments = {"batch_size": 4, "shuffle": False, "verbose": 0}
    straight.fit(x, y, epochs=3, **arguments)
    interrupted.fit(x, y, epochs=2, **arguments)
    interrupted.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert is_binary_variable(reloaded.layers[0].kernel)
    reloaded.fit(x, y, epochs=1, **arguments)
    for a, b in zip(
        straight.optimizer.variables, reloaded.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
    np.testing.assert_array_equal(straight.get_weights(), reloaded.get_weights())
    assert (straight.get_weights()[0] != interrupted.get_weights()[0]).any()

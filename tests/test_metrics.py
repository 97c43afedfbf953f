"""The flip ratio against counts made by hand."""

import h5py
import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn import QuantDense, QuantSeparableConv2D
from kerasbnn.metrics import FlipRatio, metrics_scope
from kerasbnn.quantizers import DoReFa, MagnitudeAwareSign, SteTern

RATE = 0.4


def sign(w):
    return np.where(w >= 0, 1.0, -1.0)


def layer(metrics=("flip_ratio",), **arguments):
    settings = {"kernel_quantizer": "ste_sign", "use_bias": False, "name": "dense"}
    return QuantDense(3, metrics=metrics, **{**settings, **arguments})


def network(quantized=None, **compile_arguments):
    quantized = quantized or layer(kernel_constraint="weight_clip")
    model = keras.Sequential([keras.Input((6,)), quantized])
    model.compile(keras.optimizers.SGD(RATE), loss="mse", **compile_arguments)
    return model


def data(rng, samples=40):
    x = rng.normal(size=(samples, 6)).astype("float32")
    return x, rng.normal(size=(samples, 3)).astype("float32")


def train_by_hand(w, x, y, steps):
    """Plain gradient descent through the straight-through sign; one ratio per step."""
    ratios = []
    for _ in range(steps):
        error = x.astype("float64") @ sign(w) - y
        gradient = (2 / error.size * x.T @ error) * (np.abs(w) <= 1)
        updated = np.clip(w - RATE * gradient, -1, 1)
        ratios.append((sign(updated) != sign(w)).mean())
        w = updated
    return ratios


def flip_ratios(model, x, y, epochs, **arguments):
    history = model.fit(x, y, epochs=epochs, verbose=0, **arguments).history
    return history["dense_flip_ratio"]


@pytest.mark.parametrize("dtype", ["int8", "float32"])
@pytest.mark.parametrize("shape", [(1,), (50,), (3, 3, 2, 4)])
def test_sequence(dtype, shape, rng):
    values = rng.integers(-1, 2, size=(9, *shape)).astype("float32")
    if dtype == "float32":
        values *= 0.3
    flips = [(a != b).mean() for a, b in zip(values, values[1:], strict=False)]
    metric = FlipRatio(values_dtype=dtype)
    assert float(metric.result()) == 0
    for step, value in enumerate(values):
        if step == 5:
            metric.reset_state()
            assert float(metric.result()) == 0
        metric.update_state(value)
        seen = flips[4:step] if step >= 5 else flips[:step]
        expected = np.mean(seen) if seen else 0
        assert float(metric.result()) == pytest.approx(expected, abs=1e-6)


def test_refuses_another_shape():
    metric = FlipRatio()
    metric.update_state(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"must keep their shape \(2, 3\)"):
        metric.update_state(np.ones((1, 3)))


def test_config_round_trip():
    metric = FlipRatio(values_dtype="float32", name="changes")
    config = keras.saving.serialize_keras_object(metric)
    clone = keras.saving.deserialize_keras_object(config)
    assert isinstance(clone, FlipRatio)
    assert clone.get_config() == metric.get_config()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_history_of_fit(jit_compile, rng):
    if jit_compile and keras.backend.backend() == "torch":
        pytest.skip("torch.compile needs minutes and a C++ compiler")
    x, y = data(rng)
    model = network(jit_compile=jit_compile)
    start = rng.uniform(-0.3, 0.3, size=(6, 3)).astype("float32")
    model.set_weights([start])
    # The same batch in each of five steps an epoch.
    x5, y5 = np.tile(x, (5, 1)), np.tile(y, (5, 1))
    arguments = {"batch_size": len(x), "shuffle": False}
    ratios = train_by_hand(start.astype("float64"), x, y, steps=20)
    assert len(set(ratios)) > 2

    seen = flip_ratios(model, x5, y5, epochs=2, **arguments)
    # The flips of an update show in the step after it.
    expected = [np.mean(ratios[:4]), np.mean(ratios[4:9])]
    np.testing.assert_allclose(seen, expected, atol=1e-6)
    if not jit_compile:
        model.evaluate(x, y, verbose=0)
        model.predict(x, verbose=0)
    seen = flip_ratios(model, x5, y5, epochs=2, **arguments)
    expected = [np.mean(ratios[9:14]), np.mean(ratios[14:19])]
    np.testing.assert_allclose(seen, expected, atol=1e-6)


def test_validation_counts_nothing(rng):
    x, y = data(rng)
    model = network()
    history = model.fit(
        x, y, batch_size=10, epochs=2, validation_data=(x, y), verbose=0
    ).history
    assert history["val_dense_flip_ratio"] == [0, 0]
    assert max(history["dense_flip_ratio"]) > 0


def test_counters_are_no_weights(tmp_path, rng):
    x, y = data(rng)
    keras.utils.set_random_seed(3)
    watched = network()
    keras.utils.set_random_seed(3)
    plain = network(layer(metrics=None, kernel_constraint="weight_clip"))
    for model in (watched, plain):
        model.fit(x, y, epochs=2, batch_size=10, shuffle=False, verbose=0)
    assert watched.count_params() == plain.count_params() == 18
    (a,), (b,) = watched.get_weights(), plain.get_weights()
    np.testing.assert_array_equal(a, b)

    watched.save_weights(tmp_path / "watched.weights.h5")
    plain.save_weights(tmp_path / "plain.weights.h5")
    names = []
    with h5py.File(tmp_path / "watched.weights.h5") as file:
        file.visititems(
            lambda name, item: (
                names.append(name) if isinstance(item, h5py.Dataset) else None
            )
        )
    # The kernel, and the optimizer's iterations and learning rate.
    assert sorted(name.split("/")[0] for name in names) == [
        "layers",
        "optimizer",
        "optimizer",
    ]
    for model, path in ((watched, "plain"), (plain, "watched")):
        model.set_weights([np.zeros((6, 3))])
        model.load_weights(tmp_path / f"{path}.weights.h5")
        np.testing.assert_array_equal(model.get_weights()[0], a)


def test_reloaded_model_counts_anew(tmp_path, rng):
    x, y = data(rng)
    arguments = {"batch_size": 10, "shuffle": False}
    model = network()
    flip_ratios(model, x, y, 1, **arguments)
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert reloaded.layers[0].get_config()["metrics"] == ["flip_ratio"]
    # The first of four ratios belongs to an update that the file does not know.
    whole = 4 * flip_ratios(model, x, y, 1, **arguments)[0]
    rest = 3 * flip_ratios(reloaded, x, y, 1, **arguments)[0]
    first = (whole - rest) * 18
    assert first == pytest.approx(round(first), abs=1e-4)
    assert 0 <= round(first) <= 18
    np.testing.assert_array_equal(model.get_weights()[0], reloaded.get_weights()[0])


def test_loaded_weights_do_not_count_as_flips(tmp_path, rng):
    x, y = data(rng)
    model = network()
    model.optimizer.learning_rate = 0.0
    flip_ratios(model, x, y, 1, batch_size=10)
    opposite = network()
    # The file holds the optimizer's learning rate too.
    opposite.optimizer.learning_rate = 0.0
    opposite.set_weights([-w for w in model.get_weights()])
    opposite.save_weights(tmp_path / "opposite.weights.h5")
    model.load_weights(tmp_path / "opposite.weights.h5")
    assert flip_ratios(model, x, y, 1, batch_size=10) == [0]


def ratio_between(quantizer, before, after):
    """The ratio that a layer counts between two values of its kernel."""
    quantized = layer(kernel_quantizer=quantizer, kernel_constraint="weight_clip")
    quantized.build((None, before.shape[0]))
    for kernel in (before, after):
        quantized.kernel.assign(kernel)
        quantized(np.ones((1, before.shape[0]), "float32"), training=True)
        quantized(np.ones((1, before.shape[0]), "float32"), training=False)
    return float(quantized.flip_ratios["kernel"].result())


def test_scales_do_not_count(rng):
    w = rng.normal(size=(6, 3))
    assert ratio_between(MagnitudeAwareSign(), w, 2 * w) == 0
    after = np.where(rng.random((6, 3)) < 0.4, -w, w)
    expected = (sign(w) != sign(after)).mean()
    assert ratio_between(MagnitudeAwareSign(), w, after) == pytest.approx(expected)


def test_levels_count(rng):
    before, after = rng.normal(size=(2, 6, 3))
    after[0, 0], before[0, 0] = np.abs([after, before]).max() * np.array([1.1, 1.1])

    def levels(w):
        return np.round(3 * (np.tanh(w) / (2 * np.tanh(np.abs(w).max())) + 0.5))

    expected = (levels(before) != levels(after)).mean()
    quantizer = DoReFa(k_bit=2, mode="weights")
    assert ratio_between(quantizer, before, after) == pytest.approx(expected, abs=1e-6)

    def ternary(w):
        return sign(w) * (np.abs(w) > 0.5)

    expected = (ternary(before) != ternary(after)).mean()
    measured = ratio_between(SteTern(threshold_value=0.5), before, after)
    assert measured == pytest.approx(expected, abs=1e-6)
    keras.config.set_dtype_policy("mixed_bfloat16")
    measured = ratio_between(SteTern(threshold_value=0.5), before, after)
    assert measured == pytest.approx(expected, abs=1e-6)


def test_layer_that_the_model_calls_twice_counts_once(rng):
    shared = QuantDense(
        6,
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        metrics=["flip_ratio"],
        name="dense",
    )
    inputs = keras.Input((6,))
    model = keras.Model(inputs, shared(ops.tanh(shared(inputs))))
    model.compile(keras.optimizers.SGD(RATE), loss="mse")
    x = rng.normal(size=(8, 6))
    y = rng.normal(size=(8, 6))
    flips, last = [], sign(model.get_weights()[0])
    for _ in range(4):
        model.train_on_batch(x, y)
        signs = sign(model.get_weights()[0])
        flips.append((signs != last).mean())
        last = signs
    # Every batch is a round of its own, and sees the flips of the one before.
    ratio = flip_ratios(model, x, y, 1, batch_size=8)[0]
    assert ratio == pytest.approx(flips[-1], abs=1e-6)
    assert sum(flips) > 0


def test_train_on_batch(rng):
    x, y = data(rng)
    model = network()
    ratios = [model.train_on_batch(x, y, return_dict=True) for _ in range(2)]
    if keras.backend.backend() == "jax":
        assert np.isnan(ratios[1]["dense_flip_ratio"])
    metric = model.layers[0].flip_ratios["kernel"]
    assert 0 <= float(metric.result()) <= 1
    assert float(metric.state.count) == 1


def test_accumulated_gradients_flip_at_every_other_step(rng):
    x, y = data(rng)
    model = network()
    model.compile(keras.optimizers.SGD(1e6, gradient_accumulation_steps=2), loss="mse")
    signs = []
    for _ in range(6):
        model.train_on_batch(x, y)
        signs.append(sign(model.get_weights()[0]))
    flips = [(a != b).mean() for a, b in zip(signs, signs[1:], strict=False)]
    assert flips[1::2] == [0, 0]
    assert flips[0] > 0
    # The last step sees the flips of the one before it, and so on.
    state = model.layers[0].flip_ratios["kernel"].state
    assert float(state.count) == 1
    assert float(state.total) == pytest.approx(flips[3], abs=1e-6)


def test_scope_and_names_of_two_kernels():
    with metrics_scope(["flip_ratio"]):
        inside = QuantSeparableConv2D(
            2,
            3,
            depthwise_quantizer="ste_sign",
            pointwise_quantizer="ste_sign",
            depthwise_constraint="weight_clip",
            pointwise_constraint="weight_clip",
            name="pair",
        )
        with metrics_scope():
            none = layer(metrics=None, kernel_constraint="weight_clip")
    outside = layer(metrics=None, kernel_constraint="weight_clip", name="outside")
    model = keras.Sequential([keras.Input((5, 5, 2)), inside, none, outside])
    assert [metric.name for metric in model.metrics] == [
        "pair_depthwise_kernel_flip_ratio",
        "pair_pointwise_kernel_flip_ratio",
    ]


def test_unknown_metric():
    with pytest.raises(ValueError, match="flip_ratio"):
        layer(metrics=["flips"], kernel_constraint="weight_clip")

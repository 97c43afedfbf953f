"""Refitted statistics against ones worked out in numpy."""

import keras
import numpy as np
import pytest
from keras import layers
from sklearn.datasets import load_digits

from kerasbnn import QuantDense, models
from kerasbnn.models.call_tracing import trace_calls

BN = layers.BatchNormalization
BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}


@pytest.fixture(scope="module")
def digits():
    """Real images, 400 of them, as vectors of 64 values from -1 to 1."""
    return (load_digits().data[:400] / 8 - 1).astype("float32")


def two_layers():
    """Dense, BN, dropout, binary dense, BN, with statistics that are far off."""
    model = keras.Sequential(
        [
            keras.Input((64,)),
            layers.Dense(12, use_bias=False),
            BN(name="first", epsilon=1e-2),
            layers.Dropout(0.5),
            QuantDense(8, **BINARY),
            BN(name="second", scale=False),
        ]
    )
    first, second = model.get_layer("first"), model.get_layer("second")
    draw = np.random.default_rng(1).normal
    first.set_weights(
        [draw(size=12) + 1, draw(size=12), draw(size=12), np.ones(12) * 9]
    )
    second.set_weights([draw(size=8), draw(size=8), np.ones(8) * 9])
    return model


def reference(model, batches, sequential):
    """Means and variances of both layers, in float64."""
    kernel, gamma, beta = (np.float64(w) for w in model.get_weights()[:3])
    signs = np.float64(models.quantized_weights(model)["quant_dense/kernel"])
    first = [np.float64(x) @ kernel for x in batches]
    everything = np.concatenate(first)
    second = []
    for z in first:
        seen = everything if sequential else z
        z = gamma * (z - seen.mean(0)) / np.sqrt(seen.var(0) + 1e-2) + beta
        second.append(np.where(z >= 0, 1.0, -1.0) @ signs)
    second = np.concatenate(second)
    return [(z.mean(axis=0), z.var(axis=0)) for z in (everything, second)]


def statistics(model, name):
    layer = model.get_layer(name)
    return [
        keras.ops.convert_to_numpy(v)
        for v in (layer.moving_mean, layer.moving_variance)
    ]


def all_values(model):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]


@pytest.mark.parametrize("sequential", [False, True])
def test_equals_the_statistics_worked_out_in_numpy(digits, sequential):
    model = two_layers()
    others = all_values(model)[:3]
    batches = np.split(digits, [150, 230])
    # A list of batches would be several inputs; an object that iterates is not.
    data = Repeatable(batches)
    fitted = models.refit_batchnorm(model, data, sequential=sequential, verbose=0)
    assert fitted == ["first", "second"]
    expected = reference(model, batches, sequential)
    for name, moments in zip(fitted, expected, strict=True):
        for got, wanted in zip(statistics(model, name), moments, strict=True):
            np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=2e-5)
    for before, after in zip(others, all_values(model), strict=False):
        np.testing.assert_array_equal(before, after)


class Repeatable:
    """Batches that can be read more than once."""

    def __init__(self, batches):
        self.batches = batches

    def __iter__(self):
        return iter(self.batches)


def test_the_two_ways_differ_and_the_sequential_one_is_exact(digits):
    model = two_layers()
    models.refit_batchnorm(model, digits, batch_size=20, verbose=0)
    quick = statistics(model, "second")
    models.refit_batchnorm(model, digits, batch_size=20, sequential=True, verbose=0)
    exact = statistics(model, "second")
    assert np.abs(quick[0] - exact[0]).max() > 1e-3
    with trace_calls(model) as calls:
        model(digits)
    for name in ("first", "second"):
        (call,) = [call for call in calls if call.path == name]
        inputs = np.float64(keras.ops.convert_to_numpy(call.inputs[0]))
        mean, variance = statistics(model, name)
        np.testing.assert_allclose(mean, inputs.mean(axis=0), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(variance, inputs.var(axis=0), rtol=1e-5)
    # Larger batches bring the quick way near to the exact one.
    models.refit_batchnorm(model, digits, batch_size=400, verbose=0)
    np.testing.assert_allclose(statistics(model, "second"), exact, rtol=1e-4, atol=1e-4)


class Sequence(keras.utils.PyDataset):
    """Batches of images and labels."""

    def __init__(self, batches, **kwargs):
        super().__init__(**kwargs)
        self.batches = batches

    def __len__(self):
        return len(self.batches)

    def __getitem__(self, index):
        return self.batches[index], np.zeros(len(self.batches[index]))


def kinds_of_data(x):
    batches = np.split(x, 4)
    labels = np.zeros(len(x))
    yield "array", x, {"batch_size": 100}
    yield "tuple", (x, labels), {"batch_size": 100}
    yield "sequence", Sequence(batches), {}
    yield "generator", ((b, labels[:100]) for b in batches), {}
    yield "steps", iter([*batches, np.zeros((3, 64))]), {"steps": 4}
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        yield "dataset", tf.data.Dataset.from_tensor_slices((x, labels)).batch(100), {}
        endless = tf.data.Dataset.from_tensor_slices(x).batch(100).repeat()
        yield "endless", endless, {"steps": 4}
    if keras.backend.backend() == "torch":
        import torch

        tensors = torch.utils.data.TensorDataset(torch.tensor(x), torch.tensor(labels))
        yield "loader", torch.utils.data.DataLoader(tensors, batch_size=100), {}


def test_any_kind_of_data_gives_the_same(digits):
    model = two_layers()
    expected = reference(model, np.split(digits, 4), sequential=False)
    far_off = model.get_weights()
    for kind, data, arguments in kinds_of_data(digits):
        model.set_weights(far_off)
        models.refit_batchnorm(model, data, verbose=0, **arguments)
        got = [statistics(model, name) for name in ("first", "second")]
        for pair, wanted in zip(got, expected, strict=True):
            np.testing.assert_allclose(
                pair, wanted, rtol=2e-5, atol=2e-5, err_msg=f"from {kind}"
            )


def test_several_inputs_in_lists_and_dicts(rng):
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    outputs = BN(name="bn")(layers.Add()([a, b]))
    values = {name: rng.normal(size=(50, 3)).astype("float32") for name in "ab"}
    total = np.float64(values["a"]) + values["b"]
    for inputs, data in (([a, b], list(values.values())), ({"a": a, "b": b}, values)):
        model = keras.Model(inputs, outputs)
        models.refit_batchnorm(model, data, batch_size=20, verbose=0)
        mean, variance = statistics(model, "bn")
        np.testing.assert_allclose(mean, total.mean(axis=0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(variance, total.var(axis=0), rtol=1e-5)


@pytest.mark.parametrize("axis", [1, 2, -1])
def test_any_axis(axis, rng):
    x = rng.normal(2, 3, size=(30, 4, 5, 6)).astype("float32")
    model = keras.Sequential([keras.Input(x.shape[1:]), BN(axis=axis, name="bn")])
    models.refit_batchnorm(model, x, batch_size=8, verbose=0)
    others = tuple(i for i in range(4) if i != axis % 4)
    mean, variance = statistics(model, "bn")
    np.testing.assert_allclose(mean, np.float64(x).mean(axis=others), rtol=1e-5)
    np.testing.assert_allclose(variance, np.float64(x).var(axis=others), rtol=1e-5)


class Masked(keras.Model):
    """Embeds tokens and normalizes them, without a graph that knows of the mask."""

    def __init__(self):
        super().__init__()
        self.embedding = layers.Embedding(5, 3, mask_zero=True)
        self.bn = BN(name="bn")

    def call(self, inputs):
        return self.bn(self.embedding(inputs))


@pytest.mark.parametrize("is_subclassed", [False, True])
def test_masked_positions_do_not_count(rng, is_subclassed):
    tokens = rng.integers(0, 5, size=(40, 7)).astype("int32")
    tokens[3] = 0
    model = Masked()
    model(tokens)
    if not is_subclassed:
        model = keras.Sequential(
            [keras.Input((7,), dtype="int32"), model.embedding, model.bn]
        )
    models.refit_batchnorm(model, tokens, batch_size=20, verbose=0)
    vectors = np.float64(model.get_weights()[0])[tokens[tokens != 0]]
    mean, variance = statistics(model, "bn")
    np.testing.assert_allclose(mean, vectors.mean(axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(variance, vectors.var(axis=0), rtol=1e-5)


def test_a_layer_that_is_called_twice_pools_its_calls(rng):
    inputs = keras.Input((2,))
    bn = BN(name="bn")
    model = keras.Model(inputs, layers.Add()([bn(inputs), bn(inputs * 3 + 1)]))
    x = rng.normal(size=(60, 2)).astype("float32")
    models.refit_batchnorm(model, x, batch_size=25, verbose=0)
    both = np.concatenate([np.float64(x), np.float64(x) * 3 + 1])
    mean, variance = statistics(model, "bn")
    np.testing.assert_allclose(mean, both.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, both.var(axis=0), rtol=1e-5)


def test_renorm_and_frozen_layers_are_refitted_too(rng):
    x = rng.normal(5, 2, size=(40, 3)).astype("float32")
    model = keras.Sequential(
        [
            keras.Input((3,)),
            BN(renorm=True, name="renorm"),
            BN(trainable=False, name="frozen"),
        ]
    )
    assert models.refit_batchnorm(model, x, verbose=0) == ["renorm", "frozen"]
    mean, variance = statistics(model, "renorm")
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(variance, x.var(axis=0), rtol=1e-5)
    renorm = model.get_layer("renorm")
    deviation = np.sqrt(x.var(axis=0) + renorm.epsilon)
    np.testing.assert_allclose(renorm.moving_stddev, deviation, rtol=1e-5)
    np.testing.assert_allclose(renorm.renorm_stddev, deviation, rtol=1e-5)
    np.testing.assert_allclose(renorm.renorm_mean, mean, rtol=1e-6)
    mean, variance = statistics(model, "frozen")
    np.testing.assert_allclose(mean, np.zeros(3), atol=1e-5)
    np.testing.assert_allclose(variance, np.ones(3), rtol=1e-3)


def test_large_means_lose_no_digits(rng):
    x = rng.normal(1000, 0.01, size=(4000, 1)).astype("float32")
    model = keras.Sequential([keras.Input((1,)), BN(name="bn")])
    models.refit_batchnorm(model, x, batch_size=100, verbose=0)
    mean, variance = statistics(model, "bn")
    np.testing.assert_allclose(mean, np.float64(x).mean(axis=0), rtol=1e-7)
    np.testing.assert_allclose(variance, np.float64(x).var(axis=0), rtol=1e-6)


def test_a_nested_subclassed_model_with_mixed_precision(digits):
    class Inner(layers.Layer):
        def __init__(self):
            super().__init__(name="inner")
            self.dense, self.bn = layers.Dense(4), BN(name="bn")

        def call(self, inputs):
            return self.bn(self.dense(inputs))

    class Outer(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def call(self, inputs):
            return self.inner(inputs)

    keras.config.set_dtype_policy("mixed_bfloat16")
    model = Outer()
    model(digits[:2])
    assert models.refit_batchnorm(model, digits, verbose=0) == ["inner/bn"]
    with trace_calls(model) as calls:
        model(digits)
    (call,) = [call for call in calls if call.path == "inner/bn"]
    inputs = keras.ops.convert_to_numpy(keras.ops.cast(call.inputs[0], "float32"))
    np.testing.assert_allclose(
        model.inner.bn.moving_mean,
        np.float64(inputs).mean(axis=0),
        rtol=1e-4,
        atol=1e-5,
    )


BAD_DATA = [
    (np.zeros((0, 64), "float32"), {}, ValueError, "empty|no sample"),
    (iter([]), {}, ValueError, "empty|no sample"),
    (np.full((4, 64), np.nan, "float32"), {}, ValueError, "Batch 0.*NaN"),
    (np.zeros((1, 64), "float32"), {}, ValueError, "single value"),
    (np.zeros((1, 64), "float32"), {"sequential": True}, ValueError, "two values"),
    (np.zeros((9, 64), "float32"), {"batch_size": 1}, ValueError, "sequential=True"),
    (np.zeros((9, 64), "float32"), {"batch_size": 0}, ValueError, "batch_size"),
    (np.zeros((9, 64), "float32"), {"steps": 0.5}, ValueError, "steps"),
    (iter([np.ones((4, 64))]), {"sequential": True}, ValueError, "only once"),
    ([np.zeros((4, 64)), np.zeros(3)], {}, ValueError, "same number"),
    ([[1.0, 2.0], [3.0, 4.0]], {}, TypeError, "np.asarray"),
    (3, {}, TypeError, "dataset"),
]


@pytest.mark.parametrize(("data", "arguments", "error", "message"), BAD_DATA)
def test_bad_data_raises_and_changes_nothing(data, arguments, error, message):
    model = two_layers()
    before = all_values(model)
    with pytest.raises(error, match=message):
        models.refit_batchnorm(model, data, verbose=0, **arguments)
    for old, new in zip(before, all_values(model), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("sequential", [False, True])
def test_a_failure_midway_changes_nothing(digits, sequential):
    model = two_layers()
    before = all_values(model)
    batches = np.split(digits, 4)
    batches[3] = np.full_like(batches[3], np.inf)
    with pytest.raises(ValueError, match="Batch 3"):
        models.refit_batchnorm(
            model, Sequence(batches), sequential=sequential, verbose=0
        )
    model.get_layer("dense").kernel.assign(np.full((64, 12), 3e38))
    before[0] = np.full((64, 12), 3e38, "float32")
    with pytest.raises(ValueError, match="'first'.*NaN or infinite"):
        models.refit_batchnorm(model, digits, sequential=sequential, verbose=0)
    for old, new in zip(before, all_values(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_endless_sequence_needs_steps():
    class Endless(Sequence):
        @property
        def num_batches(self):
            return None

    model = two_layers()
    with pytest.raises(ValueError, match="steps"):
        models.refit_batchnorm(model, Endless([]), verbose=0)


def test_models_without_batch_normalization_are_refused():
    with pytest.raises(ValueError, match="no BatchNormalization"):
        models.refit_batchnorm(
            keras.Sequential([keras.Input((3,)), layers.Dense(2)]), np.zeros((4, 3))
        )
    with pytest.raises(ValueError, match="not built"):
        models.refit_batchnorm(keras.Sequential([BN()]), np.zeros((4, 3)))
    with pytest.raises(TypeError, match=r"keras\.Model"):
        models.refit_batchnorm(BN(), np.zeros((4, 3)))


def test_a_layer_that_is_not_called_is_named():
    sequential = two_layers()
    model = keras.Model(sequential.inputs[0], sequential.outputs[0])
    model.spare = BN(name="spare")
    model.spare.build((None, 3))
    x = np.random.default_rng(0).normal(size=(40, 64)).astype("float32")
    with pytest.warns(UserWarning, match="spare"):
        assert models.refit_batchnorm(model, x, verbose=0) == ["first", "second"]


def test_dropout_keeps_its_seed_and_the_bar_is_shown(digits, capsys):
    model = two_layers()
    seed = model.layers[2].seed_generator.state
    before = np.array(keras.ops.convert_to_numpy(seed))
    models.refit_batchnorm(model, digits, batch_size=100, sequential=True)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(seed), before)
    assert "8/8" in capsys.readouterr().out
    models.refit_batchnorm(model, iter(np.split(digits, 4)))
    assert "4/4" in capsys.readouterr().out
    models.refit_batchnorm(model, digits, verbose=0)
    assert capsys.readouterr().out == ""

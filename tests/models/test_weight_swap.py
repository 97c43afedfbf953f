"""Scopes with other weights: against numpy and Keras, and everything comes back."""

import contextlib

import keras
import numpy as np
import pytest
from keras import layers

from kerasbnn import QuantDense, QuantSeparableConv2D
from kerasbnn.models.weight_swap import binarized_scope, continuous_scope
from tests.helpers.gradients import array
from tests.helpers.layer_cases import CASES
from tests.helpers.swap_networks import BINARY


def sign(values):
    return np.where(values >= 0, 1.0, -1.0)


def dense_model():
    """Two binary layers with a batch normalization between them."""
    return keras.Sequential(
        [
            keras.Input((7,)),
            QuantDense(6, **BINARY, name="first"),
            layers.BatchNormalization(name="norm"),
            QuantDense(3, **BINARY, name="second"),
        ]
    )


def numpy_outputs(model, x, swapped):
    """What the network computes, in float64, with the latent weights of some layers."""
    first, second = (
        np.float64(array(model.get_layer(name).kernel)) for name in ("first", "second")
    )
    gamma, beta, mean, variance = map(array, model.get_layer("norm").variables)
    z = sign(x) @ (first if "first" in swapped else sign(first))
    z = gamma * (z - mean) / np.sqrt(variance + 1e-3) + beta
    return sign(z) @ (second if "second" in swapped else sign(second))


@pytest.mark.parametrize(
    "swapped", [["first"], ["second"], ("first", "second"), None], ids=str
)
def test_equals_the_network_written_out_in_numpy(swapped, rng):
    model = dense_model()
    norm = model.get_layer("norm")
    norm.set_weights([rng.uniform(0.5, 2, 6), *rng.normal(size=(2, 6)), np.ones(6)])
    x = rng.normal(size=(20, 7))
    with continuous_scope(model, swapped) as inside:
        assert inside is model
        outputs = array(model(x)), model.predict(x, verbose=0)
    for got in outputs:
        expected = numpy_outputs(model, x, swapped or ("first", "second"))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(array(model(x)), numpy_outputs(model, x, ()), atol=1e-5)


@pytest.mark.parametrize(
    ("case", "policy"),
    [(case, "float32") for case in CASES] + [(CASES[0], "mixed_bfloat16")],
    ids=lambda value: getattr(value, "name", value),
)
def test_is_the_same_layer_without_kernel_quantizers(case, policy, rng):
    x = rng.normal(size=case.input_shape).astype("float32")
    quantized = case.make("magnitude_aware_sign", "ste_sign", dtype=policy)
    model = keras.Sequential([keras.Input(case.input_shape[1:]), quantized])
    plain = case.make(None, "ste_sign", dtype=policy)
    twin = keras.Sequential([keras.Input(case.input_shape[1:]), plain])
    twin.set_weights(model.get_weights())
    before = as_float(model(x))
    with continuous_scope(model):
        np.testing.assert_array_equal(as_float(model(x)), as_float(twin(x)))
    np.testing.assert_array_equal(as_float(model(x)), before)
    assert np.abs(before - as_float(twin(x))).max() > 1e-3


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("quantizer", ["ste_sign", "magnitude_aware_sign"])
def test_a_float_layer_is_the_quantized_one(case, quantizer, rng):
    x = rng.normal(size=case.input_shape).astype("float32")
    shape = case.input_shape[1:]
    quantized = keras.Sequential([keras.Input(shape), case.make(quantizer)])
    expected = array(quantized(x))
    for layer in (case.keras_class(**case.arguments), case.make(None)):
        model = keras.Sequential([keras.Input(shape), layer])
        model.set_weights(quantized.get_weights())
        before = array(model(x))
        with binarized_scope(model, quantizer=quantizer):
            outputs = array(model(x))
        np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
        assert np.abs(before - expected).max() > 1e-3
        for after, stored in zip(
            model.get_weights(), quantized.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(after, stored)
        np.testing.assert_array_equal(array(model(x)), before)


def as_float(outputs):
    return array(keras.ops.cast(outputs, "float32"))


FUNCTIONS = ("train_function", "test_function", "predict_function")


def compiled_state(model):
    return [getattr(model, name) for name in FUNCTIONS]


def trained_on(model, x):
    """Compile all three functions of a model."""
    model.compile("sgd", "mse")
    y = np.zeros((len(x), model.output_shape[-1]))
    model.fit(x, y, verbose=0)
    model.evaluate(x, y, verbose=0)
    model.predict(x, verbose=0)
    return y


@pytest.mark.parametrize("fails", [False, True])
def test_compiled_functions_follow_and_come_back(fails, rng):
    model, x = dense_model(), rng.normal(size=(20, 7))
    y = trained_on(model, x)
    functions, weights = compiled_state(model), model.get_weights()
    kernel_quantizers = [layer.kernel_quantizer for layer in model.layers[::2]]
    before = model.predict(x, verbose=0), model.evaluate(x, y, verbose=0)
    variables = [v.path for v in model.variables]
    try:
        with continuous_scope(model, ["second"]):
            expected = numpy_outputs(model, x, ["second"])
            inside = model.predict(x, verbose=0)
            np.testing.assert_allclose(inside, expected, rtol=1e-4, atol=1e-4)
            loss = model.evaluate(x, y, verbose=0)
            np.testing.assert_allclose(loss, np.mean(expected**2), rtol=1e-4)
            assert abs(loss - before[1]) > 0.1
            assert [v.path for v in model.variables] == variables
            if fails:
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        assert fails
    assert all(map(lambda a, b: a is b, compiled_state(model), functions))
    restored = [layer.kernel_quantizer for layer in model.layers[::2]]
    assert all(map(lambda a, b: a is b, restored, kernel_quantizers))
    assert [v.path for v in model.variables] == variables
    for kept, weight in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)
    np.testing.assert_array_equal(model.predict(x, verbose=0), before[0])
    assert model.evaluate(x, y, verbose=0) == before[1]
    model.fit(x, y, verbose=0)


def test_float_kernels_come_back_bit_for_bit(rng):
    dense = layers.Dense(4, name="dense")
    model = keras.Sequential([keras.Input((3,)), dense])
    x = rng.normal(size=(5, 3)).astype("float32")
    kernel = rng.normal(size=(3, 4)).astype("float32")
    kernel[0] = (0.0, -0.0, 1e-30, 1e30)
    dense.set_weights([kernel, np.ones(4)])
    before = model.predict(x, verbose=0)
    with contextlib.suppress(ZeroDivisionError), binarized_scope(model, ["dense"]):
        # The sign of 0 is +1.
        np.testing.assert_array_equal(array(dense.kernel), sign(kernel))
        inside = model.predict(x, verbose=0)
        raise ZeroDivisionError
    np.testing.assert_allclose(inside, x @ sign(kernel) + 1, rtol=1e-5, atol=1e-5)
    assert model.get_weights()[0].tobytes() == kernel.tobytes()
    np.testing.assert_array_equal(model.predict(x, verbose=0), before)


class Nested(keras.Model):
    """A subclassed model, with a layer used twice in a block used twice."""

    def __init__(self):
        super().__init__(name="nested")
        shared = QuantDense(5, **BINARY, name="shared")
        self.block = keras.Sequential(
            [keras.Input((3, 5)), shared, shared], name="block"
        )
        self.head = layers.TimeDistributed(QuantDense(2, **BINARY, name="head"))

    def call(self, inputs):
        return self.head(self.block(self.block(inputs)))


def test_nested_shared_subclassed_and_wrapped_layers(rng):
    model, x = Nested(), rng.normal(size=(6, 3, 5)).astype("float32")
    before = model.predict(x, verbose=0)
    shared, head = (np.float64(w) for w in model.get_weights())
    for swapped in (["block/shared"], ["time_distributed/head"], None):
        w = shared if swapped is None or "block/shared" in swapped else sign(shared)
        z = x
        for _ in range(4):
            z = sign(z) @ w
        w = sign(head) if swapped == ["block/shared"] else head
        with continuous_scope(model, swapped):
            inside = model.predict(x, verbose=0)
            block = model.block.predict(x, verbose=0)
        np.testing.assert_allclose(inside, sign(z) @ w, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(block, blocks(x, shared, swapped), atol=1e-4)
        np.testing.assert_array_equal(model.predict(x, verbose=0), before)
        block = model.block.predict(x, verbose=0)
        np.testing.assert_allclose(block, blocks(x, shared, ["head"]), atol=1e-4)


def blocks(x, shared, swapped):
    w = shared if swapped is None or "block/shared" in swapped else sign(shared)
    return sign(sign(x) @ w) @ w


def test_both_kernels_of_a_separable_layer_and_no_others(rng):
    layer = QuantSeparableConv2D(
        3, 2, depthwise_quantizer="ste_sign", depthwise_constraint="weight_clip"
    )
    model = keras.Sequential([keras.Input((4, 4, 2)), layer])
    x = rng.normal(size=(2, 4, 4, 2)).astype("float32")
    depthwise, pointwise, bias = model.get_weights()

    def outputs(*weights):
        plain = layers.SeparableConv2D(3, 2)
        twin = keras.Sequential([keras.Input((4, 4, 2)), plain])
        twin.set_weights([*weights, bias])
        return array(twin(x))

    close = {"rtol": 1e-5, "atol": 1e-5}
    with continuous_scope(model):
        np.testing.assert_allclose(array(model(x)), outputs(depthwise, pointwise))
    # Only the kernel without a quantizer is made binary.
    with binarized_scope(model):
        expected = outputs(sign(depthwise), sign(pointwise))
        np.testing.assert_allclose(array(model(x)), expected, **close)
    expected = outputs(sign(depthwise), pointwise)
    np.testing.assert_allclose(array(model(x)), expected, **close)


def test_scopes_nest_and_combine(rng):
    model, x = dense_model(), rng.normal(size=(9, 7))
    before = array(model(x))
    with continuous_scope(model, ["first"]):
        alone = array(model(x))
        with continuous_scope(model, ["second"]):
            both = array(model(x))
            # Now they are float layers, and signs are what they were.
            with binarized_scope(model):
                np.testing.assert_allclose(array(model(x)), before, atol=1e-5)
            np.testing.assert_array_equal(array(model(x)), both)
        np.testing.assert_array_equal(array(model(x)), alone)
    np.testing.assert_array_equal(array(model(x)), before)


class Tied(layers.Dense):
    """A dense layer with the kernel of another one."""

    def __init__(self, other, **kwargs):
        super().__init__(other.units, use_bias=False, **kwargs)
        self.other = other

    def build(self, input_shape):
        self._kernel = self.other.kernel
        self.bias = None
        self.built = True


def test_a_kernel_of_two_layers_comes_back():
    first = layers.Dense(4, name="first")
    tied = Tied(first, name="tied")
    model = keras.Sequential([keras.Input((4,)), first, tied])
    kernel = array(first.kernel)
    with binarized_scope(model, ["first", "tied"], lambda values: 0.5 * values):
        np.testing.assert_array_equal(array(tied.kernel), 0.5 * kernel)
    np.testing.assert_array_equal(array(tied.kernel), kernel)


class Predicting(keras.callbacks.Callback):
    """Enters both scopes in the middle of a training."""

    def __init__(self, x):
        super().__init__()
        self.x = x
        self.differences = []

    def on_epoch_end(self, epoch, logs=None):
        before = self.model.predict(self.x, verbose=0)
        for scope in (continuous_scope, binarized_scope):
            with scope(self.model):
                inside = self.model.predict(self.x, verbose=0)
            self.differences.append(np.abs(inside - before).max())
            after = self.model.predict(self.x, verbose=0)
            np.testing.assert_array_equal(after, before)


def test_in_a_callback_of_a_running_training(rng):
    x, y = rng.normal(size=(32, 7)), rng.normal(size=(32, 2))

    def trained(callbacks):
        keras.utils.set_random_seed(1)
        model = dense_model()
        model.add(layers.Dense(2))
        model.compile("adam", "mse")
        model.fit(x, y, epochs=3, verbose=0, callbacks=callbacks)
        return model.get_weights()

    callback = Predicting(x)
    for alone, watched in zip(trained([]), trained([callback]), strict=True):
        # PyTorch rounds differently as memory happens to be aligned.
        np.testing.assert_allclose(alone, watched, rtol=1e-5, atol=1e-8)
    assert len(callback.differences) == 6
    assert min(callback.differences) > 1e-3


def test_what_is_trained_inside_stays_and_compiling_inside_holds(rng):
    model, x = dense_model(), rng.normal(size=(20, 7))
    y = trained_on(model, x)
    weights = model.get_weights()
    with continuous_scope(model):
        model.compile(keras.optimizers.SGD(0.1), "mae")
        model.fit(x, y, verbose=0)
        model.evaluate(x, y, verbose=0)
    assert np.abs(model.get_weights()[-1] - weights[-1]).max() > 0
    expected = np.abs(numpy_outputs(model, x, ())).mean()
    np.testing.assert_allclose(model.evaluate(x, y, verbose=0), expected, rtol=1e-4)


def test_a_model_saved_after_is_as_before(tmp_path, rng):
    model, x = dense_model(), rng.normal(size=(4, 7))
    with continuous_scope(model):
        pass
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))
    assert loaded.get_layer("first").kernel_quantizer is not None

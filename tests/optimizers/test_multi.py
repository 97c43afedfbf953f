"""Several optimizers in one model: who trains what, and what a reload keeps."""

import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn import QuantDense
from kerasbnn.optimizers import Bop, CaseOptimizer, MultiOptimizer
from kerasbnn.quantizers import NoOp

Adam, SGD = keras.optimizers.Adam, keras.optimizers.SGD


def bop_and_adam():
    return CaseOptimizer(
        (Bop.is_binary_variable, Bop(threshold=1e-4, gamma=0.05)),
        default_optimizer=Adam(0.01),
    )


def by_pattern(cls, pattern=".*/binary_.*/kernel"):
    optimizers = keras.optimizers.OptimizerMap(Adam(0.01))
    optimizers[pattern] = Bop(threshold=1e-4, gamma=0.05)
    return cls(optimizers)


def network(optimizer, **compile_arguments):
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8,)),
            QuantDense(
                6, kernel_quantizer=NoOp(precision=1), use_bias=False, name="binary_1"
            ),
            keras.layers.BatchNormalization(name="norm"),
            QuantDense(
                5,
                input_quantizer="ste_sign",
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
                name="latent",
            ),
            QuantDense(3, kernel_quantizer=NoOp(precision=1), name="binary_2"),
        ]
    )
    model.compile(optimizer, loss="mse", **compile_arguments)
    return model


def data(rng):
    return rng.normal(size=(16, 8)), rng.normal(size=(16, 3))


def trained_by(optimizer):
    """Names of the variables that each inner optimizer trains."""
    return [
        [variable.path.split("/", 1)[-1] for variable in inner._trainable_variables]
        for inner in optimizer.optimizers
    ]


def assert_same_state(a, b):
    assert len(a.optimizer.variables) == len(b.optimizer.variables)
    for x, y in zip(a.optimizer.variables, b.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(x), ops.convert_to_numpy(y))
    for x, y in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(x, y)


def test_bop_gets_exactly_the_binary_kernels():
    model = network(bop_and_adam())
    model.optimizer.build(model.trainable_variables)
    bop, adam = trained_by(model.optimizer)
    assert bop == ["binary_1/kernel", "binary_2/kernel"]
    assert sorted(bop + adam) == sorted(
        variable.path.split("/", 1)[-1] for variable in model.trainable_variables
    )


def test_each_optimizer_does_what_it_does_alone(rng):
    gradients = [rng.normal(size=(5, 4)).astype("float32") for _ in range(6)]

    def variables():
        binary = keras.Variable(np.ones((5, 4), "float32"))
        binary.precision = 1
        return [binary, keras.Variable(np.ones((5, 4), "float32"))]

    together, alone = variables(), variables()
    both, bop, adam = bop_and_adam(), Bop(1e-4, 0.05), Adam(0.01)
    for gradient in map(ops.convert_to_tensor, gradients):
        both.apply([gradient, 2 * gradient], together)
        bop.apply([gradient], alone[:1])
        adam.apply([2 * gradient], alone[1:])
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(a), ops.convert_to_numpy(b))
    assert (ops.convert_to_numpy(together[0]) < 0).any()


@pytest.mark.parametrize(
    "make",
    [bop_and_adam, lambda: by_pattern(MultiOptimizer)],
    ids=["cases", "patterns"],
)
def test_training_goes_on_after_a_reload(make, tmp_path, rng):
    x, y = data(rng)
    arguments = {"batch_size": 4, "shuffle": False, "verbose": 0}
    straight, interrupted = network(make()), network(make())
    straight.fit(x, y, epochs=3, **arguments)
    interrupted.fit(x, y, epochs=2, **arguments)
    interrupted.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert trained_by(reloaded.optimizer)[0] == ["kernel", "kernel"]
    assert_same_state(interrupted, reloaded)
    reloaded.fit(x, y, epochs=1, **arguments)
    assert_same_state(straight, reloaded)
    assert (straight.get_weights()[0] != interrupted.get_weights()[0]).any()
    # Once more, as the paths changed with the first reload.
    reloaded.save(tmp_path / "again.keras")
    assert_same_state(reloaded, keras.models.load_model(tmp_path / "again.keras"))


def test_keras_own_class_works_too_but_its_patterns_are_lost(tmp_path, rng):
    """If this fails, Keras has mended it, and our class says too much."""
    x, y = data(rng)
    model = network(by_pattern(keras.optimizers.MultiOptimizer))
    model.fit(x, y, verbose=0)
    np.testing.assert_array_equal(np.abs(model.get_layer("binary_1").kernel), 1)
    assert trained_by(model.optimizer)[0] == ["binary_1/kernel", "binary_2/kernel"]
    model.save(tmp_path / "model.keras")
    with pytest.warns(UserWarning, match="Skipping variable loading"):
        reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert trained_by(reloaded.optimizer)[0] == []


def test_one_optimizer_under_two_patterns_stays_one(tmp_path, rng):
    bop = Bop(threshold=1e-4, gamma=0.05)
    optimizers = keras.optimizers.OptimizerMap(
        Adam(0.01), {".*binary_1/kernel": bop, ".*binary_2/kernel": bop}
    )
    model = network(MultiOptimizer(optimizers))
    model.fit(*data(rng), verbose=0)
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert len(reloaded.optimizer.optimizers) == 2
    assert_same_state(model, reloaded)


def test_state_is_in_the_file_once(tmp_path, rng):
    sizes = {}
    for make in (bop_and_adam, lambda: by_pattern(keras.optimizers.MultiOptimizer)):
        keras.utils.set_random_seed(1)
        model = keras.Sequential(
            [
                keras.Input((200,)),
                QuantDense(200, kernel_quantizer=NoOp(precision=1), name="binary_1"),
                keras.layers.Dense(200),
            ]
        )
        model.compile(make(), loss="mse")
        model.optimizer.build(model.trainable_variables)
        path = tmp_path / f"{model.optimizer.name}.keras"
        model.save(path)
        sizes[model.optimizer.name] = path.stat().st_size / (4 * 200 * 200)
    ours, keras_own = sizes.values()
    # Two kernels, one average of Bop, two of Adam.
    assert 5 < ours < 6
    assert keras_own > 7


@pytest.mark.parametrize(
    "compile_arguments", [{"jit_compile": True}, {"run_eagerly": True}]
)
def test_compiled_and_eager_training_agree(compile_arguments, rng):
    if keras.backend.backend() == "torch":
        pytest.skip("eager is what PyTorch does by default")
    x, y = data(rng)
    models = [network(bop_and_adam()), network(bop_and_adam(), **compile_arguments)]
    for model in models:
        model.optimizer.build(model.trainable_variables)
        model.fit(x, y, batch_size=8, shuffle=False, verbose=0)
        np.testing.assert_array_equal(np.abs(model.get_layer("binary_2").kernel), 1)
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-4)


def test_mixed_float16_scales_the_loss_once(tmp_path, rng):
    keras.config.set_dtype_policy("mixed_float16")
    model = network(bop_and_adam())
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    model.fit(*data(rng), epochs=2, verbose=0)
    np.testing.assert_array_equal(np.abs(model.get_layer("binary_1").kernel), 1)
    model.save(tmp_path / "model.keras")
    assert_same_state(model, keras.models.load_model(tmp_path / "model.keras"))


@pytest.mark.parametrize(
    "callback",
    [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
        keras.callbacks.ReduceLROnPlateau("loss", 0.5, patience=1, min_delta=1e9),
    ],
)
def test_learning_rate_callbacks_leave_bop_alone(callback, rng):
    model = network(bop_and_adam())
    history = model.fit(*data(rng), epochs=2, verbose=0, callbacks=[callback]).history
    assert "learning_rate_adam" in history
    bop, adam = model.optimizer.optimizers
    assert float(adam.learning_rate) < 0.01
    assert float(bop.gamma) == pytest.approx(0.05)


def test_function_as_a_map(rng):
    bop, adam = Bop(1e-4, 0.05), Adam(0.01)

    def choose(variable):
        return bop if Bop.is_binary_variable(variable) else adam

    for cls in (keras.optimizers.MultiOptimizer, MultiOptimizer):
        model = network(cls(choose))
        model.optimizer.build(model.trainable_variables)
        assert trained_by(model.optimizer)[0] == ["binary_1/kernel", "binary_2/kernel"]
        bop, adam = Bop(1e-4, 0.05), Adam(0.01)


@pytest.mark.filterwarnings("ignore:Skipping variable loading:UserWarning")
def test_saved_before_training_with_a_registered_predicate(tmp_path):
    model = network(bop_and_adam())
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    assert trained_by(reloaded.optimizer)[0] == ["kernel", "kernel"]


def test_saved_before_training_with_an_unknown_predicate(tmp_path):
    optimizer = CaseOptimizer(
        (lambda variable: variable.ndim > 1, SGD(0.1)), default_optimizer=Adam()
    )
    model = network(optimizer)
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match="register the predicates"):
        keras.models.load_model(tmp_path / "model.keras")


def test_unregistered_predicates_are_not_needed_after_training(tmp_path, rng):
    optimizer = CaseOptimizer(
        (lambda variable: variable.ndim == 1, SGD(0.1, momentum=0.9)),
        (Bop.is_binary_variable, Bop(1e-4, 0.05)),
        default_optimizer=Adam(),
    )
    model = network(optimizer)
    model.fit(*data(rng), verbose=0)
    model.save(tmp_path / "model.keras")
    assert_same_state(model, keras.models.load_model(tmp_path / "model.keras"))


@pytest.mark.parametrize(
    ("pairs", "default", "message"),
    [
        ([(lambda v: True, SGD()), (Bop.is_binary_variable, Bop())], None, "more than"),
        ([(Bop.is_binary_variable, Bop())], None, "No optimizer claims"),
        ([(lambda v: False, SGD())], Adam(), "gets no variable"),
    ],
)
def test_refuses_when_training_starts(pairs, default, message):
    optimizer = CaseOptimizer(*pairs, default_optimizer=default)
    model = network(optimizer)
    for _ in range(2):
        with pytest.raises(ValueError, match=message):
            optimizer.build(model.trainable_variables)


@pytest.mark.parametrize(
    ("pairs", "default"),
    [([Bop()], None), ([(Bop(), Bop.is_binary_variable)], None), ([], "adam")],
)
def test_refuses_other_arguments(pairs, default):
    with pytest.raises(TypeError, match=r"Bop\.is_binary_variable|Keras optimizer"):
        CaseOptimizer(*pairs, default_optimizer=default)

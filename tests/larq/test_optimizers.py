"""Optimizers and the flip ratio, step by step as in Larq."""

import keras
import numpy as np
import pytest

import kerasbnn.larq as lq
from tests.helpers.gradients import array, tensor
from tests.larq import real

BOPS = {
    "default": {},
    "flips": {"threshold": 1e-3, "gamma": 0.1},
    "ties": {"threshold": 0.0, "gamma": 0.5},
    "exact": {"threshold": 0.25, "gamma": 0.5},
}


@pytest.mark.parametrize("name", BOPS)
def test_bop(name):
    found = real.under(f"bop/{name}")
    variable = keras.Variable(found["start"])
    optimizer = lq.optimizers.Bop(**BOPS[name])
    for gradient, expected in zip(found["gradients"], found["steps"], strict=True):
        optimizer.apply([tensor(gradient)], [variable])
        np.testing.assert_array_equal(array(variable), expected)


@pytest.mark.parametrize("name", ["Adam", "SGD"])
def test_case_optimizer(name):
    found = real.under(f"case/{name}")
    layer = lq.layers.QuantDense(4, kernel_quantizer=lq.quantizers.NoOp(precision=1))
    layer.build((None, 5))
    layer.set_weights(real.row(found, "start"))
    kwargs = {"learning_rate": 0.1} | ({"momentum": 0.9} if name == "SGD" else {})
    optimizer = lq.optimizers.CaseOptimizer(
        (lq.optimizers.Bop.is_binary_variable, lq.optimizers.Bop(0.05, 0.2)),
        default_optimizer=getattr(keras.optimizers, name)(**kwargs),
    )
    for step in range(8):
        gradients = [tensor(found[f"gradient{step}/{j}"]) for j in range(2)]
        optimizer.apply(gradients, layer.trainable_variables)
        kernel, bias = layer.get_weights()
        np.testing.assert_array_equal(kernel, found[f"weight{step}/0"])
        np.testing.assert_allclose(bias, found[f"weight{step}/1"], rtol=2e-5, atol=1e-6)


def test_the_flip_ratio():
    found = real.under("flips")
    metric = lq.metrics.FlipRatio()
    for step, signs in enumerate(found["signs"]):
        if step == 5:
            metric.reset_state()
        metric.update_state(signs)
        assert float(metric.result()) == pytest.approx(found["results"][step], abs=1e-6)


def test_all_binary_kernels_count_as_binary_variables():
    # As in Larq: also those with latent weights behind them.
    is_binary = lq.optimizers.Bop.is_binary_variable
    for quantizer, expected in (
        ("ste_sign", True),
        ("ste_tern", False),
        (lq.quantizers.NoOp(precision=1), True),
        (lq.quantizers.NoOp(precision=8), False),
        (None, False),
    ):
        layer = lq.layers.QuantDense(
            2, kernel_quantizer=quantizer, kernel_constraint="weight_clip"
        )
        layer.build((None, 3))
        assert is_binary(layer.kernel) is expected
        assert not is_binary(layer.bias)


def small_model():
    binary = lq.quantizers.NoOp(precision=1)
    return keras.Sequential(
        [
            keras.Input((3,)),
            lq.layers.QuantDense(4, kernel_quantizer=binary, use_bias=False),
            keras.layers.Dense(2),
        ]
    )


DATA = np.ones((8, 3), "float32"), np.ones((8, 2), "float32")


def test_what_no_optimizer_claims_stays_and_is_said():
    model = small_model()
    bop = lq.optimizers.Bop(threshold=0.0, gamma=0.5)
    optimizer = lq.optimizers.CaseOptimizer((bop.is_binary_variable, bop))
    model.compile(optimizer, "mse")
    before = model.get_weights()
    with pytest.warns(UserWarning, match="is not trained") as warnings:
        model.fit(*DATA, epochs=2, verbose=0)
    assert len({str(w.message) for w in warnings if "trained" in str(w.message)}) == 2
    after = model.get_weights()
    assert set(np.unique(after[0])) <= {-1, 1}
    for i in (1, 2):
        np.testing.assert_array_equal(before[i], after[i])
    assert optimizer.default is None
    assert list(optimizer.var_opt_mapping.values()) == [0]


def test_what_is_refused():
    bop = lq.optimizers.Bop()
    with pytest.raises(TypeError, match="predicate"):
        lq.optimizers.CaseOptimizer((1, bop))
    with pytest.raises(TypeError, match="optimizer"):
        lq.optimizers.CaseOptimizer((bop.is_binary_variable, "bop"))
    with pytest.raises(TypeError, match="default_optimizer"):
        lq.optimizers.CaseOptimizer(default_optimizer="adam")
    for predicates, message in (
        ([lambda v: True, lambda v: True], "claimed by"),
        ([lambda v: False], "gets no variable"),
    ):
        pairs = [(predicate, lq.optimizers.Bop()) for predicate in predicates]
        optimizer = lq.optimizers.CaseOptimizer(
            *pairs, default_optimizer=keras.optimizers.SGD()
        )
        with pytest.raises(ValueError, match=message):
            optimizer.build(small_model().trainable_variables)


def test_optimizers_save_and_load(tmp_path):
    model = small_model()
    optimizer = lq.optimizers.CaseOptimizer(
        (lambda v: "dense/kernel" in v.path and "quant" in v.path, lq.optimizers.Bop()),
        default_optimizer=keras.optimizers.Adam(0.01),
    )
    assert optimizer.var_opt_mapping is None
    model.compile(optimizer, "mse")
    model.fit(*DATA, epochs=2, verbose=0)
    assert sorted(optimizer.var_opt_mapping.values()) == [0, 1, 1]
    assert len(optimizer.weights) == len(optimizer.variables)
    assert len(optimizer.pred_opt_pairs) == 1
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.optimizer) is lq.optimizers.CaseOptimizer
    assert type(again.optimizer.optimizers[0]) is lq.optimizers.Bop
    for one in (model, again):
        one.fit(*DATA, epochs=2, verbose=0)
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_bop_has_larqs_config():
    expected = real.content("configs")["bop"]
    config = lq.optimizers.Bop(threshold=0.5, gamma=0.25).get_config()
    assert {key: config[key] for key in expected} == expected
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    bop = lq.optimizers.Bop(gamma=schedule)
    again = lq.optimizers.Bop.from_config(bop.get_config())
    assert again.get_config() == bop.get_config()

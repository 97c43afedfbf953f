"""Which quantizers and values a schedule takes, and which it refuses."""

import keras
import numpy as np
import pytest

from kerasbnn import QuantDense
from kerasbnn.callbacks import QuantizerSchedule
from kerasbnn.quantizers import DoReFa, NoOp, SteTern
from kerasbnn.tfmot import LastValueQuantizer
from tests.helpers.scheduling import Scaled, data, fit, network


def two_kinds():
    first, second = SteTern(0.1), SteTern(0.2)
    inner = keras.Sequential(
        [
            QuantDense(
                4,
                input_quantizer=SteTern(0.3),
                kernel_quantizer=second,
                name="second",
            )
        ],
        name="inner",
    )
    inputs = keras.Input((4,))
    layer = QuantDense(4, kernel_quantizer=first, name="first")
    model = keras.Model(inputs, inner(layer(inputs)))
    model.compile("sgd", loss="mse")
    return model, first, second, inner.layers[0].input_quantizer


@pytest.mark.parametrize(
    ("quantizer", "layers", "expected"),
    [
        ("ste_tern", None, [9, 9, 9]),
        ("SteTern", None, [9, 9, 9]),
        (SteTern, None, [9, 9, 9]),
        ("kernel_quantizer", None, [9, 9, 0.3]),
        ("input_quantizer", None, [0.1, 0.2, 9]),
        ("kernel_quantizer", ["second"], [0.1, 9, 0.3]),
        ("ste_tern", "inner", [0.1, 9, 9]),
        (SteTern, ["first"], [9, 0.2, 0.3]),
    ],
)
def test_finds_the_quantizers_that_are_meant(quantizer, layers, expected, rng):
    model, *targets = two_kinds()
    schedule = QuantizerSchedule(
        quantizer, "threshold_value", lambda epoch: 9, layers=layers, name="t"
    )
    history = fit(model, schedule, data(rng), 1)
    assert [target.threshold_value for target in targets] == expected
    assert history["t"] == [9]


def test_instances_and_layers_as_objects(rng):
    model, first, second, third = two_kinds()
    schedule = QuantizerSchedule(second, "threshold_value", lambda epoch: 9)
    fit(model, schedule, data(rng), 1)
    in_first = QuantizerSchedule(
        SteTern, "threshold_value", lambda epoch: 8, layers=model.layers[1]
    )
    fit(model, in_first, data(rng), 1)
    assert [q.threshold_value for q in (first, second, third)] == [8, 9, 0.3]


@pytest.mark.parametrize("quantizer", ["ste_sgn", "stetern"])
def test_unknown_names(quantizer):
    with pytest.raises(ValueError, match="Did you mean"):
        QuantizerSchedule(quantizer, "clip_value", lambda epoch: 1.0)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"on": "batch"}, ValueError, "'epoch' or 'step'"),
        ({"schedule": 0.5}, TypeError, "function of the epoch"),
        ({"quantizer": np.sign}, TypeError, "plain function"),
        ({"quantizer": None}, TypeError, "`quantizer` must be"),
    ],
)
def test_refuses_arguments(arguments, error, message):
    valid = {
        "quantizer": "ste_tern",
        "parameter": "clip_value",
        "schedule": lambda epoch: 1.0,
    }
    with pytest.raises(error, match=message):
        QuantizerSchedule(**{**valid, **arguments})


@pytest.mark.parametrize(
    ("quantizer", "schedule", "error", "message"),
    [
        (SteTern(), ("swish_sign", "beta"), ValueError, "It has these kinds: SteTern"),
        (
            SteTern(),
            ("ste_tern", "threshold"),
            ValueError,
            "no parameter 'threshold'.*Did you mean 'threshold_value'.*clip_value",
        ),
        (
            SteTern(),
            ("ste_tern", "optimal_threshold"),
            ValueError,
            "'optimal_threshold' of SteTern is not a number",
        ),
        (Scaled(), (Scaled, "label"), ValueError, "not a number.*alpha"),
        (DoReFa(2), (DoReFa, "k_bit"), ValueError, "fixed when a model is built"),
        (
            LastValueQuantizer(8),
            (LastValueQuantizer, "num_bits"),
            ValueError,
            "fixed when a model is built",
        ),
        (NoOp(1), (NoOp, "precision"), ValueError, "fixed.*can be set: none"),
        (SteTern(), ("ste_tern", "name"), ValueError, "not a number"),
        (SteTern(), ("input_quantizer", "clip_value"), ValueError, "no quantizer that"),
    ],
)
def test_refuses_before_training_starts(quantizer, schedule, error, message, rng):
    model = network(quantizer)
    before = model.get_weights()[0]
    callback = QuantizerSchedule(*schedule, lambda epoch: 1.0)
    with pytest.raises(error, match=message):
        fit(model, callback, data(rng))
    np.testing.assert_array_equal(model.get_weights()[0], before)


def test_refuses_unknown_layers(rng):
    callback = QuantizerSchedule(
        "ste_tern", "clip_value", lambda epoch: 1.0, layers=["dense"]
    )
    with pytest.raises(ValueError, match="no layer 'dense'. Did you mean 'dense_0'"):
        fit(network(SteTern()), callback, data(rng))


@pytest.mark.parametrize(
    ("value", "error", "message"),
    [
        ("0.5", TypeError, "returned '0.5' for epoch 0"),
        (None, TypeError, "must return a number"),
        ([0.5], TypeError, "must return a number"),
        (True, TypeError, "must return a number"),
        (float("nan"), ValueError, "finite"),
        (-1.0, ValueError, "threshold_value.*at least 0"),
    ],
)
def test_refuses_values(value, error, message, rng):
    model, first, second, third = two_kinds()
    before = model.get_weights()[0]
    callback = QuantizerSchedule("ste_tern", "threshold_value", lambda epoch: value)
    with pytest.raises(error, match=message):
        fit(model, callback, data(rng))
    assert [q.threshold_value for q in (first, second, third)] == [0.1, 0.2, 0.3]
    np.testing.assert_array_equal(model.get_weights()[0], before)
    assert len(model.variables) == len(model.weights)

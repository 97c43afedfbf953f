"""The clip constraint on latent weights."""

import keras
import numpy as np
import pytest

from kerasbnn import constraints
from kerasbnn.constraints import WeightClip
from tests.helpers.gradients import array, tensor


@pytest.mark.parametrize("clip_value", [1.0, 0.5, 2])
@pytest.mark.parametrize("shape", [(7,), (4, 5), (3, 3, 2, 4)])
def test_values_are_clipped(clip_value, shape, rng):
    w = array(tensor(2 * rng.normal(size=shape)))
    clipped = array(WeightClip(clip_value)(tensor(w)))
    np.testing.assert_array_equal(clipped, np.clip(w, -clip_value, clip_value))


def test_identifiers():
    for identifier in ("weight_clip", "WeightClip", WeightClip, WeightClip()):
        assert constraints.get(identifier).clip_value == 1.0
    config = keras.constraints.serialize(WeightClip(0.5))
    assert constraints.get(config).clip_value == 0.5
    assert constraints.get(None) is None
    assert isinstance(constraints.get("non_neg"), keras.constraints.NonNeg)


def test_unknown_names_suggest_ours():
    with pytest.raises(ValueError, match="Did you mean 'weight_clip'"):
        constraints.get("weight_clp")


@pytest.mark.parametrize("value", ["1", None, True, [1.0]])
def test_other_types_are_refused(value):
    with pytest.raises(TypeError, match="`clip_value` must be a number"):
        WeightClip(value)


@pytest.mark.parametrize("value", [0, -1.0, float("nan")])
def test_values_out_of_range_are_refused(value):
    with pytest.raises(ValueError, match="`clip_value` must be greater than 0"):
        WeightClip(value)


def test_holds_in_training(rng):
    layer = keras.layers.Dense(3, kernel_constraint=WeightClip(0.1))
    model = keras.Sequential([keras.Input((4,)), layer])
    model.compile(keras.optimizers.SGD(1.0), "mse")
    x = rng.normal(size=(8, 4)).astype("float32")
    model.fit(x, 10 * x[:, :3], verbose=0)
    kernel = array(layer.kernel.value)
    assert np.abs(kernel).max() == pytest.approx(0.1)
    assert (np.abs(kernel) == np.abs(kernel).max()).any()

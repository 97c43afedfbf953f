"""Arguments of quantizers out of range or of another type."""

import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn.quantizers import (
    DoReFa,
    IRNetSign,
    MagnitudeAwareSign,
    NoOp,
    SteHeaviside,
    SteSign,
    SteTern,
    SwishSign,
)

POSITIVE = [
    (SteSign, "clip_value", True),
    (SteHeaviside, "clip_value", True),
    (MagnitudeAwareSign, "clip_value", True),
    (SteTern, "clip_value", True),
    (SwishSign, "beta", False),
    (IRNetSign, "temperature", False),
    (NoOp, "precision", False),
]


@pytest.mark.parametrize(("cls", "name", "optional"), POSITIVE)
@pytest.mark.parametrize("value", ["1.0", [1.0], {}, True, 1j, ops.add])
def test_other_types_are_refused(cls, name, optional, value):
    expected = f"`{name}` must be a number" + (" or None" if optional else "")
    with pytest.raises(TypeError, match=expected):
        cls(**{name: value})


@pytest.mark.parametrize(("cls", "name", "optional"), POSITIVE)
@pytest.mark.parametrize("value", [0, 0.0, -1.0, float("nan"), float("-inf")])
def test_values_out_of_range_are_refused(cls, name, optional, value):
    with pytest.raises(ValueError, match=f"`{name}` must be"):
        cls(**{name: value})


@pytest.mark.parametrize(("cls", "name", "optional"), POSITIVE)
def test_none(cls, name, optional):
    if optional:
        assert getattr(cls(**{name: None}), name) is None
        return
    with pytest.raises(TypeError, match=f"`{name}` must be a number"):
        cls(**{name: None})


@pytest.mark.parametrize("value", [1, 2.5, np.float32(0.5), np.int64(2)])
def test_any_real_number_will_do(value):
    assert SteSign(clip_value=value).get_config()["clip_value"] == value


@pytest.mark.parametrize("value", [-0.1, float("nan")])
def test_a_negative_threshold_is_refused(value):
    with pytest.raises(ValueError, match="`threshold_value` must be at least 0"):
        SteTern(threshold_value=value)


@pytest.mark.parametrize("value", ["0.1", None, True])
def test_a_threshold_of_another_type_is_refused(value):
    with pytest.raises(TypeError, match="`threshold_value` must be a number"):
        SteTern(threshold_value=value)


@pytest.mark.parametrize("value", [0, 17, -1, 2.0, "2", True, None])
def test_bits_of_dorefa(value):
    with pytest.raises(ValueError, match="`k_bit` must be an integer from 1 to 16"):
        DoReFa(k_bit=value)


@pytest.mark.parametrize("value", ["kernel", None, 1])
def test_mode_of_dorefa(value):
    with pytest.raises(ValueError, match="`mode` must be one of"):
        DoReFa(mode=value)


def test_precision_is_what_one_value_takes():
    assert DoReFa(k_bit=5).precision == 5
    assert NoOp(precision=3).precision == 3
    assert SteSign().precision == SteHeaviside().precision == 1
    assert SteTern().precision == 2


@pytest.mark.parametrize("cls", [SteSign, SteHeaviside, MagnitudeAwareSign])
def test_only_a_limited_gradient_starves(cls):
    assert cls().starves
    assert not cls(clip_value=None).starves


def test_a_python_list_is_refused_by_keras():
    with pytest.raises(ValueError, match="Only input tensors"):
        SteSign()([1.0, -1.0])
    assert isinstance(SteSign(), keras.layers.Layer)

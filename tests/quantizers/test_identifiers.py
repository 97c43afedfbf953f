"""What is accepted where a quantizer is expected, and what is written to files."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn import QuantConv2D, QuantDense, QuantSeparableConv2D, quantizers
from kerasbnn.quantizers import (
    ApproxSign,
    DoReFa,
    IRNetSign,
    MagnitudeAwareSign,
    NoOp,
    RotatedSign,
    RSign,
    SteHeaviside,
    SteSign,
    SteTern,
    SwishSign,
    WhitenedSign,
)
from tests.helpers.gradients import array, tensor

NAMES = {
    "approx_sign": ApproxSign,
    "dorefa_quantizer": DoReFa,
    "irnet_sign": IRNetSign,
    "magnitude_aware_sign": MagnitudeAwareSign,
    "r_sign": RSign,
    "rotated_sign": RotatedSign,
    "ste_heaviside": SteHeaviside,
    "ste_sign": SteSign,
    "ste_tern": SteTern,
    "swish_sign": SwishSign,
    "whitened_sign": WhitenedSign,
}
INSTANCES = [
    (ApproxSign, {}),
    (DoReFa, {"k_bit": 3, "mode": "weights"}),
    (IRNetSign, {"temperature": 0.5, "standardize": False, "scale": False}),
    (MagnitudeAwareSign, {"clip_value": None}),
    (NoOp, {"precision": 1}),
    (RSign, {}),
    (SteHeaviside, {"clip_value": 0.5}),
    (SteSign, {"clip_value": 1.25}),
    (SteSign, {"clip_value": None, "name": "mine", "metrics": ["flip_ratio"]}),
    (SteTern, {"threshold_value": 0.1, "clip_value": 0.5}),
    (SteTern, {"ternary_weight_networks": True}),
    (SteTern, {"optimal_threshold": True}),
    (SwishSign, {"beta": 3.0}),
]


@keras.saving.register_keras_serializable(package="tests")
def halved_sign(x):
    """A quantizer of the user's own, as a plain function."""
    return ops.where(x >= 0, ops.cast(0.5, x.dtype), ops.cast(-0.5, x.dtype))


@keras.saving.register_keras_serializable(package="tests")
class DoubledSign(quantizers.Quantizer):
    """A quantizer of the user's own, as a class with an argument."""

    precision = 1

    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return self.factor * SteSign()(inputs)

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


@pytest.mark.parametrize("name", NAMES)
def test_names(name):
    cls = NAMES[name]
    assert type(quantizers.get(name)) is cls
    assert type(quantizers.get(cls.__name__)) is cls
    assert type(quantizers.get(f"kerasbnn>{cls.__name__}")) is cls
    assert type(quantizers.get(cls)) is cls


def test_every_name_is_tested():
    assert set(NAMES) | {"no_op"} == set(quantizers.ALIASES)


def test_names_that_larq_had_before():
    assert type(quantizers.get("DoReFaQuantizer")) is DoReFa
    config = {"class_name": "NoOpQuantizer", "config": {"precision": 1}}
    assert quantizers.get(config).precision == 1


def test_none_and_callables_stay_as_they_are():
    quantizer = SteSign()
    assert quantizers.get(None) is None
    assert quantizers.get(quantizer) is quantizer
    assert quantizers.get(halved_sign) is halved_sign
    assert quantizers.serialize(None) is None
    assert quantizers.deserialize(None) is None


@pytest.mark.parametrize("identifier", ["no_op", "NoOp", NoOp])
def test_no_op_asks_for_its_precision(identifier):
    with pytest.raises(ValueError, match=r"NoOp\(precision=1\)"):
        quantizers.get(identifier)


@pytest.mark.parametrize(("cls", "arguments"), INSTANCES)
def test_round_trip(cls, arguments):
    original = cls(**arguments)
    # What a file holds has gone through JSON.
    config = json.loads(json.dumps(quantizers.serialize(original)))
    revived = quantizers.get(config)
    assert type(revived) is cls
    assert revived.get_config() == original.get_config()
    for name, value in arguments.items():
        if name != "metrics":
            assert getattr(revived, name) == value


@pytest.mark.parametrize(("cls", "arguments"), INSTANCES)
def test_short_form_as_larq_writes_it(cls, arguments):
    config = {"class_name": cls.__name__, "config": arguments}
    found, expected = quantizers.get(config), cls(**arguments)
    assert type(found) is cls
    assert {**found.get_config(), "name": ""} == {**expected.get_config(), "name": ""}


def test_short_form_with_what_keras_adds_to_a_config():
    config = {
        "class_name": "SteSign",
        "config": {
            "name": "ste_sign_7",
            "trainable": True,
            "dtype": "float32",
            "clip_value": 0.5,
        },
    }
    quantizer = quantizers.get(config)
    assert (quantizer.name, quantizer.clip_value) == ("ste_sign_7", 0.5)
    assert type(quantizers.get({"class_name": "ste_sign"})) is SteSign


def test_numpy_numbers_are_written_as_plain_ones():
    quantizer = SteSign(clip_value=np.float32(0.5))
    assert json.loads(json.dumps(quantizer.get_config()))["clip_value"] == 0.5
    assert DoReFa(k_bit=np.int64(3)).get_config()["k_bit"] == 3


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("ste_sing", "ste_sign"),
        ("stesign", "ste_sign"),
        ("SteSgn", "SteSign"),
        ("dorefa", "dorefa_quantizer"),
        ("magnitude_sign", "magnitude_aware_sign"),
    ],
)
def test_unknown_names_list_the_known_and_the_nearest(name, nearest):
    with pytest.raises(ValueError, match=f"Did you mean '{nearest}'") as caught:
        quantizers.get(name)
    assert all(known in str(caught.value) for known in quantizers.ALIASES)
    with pytest.raises(ValueError, match="Unknown quantizer"):
        QuantDense(3, kernel_quantizer=name)
    with pytest.raises(ValueError, match="Unknown quantizer"):
        quantizers.get({"class_name": name, "config": {}})


def test_a_name_like_no_other_suggests_nothing():
    with pytest.raises(ValueError, match="Known names") as caught:
        quantizers.get("qqqq")
    assert "Did you mean" not in str(caught.value)


@pytest.mark.parametrize("identifier", [1, 0.5, ["ste_sign"], ("ste_sign",), b"x"])
def test_other_types_are_refused(identifier):
    with pytest.raises(TypeError, match="must be a name, a config dict"):
        quantizers.get(identifier)


def test_a_dict_without_class_name_is_refused():
    with pytest.raises(ValueError, match="class_name"):
        quantizers.get({"clip_value": 1.0})


@pytest.mark.parametrize(
    ("quantizer", "levels"),
    [
        (halved_sign, {-0.5, 0.5}),
        (DoubledSign(3.0), {-3.0, 3.0}),
        (DoubledSign, {-2.0, 2.0}),
        ("tests>DoubledSign", {-2.0, 2.0}),
        ("tests>halved_sign", {-0.5, 0.5}),
    ],
)
def test_quantizers_of_the_users_own_survive_saving(tmp_path, quantizer, levels, rng):
    layer = QuantDense(
        4,
        input_quantizer=quantizer,
        kernel_quantizer=quantizer,
        kernel_constraint="weight_clip",
    )
    model = keras.Sequential([keras.Input((5,)), layer])
    x = tensor(rng.normal(size=(3, 5)))
    expected = array(model(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(loaded(x)), expected)
    kernel = array(loaded.layers[0].quantize_kernel())
    assert set(np.unique(kernel)) == levels


@pytest.mark.parametrize(("cls", "arguments"), INSTANCES)
def test_quantizers_survive_saving_in_a_layer(tmp_path, cls, arguments, rng):
    layer = QuantConv2D(
        3,
        2,
        input_quantizer=cls(**arguments),
        kernel_quantizer=cls(**arguments),
        kernel_constraint="weight_clip",
    )
    model = keras.Sequential([keras.Input((4, 4, 2)), layer])
    x = tensor(rng.normal(size=(2, 4, 4, 2)))
    expected = array(model(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(loaded(x)), expected)
    for name in ("input_quantizer", "kernel_quantizer"):
        revived = getattr(loaded.layers[0], name)
        assert revived.get_config() == getattr(layer, name).get_config()


SHARED = r"has weights of its own.*Give each place its own instance: RSign\(\)"


def test_a_stateful_quantizer_is_not_shared_between_layers():
    quantizer = RSign()
    QuantDense(3, input_quantizer=quantizer, name="first")
    with pytest.raises(ValueError, match=SHARED) as caught:
        QuantConv2D(3, 3, input_quantizer=quantizer, name="second")
    assert "`input_quantizer` of layer 'first'" in str(caught.value)
    assert "`input_quantizer` of layer 'second'" in str(caught.value)


def test_a_stateful_quantizer_is_not_shared_within_a_layer():
    quantizer = RSign()
    with pytest.raises(ValueError, match=SHARED):
        QuantDense(3, input_quantizer=quantizer, kernel_quantizer=quantizer)
    quantizer = RSign()
    with pytest.raises(ValueError, match=SHARED):
        QuantSeparableConv2D(
            3, 3, depthwise_quantizer=quantizer, pointwise_quantizer=quantizer
        )


def test_stateless_quantizers_may_be_shared(tmp_path, rng):
    quantizer = MagnitudeAwareSign()
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            QuantConv2D(
                3, 3, kernel_quantizer=quantizer, kernel_constraint="WeightClip"
            ),
            QuantSeparableConv2D(
                3,
                3,
                depthwise_quantizer=quantizer,
                depthwise_constraint="weight_clip",
                pointwise_quantizer=quantizer,
                pointwise_constraint="weight_clip",
            ),
        ]
    )
    x = tensor(rng.normal(size=(2, 6, 6, 2)))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(array(loaded(x)), array(model(x)))

"""Each verdict where it must appear, and where it must not."""

import dataclasses

import pytest

from kerasbnn.geometry.layer_geometry import (
    Alternatives,
    Angles,
    Inputs,
    LayerGeometry,
    Normalization,
    Products,
    Weights,
)
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.geometry.verdicts import KINDS, Thresholds, judge

SOUND = LayerGeometry(
    name="conv",
    layer="conv",
    kernel="kernel",
    type="QuantConv2D",
    fan_in=1152,
    filters=128,
    positions=1000,
    angles=Angles(mean=37.0, expected=37.05, expected_sd=0.6),
    products=Products(mean=0.93, centred_flips=0.12),
    inputs=Inputs(rho_median=3.0, participation_ratio=40.0),
    weights=Weights(
        clip_value=1.0,
        saturated=0.1,
        starved=0.0,
        levels={"-1": 0.5, "1": 0.5},
        flips_since_start=0.1,
    ),
    normalization=Normalization("bn", shift=0.01, variance_ratio=1.02),
    alternatives=Alternatives(ternary=0.97, rotated=0.93, whitened=0.8),
)


def changed(layer=SOUND, **parts):
    """Change single figures: `changed(products={"mean": 0.5})`."""
    values = {
        name: dataclasses.replace(getattr(layer, name), **value)
        if isinstance(value, dict)
        else value
        for name, value in parts.items()
    }
    return dataclasses.replace(layer, **values)


def kinds(layer, **thresholds):
    return [verdict.kind for verdict in judge(layer, Thresholds(**thresholds))]


LOW = changed(
    products={"mean": 0.6},
    alternatives={"ternary": 0.7, "rotated": 0.62, "whitened": 0.62},
)

# The verdict, a layer that must have it, and ones that must not.
CASES = [
    ("binarize", SOUND, [LOW, changed(products={"mean": 0.8499})]),
    (
        "ternarize",
        changed(LOW, alternatives={"ternary": 0.86}),
        [SOUND, changed(LOW, alternatives={"ternary": 0.849})],
    ),
    (
        "rotate",
        changed(LOW, angles={"mean": 60.0}, alternatives={"rotated": 0.78}),
        [
            SOUND,
            # The angle is what Gaussian weights have: a rotation changes nothing.
            changed(LOW, alternatives={"rotated": 0.78}),
            changed(LOW, angles={"mean": 60.0}, alternatives={"rotated": 0.64}),
        ],
    ),
    (
        "whiten",
        changed(LOW, inputs={"rho_median": 0.3}, alternatives={"whitened": 0.79}),
        [
            SOUND,
            changed(LOW, alternatives={"whitened": 0.79}),
            changed(LOW, inputs={"rho_median": 0.3}),
        ],
    ),
    (
        "keep_continuous",
        LOW,
        [SOUND, changed(LOW, alternatives={"ternary": 0.86})],
    ),
    (
        "keep_quantized",
        changed(bits=4, weights={"levels": None}),
        [SOUND, changed(bits=4, products={"mean": 0.5})],
    ),
    (
        "not_measured",
        changed(products=Products(), problems=("There are no samples.",)),
        [SOUND, LOW],
    ),
    (
        "refit_batchnorm",
        changed(normalization={"shift": 0.3}),
        [
            SOUND,
            changed(normalization={"shift": 0.24}),
            changed(normalization={"variance_ratio": 1.4}),
            changed(normalization=None),
            changed(normalization={"shift": None}),
        ],
    ),
    (
        "refit_batchnorm",
        changed(normalization={"variance_ratio": 0.5}),
        [changed(normalization={"variance_ratio": 0.7})],
    ),
    (
        "refit_batchnorm",
        changed(normalization={"variance_ratio": 0.0}),
        [SOUND],
    ),
    (
        "dead_weights",
        changed(weights={"starved": 0.06}),
        [SOUND, changed(weights={"starved": 0.05}), changed(weights=Weights())],
    ),
    (
        "dead_weights",
        changed(weights={"saturated": 0.51}),
        [changed(weights={"saturated": 0.5})],
    ),
    (
        "dead_weights",
        changed(weights={"dead_filters": 7}),
        [changed(weights={"dead_filters": 6})],
    ),
    (
        "dead_weights",
        changed(weights={"dead_channels": 7}),
        [
            changed(weights={"dead_channels": 6}),
            # A filter of one weight cannot have signs of two kinds.
            changed(weights={"dead_channels": 128}, fan_in=1),
            # Of so few signs, all are equal by chance now and then.
            changed(weights={"dead_channels": 16}, fan_in=4),
        ],
    ),
    (
        "raise_learning_rate",
        changed(weights={"flips_since_start": 0.004}),
        [
            SOUND,
            changed(weights={"flips_since_start": 0.006}),
            changed(weights={"flips_since_start": None}),
        ],
    ),
]


@pytest.mark.parametrize(("kind", "layer", "others"), CASES)
def test_a_verdict_appears_where_it_must_and_nowhere_else(kind, layer, others):
    assert kind in kinds(layer)
    for other in others:
        assert kind not in kinds(other)


def test_every_kind_is_tried():
    assert {kind for kind, _, _ in CASES} == set(KINDS)


def test_the_first_verdict_says_how_to_quantize():
    how = KINDS[: KINDS.index("not_measured") + 1]
    for _, layer, others in CASES:
        for one in (layer, *others):
            first, *rest = kinds(one)
            assert first in how
            assert not set(rest) & set(how)


def test_verdicts_say_the_figures_and_what_to_do():
    layer = changed(LOW, inputs={"rho_median": 0.3}, alternatives={"whitened": 0.79})
    (verdict,) = judge(layer)
    for figure in ("0.600", "0.3 ", "40.0 effective", "of 1152", "0.79"):
        assert figure in verdict.reason
    assert "whitened_sign" in verdict.remedy
    for _, one, _ in CASES:
        for verdict in judge(one):
            for text in (verdict.reason, verdict.remedy):
                assert text.endswith(".")
            assert "None" not in verdict.reason
            assert "nan" not in verdict.reason


def test_thresholds_are_parameters():
    assert kinds(SOUND, preserved=0.95, gain=0.03)[0] == "ternarize"
    assert kinds(SOUND, preserved=0.95, gain=0.1)[0] == "keep_continuous"
    assert "refit_batchnorm" in kinds(SOUND, batchnorm_shift=0.005)
    assert "raise_learning_rate" in kinds(SOUND, flips=0.2)
    with pytest.raises(ValueError, match=r"`gain` must be a finite number"):
        Thresholds(gain=float("nan"))


def test_the_remedy_for_a_float_layer_is_to_make_it_binary():
    float_layer = changed(is_quantized=False)
    assert "ste_sign" in judge(float_layer)[0].remedy
    assert "Nothing" in judge(SOUND)[0].remedy


def test_a_float_layer_is_advised_the_quantizer_it_was_measured_with():
    for quantizer, kind in (("RotatedSign", "rotate"), ("WhitenedSign", "whiten")):
        layer = changed(is_quantized=False, quantizer=quantizer)
        assert kinds(layer) == [kind]
        assert quantizer in judge(layer)[0].remedy
    other = changed(
        is_quantized=False, quantizer="DoReFa", bits=4, weights={"levels": None}
    )
    assert kinds(other) == ["keep_quantized"]
    assert "DoReFa" in judge(other)[0].remedy


def test_what_was_not_measured_is_not_said_to_fail():
    unknown = changed(LOW, alternatives={"whitened": None})
    (verdict,) = judge(unknown)
    assert verdict.kind == "keep_continuous"
    assert "whitened inputs would do was not measured" in verdict.reason
    assert "max_patches=4096" in verdict.reason
    assert "not measured" not in judge(LOW)[0].reason


def test_a_ternary_layer_that_is_preserved_stays_ternary():
    ternary = changed(bits=2, weights={"levels": {"-1": 0.3, "0": 0.4, "1": 0.3}})
    assert kinds(ternary) == ["keep_quantized"]
    assert kinds(changed(ternary, is_quantized=False)) == ["ternarize"]


def report(*layers):
    judged = [dataclasses.replace(layer, verdicts=judge(layer)) for layer in layers]
    return GeometryReport("net", tuple(judged), samples=10)


def test_the_plan_has_a_word_for_each_layer():
    whiten = changed(LOW, inputs={"rho_median": 0.3}, alternatives={"whitened": 0.79})
    rotate = changed(LOW, angles={"mean": 60.0}, alternatives={"rotated": 0.78})
    ternary = changed(LOW, alternatives={"ternary": 0.86})
    layers = [
        dataclasses.replace(layer, layer=name, name=name)
        for name, layer in {
            "a": SOUND,
            "b": whiten,
            "c": rotate,
            "d": ternary,
            "e": LOW,
        }.items()  # fmt: skip
    ]
    plan = report(*layers).plan()
    assert plan == {
        "a": "binary", "b": "continuous", "c": "rotated", "d": "ternary",
        "e": "continuous",
    }  # fmt: skip
    assert report(*layers).plan(whiten=True)["b"] == "whitened"


def test_of_two_kernels_the_more_careful_word_counts():
    kernels = [
        dataclasses.replace(layer, name=f"conv/{i}")
        for i, layer in enumerate([SOUND, LOW, SOUND])
    ]
    assert report(*kernels).plan() == {"conv": "continuous"}


def test_without_verdicts_there_is_no_plan():
    unjudged = dataclasses.replace(SOUND, name="b", verdicts=())
    judged = report(SOUND).layers[0]
    for layers in ((unjudged,), (judged, unjudged)):
        with pytest.raises(ValueError, match=r"for b: a probe's .*kerasbnn.audit"):
            GeometryReport("net", layers, samples=10).plan()
    assert GeometryReport("net", (), samples=0).plan() == {}

"""`Drift`: what it warns of and what it does not, and that its figures are right."""

import json
import math

import numpy as np
import pytest

from kerasbnn.probing import Drift, Observation, Reference
from kerasbnn.probing.drift import FEWEST_SAMPLES, t_quantile
from kerasbnn.probing.drift_rules import DEVIATIONS, KINDS, RULES
from kerasbnn.probing.figures import channel_moments, figures_of
from tests.probing.digits import DRIFTS, held_out, packaged


def drift_of(x):
    return Drift.of(Observation.measure(*packaged(), x))


def kinds_of(drift):
    return {layer.name: set(layer.kinds) for layer in drift.layers if layer.kinds}


@pytest.mark.parametrize("samples", [64, 100, 128, 256, 599])
def test_clean_digits_do_not_warn(samples):
    x = held_out()
    rng = np.random.default_rng(samples)
    for _ in range(20 if samples < 500 else 1):
        drift = drift_of(x[rng.choice(len(x), samples, replace=False)])
        assert drift.status == "measured"
        assert drift.warnings == {}


@pytest.mark.parametrize("samples", [64, 599])
@pytest.mark.parametrize("name", DRIFTS)
def test_drift_warns_where_it_is_seen(name, samples):
    change, expected = DRIFTS[name]
    found = kinds_of(drift_of(change(held_out()[:samples])))
    for layer, kinds in expected.items():
        assert found[layer].issuperset(kinds), (layer, found)


@pytest.mark.parametrize("name", DRIFTS)
def test_few_samples_say_nothing(name):
    drift = drift_of(DRIFTS[name][0](held_out()[: FEWEST_SAMPLES - 1]))
    assert drift.status == "collecting"
    assert drift.warnings == {}
    assert all(layer.kinds == () for layer in (*drift.layers, *drift.inputs))
    assert drift.layers[0].live["correlation"] is not None


@pytest.mark.parametrize("measured", [False, True])
def test_no_samples(measured):
    probe, reference = packaged()
    nothing = Observation(probe.description, reference)
    drift = drift_of(held_out()[:0]) if measured else Drift.of(nothing)
    assert drift.warnings == {}
    json.dumps(drift.to_dict(), allow_nan=False)
    for part in (*drift.layers, *drift.inputs):
        assert part.drift == {}
    assert drift.layers[0].live["correlation"] is None
    assert drift.inputs[0].live["outside"] is None


@pytest.mark.parametrize("samples", [1, 2, 64, 200])
def test_figures_are_those_of_the_probe(samples):
    probe, reference = packaged()
    x = held_out()[:samples]
    drift, statistics = drift_of(x), probe.measure(x)
    for layer in drift.layers:
        own = reference.layers[layer.name]
        for name, value in figures_of(statistics)[layer.name].items():
            live, held = layer.live[name], own.figures[name]
            assert live == (value and pytest.approx(value, rel=1e-5))
            assert layer.reference[name] == (
                held.value and pytest.approx(held.value, rel=1e-5)
            )
            if value is None or held.block_mean is None:
                assert name not in layer.drift
                continue
            bias = (held.block_mean - held.value) * reference.block / samples
            spread = held.block_sd * math.sqrt(
                reference.block / samples + reference.block / reference.samples
            )
            change = layer.drift[name]
            expected = value - held.value - bias
            assert change.change == pytest.approx(expected, rel=1e-4, abs=1e-9)
            assert change.spread == pytest.approx(spread, rel=1e-4, abs=1e-12)
            if spread:
                expected = change.change / change.spread
                assert change.deviations == pytest.approx(expected, rel=1e-3)
        means = channel_moments(statistics.kernels[layer.name])[0]
        assert layer.live["shift"] == pytest.approx(own.shift(means), rel=1e-5)


def test_figures_of_the_inputs():
    _, reference = packaged()
    x = DRIFTS["moved by 2"][0](held_out()[:200])
    (found,) = drift_of(x).inputs
    (covariance,) = reference.inputs.values()
    distances = covariance.distances(x)
    assert found.live["outside"] == pytest.approx(covariance.is_outside(x).mean())
    assert found.reference["outside"] == pytest.approx(covariance.beyond, rel=1e-5)
    for column, name in enumerate(("mahalanobis", "residual")):
        for level, quantile in (("50%", 0.5), ("90%", 0.9), ("99%", 0.99)):
            value = np.quantile(distances[:, column], quantile)
            assert found.live[name][level] == pytest.approx(value, rel=1e-5)
        assert found.live[name]["99.9%"] is None
    assert found.warnings == tuple(
        text for text in drift_of(x).layers[0].warnings if "covariance" in text
    )


def test_the_words():
    warnings = drift_of(-held_out()).warnings
    texts = [text for layer in warnings.values() for text in layer]
    assert len(texts) == len(set(texts))
    for words in (
        "100 % of live inputs lie outside of where 99 % of the reference inputs lie",
        "left the training covariance",
        "% of the activations are saturated, ",
        "The mean correlation of a filter fell from 0.",
        "The means of the input channels are 0.",
        "The entropy of the signs of a channel fell from 0.",
        "The mean that the batch normalization has is ",
    ):
        assert sum(words in text for text in texts) >= 1, words
    assert not any("nan" in text or "{" in text for text in texts)


def test_parts_merge_to_the_whole():
    probe, reference = packaged()
    x = -held_out()[:150]
    merged = Observation(probe.description, reference)
    for start in range(0, 150, 40):
        merged.merge(Observation.measure(probe, reference, x[start : start + 40]))
    assert merged.samples == 150
    assert kinds_of(Drift.of(merged)) == kinds_of(drift_of(x))
    (name,) = reference.inputs
    whole = Observation.measure(probe, reference, x)
    np.testing.assert_allclose(merged.distances[name], whole.distances[name])


def test_json():
    for x in (held_out(), -held_out(), held_out()[:1], held_out() * 0 - 1):
        values = drift_of(x).to_dict()
        assert json.loads(json.dumps(values, allow_nan=False)) == values
        for layer in values["layers"]:
            assert set(layer["kinds"]) <= set(KINDS)
            assert bool(layer["kinds"]) == bool(layer["warnings"])


def rule_of(figure):
    return next(rule for rule in RULES if rule.figure == figure)


def synthetic(value, block_sd, changed, figure="correlation"):
    """Compare the digits with a reference that has another figure of `conv_2`."""
    probe, reference = packaged()
    values = reference.to_dict()
    values["layers"]["conv_2"]["figures"][figure] = [value, value, block_sd]
    again = Reference.from_dict(values)
    x = held_out()[:changed]
    (layer,) = (
        layer
        for layer in Drift.of(Observation.measure(probe, again, x)).layers
        if layer.name == "conv_2"
    )
    return layer


@pytest.mark.parametrize("samples", [64, 512])
def test_a_warning_needs_what_chance_does_not_bring(samples):
    live = synthetic(0.5, 0.01, samples).live["correlation"]
    _, reference = packaged()
    value = live + 0.2
    limit = t_quantile(DEVIATIONS, reference.blocks - 1)
    block = reference.block
    at_limit = 0.2 / limit / math.sqrt(block / samples + block / reference.samples)
    assert "correlation" in synthetic(value, at_limit * 0.98, samples).kinds
    assert "correlation" not in synthetic(value, at_limit * 1.02, samples).kinds


def test_a_warning_needs_a_change_that_matters():
    rule = rule_of("correlation")
    live = synthetic(0.5, 1e-6, 256).live["correlation"]
    assert "correlation" in synthetic(live + rule.least * 1.01, 1e-6, 256).kinds
    assert "correlation" not in synthetic(live + rule.least * 0.99, 1e-6, 256).kinds
    # A correlation that rises is no warning.
    assert "correlation" not in synthetic(live - 0.3, 1e-6, 256).kinds


@pytest.mark.parametrize(
    ("figure", "live", "expected", "is_large"),
    [
        ("saturated", 0.25, 0.19, True),
        ("saturated", 0.19, 0.25, False),
        ("sign_entropy", 0.8, 0.9, True),
        ("sign_entropy", 0.9, 0.8, False),
        ("input_sd", 0.5, 1.0, True),
        ("input_sd", 1.0, 0.5, True),
        ("input_sd", 1.0, 0.9, False),
        ("input_sd", 0.0, 0.5, True),
        ("input_sd", 0.0, 0.0, False),
    ],
)
def test_rules(figure, live, expected, is_large):
    assert rule_of(figure).is_large(live, expected) == is_large


@pytest.mark.parametrize("freedom", [7, 8, 12, 17, 30, 63])
def test_quantiles_of_t(freedom):
    from scipy.stats import norm, t

    for deviations in (1.0, 2.0, DEVIATIONS):
        expected = t.isf(norm.sf(deviations), freedom)
        assert t_quantile(deviations, freedom) == pytest.approx(expected, rel=0.03)


def test_another_reference():
    probe, reference = packaged()
    other = Reference.from_dict({**reference.to_dict(), "weights": "0" * 16})
    with pytest.raises(ValueError, match="other weights"):
        Observation.measure(probe, other, held_out()[:3])
    with pytest.raises(ValueError, match="other weights"):
        Drift.of(Observation(probe.description, other))


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 8, 8)), "must have the shape"),
        (np.full((2, 8, 8, 1), np.nan), "NaN or infinite"),
    ],
)
def test_inputs_that_are_refused(x, words):
    with pytest.raises(ValueError, match=words):
        drift_of(x)

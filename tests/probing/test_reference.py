"""`Reference` against statistics of each block and numpy on the inputs."""

import json

import numpy as np
import pytest

from kerasbnn.probing import Observation, Probe, Reference
from kerasbnn.probing.description import encode_floats
from kerasbnn.probing.figures import FIGURES, channel_moments, figures_of, spread_evenly
from kerasbnn.probing.reference import BLOCK
from tests.probing.digits import FOLDER, held_out, packaged


@pytest.fixture(scope="module")
def probe():
    return packaged()[0]


@pytest.fixture(scope="module")
def reference(probe):
    return Reference.measure(probe, held_out())


def test_figures_are_those_of_all_and_of_the_blocks(probe, reference):
    x = held_out()
    assert (reference.samples, reference.blocks) == (599, 599 // BLOCK)
    order = np.random.default_rng(0).permutation(len(x))
    blocks = [
        figures_of(probe.measure(x[part]))
        for part in np.array_split(order, reference.blocks)
    ]
    for name, figures in figures_of(probe.measure(x)).items():
        for figure in FIGURES:
            found = reference.layers[name].figures[figure]
            if figures[figure] is None:
                assert found.value is None
                continue
            assert found.value == pytest.approx(figures[figure], rel=1e-5, abs=1e-7)
            each = [block[name][figure] for block in blocks]
            assert found.block_mean == pytest.approx(np.mean(each), rel=1e-6)
            assert found.block_sd == pytest.approx(np.std(each, ddof=1), abs=1e-9)


def test_the_figures_are_those_of_a_report(probe):
    statistics = probe.measure(held_out()[:200])
    report, activations = statistics.report(), statistics.activations()
    for name, figures in figures_of(statistics).items():
        layer = report[name]
        assert figures["correlation"] == layer.products.pooled
        assert figures["mean_correlation"] == layer.products.mean
        assert figures["raw_flips"] == layer.products.raw_flips
        assert figures["rho"] == layer.inputs.rho_median
        assert figures["input_sd"] == layer.inputs.sd
        assert figures["batchnorm_shift"] == layer.normalization.shift
        assert (figures["saturated"] is None) == (name not in activations)
        if name in activations:
            assert figures["saturated"] == activations[name].saturated
            channels = len(statistics.kernels[name].negative.mean)
            dead = activations[name].dead_channels / channels
            assert figures["dead_channels"] == dead


def test_channels_of_the_first_layer_are_those_of_the_images(probe, reference):
    x = held_out()
    kernel = probe.measure(x).kernels["conv_1"]
    means, variances = channel_moments(kernel)
    pad_value = kernel.description.calls[0].pad_value
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=pad_value)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    np.testing.assert_allclose(means, windows.mean(), rtol=1e-5)
    np.testing.assert_allclose(variances, windows.var(), rtol=1e-5)
    layer = reference.layers["conv_1"]
    np.testing.assert_allclose(layer.channel_means, means, rtol=1e-5)
    np.testing.assert_allclose(layer.channel_sds**2, variances, rtol=1e-5)


def test_shift(reference):
    layer = reference.layers["logits"]
    moved = layer.channel_means + 0.3
    expected = 0.3 / np.sqrt(np.mean(layer.channel_sds**2.0))
    assert layer.shift(moved) == pytest.approx(expected, rel=1e-4)
    assert layer.shift(layer.channel_means) == 0.0
    # Of blocks that are drawn from the same inputs, about one over the root of 64.
    assert 0.05 < layer.block_shift < 0.25


def test_the_order_of_the_inputs_does_not_matter_much(probe, reference):
    x = held_out()
    in_order = Reference.measure(probe, x[np.argsort(x.mean(axis=(1, 2, 3)))])
    for name, layer in in_order.layers.items():
        for figure, one in layer.figures.items():
            other = reference.layers[name].figures[figure]
            if one.value is not None:
                assert one.value == pytest.approx(other.value, rel=1e-4, abs=1e-6)
        spread = layer.figures["input_mean"].block_sd
        expected = reference.layers[name].figures["input_mean"].block_sd
        assert 0.3 * expected < spread < 3 * expected


@pytest.mark.parametrize(("samples", "blocks"), [(64, 8), (100, 8), (599, 9)])
def test_number_of_blocks(probe, samples, blocks):
    found = Reference.measure(probe, held_out()[:samples])
    assert found.blocks == blocks
    assert found.block == samples / blocks
    assert all(layer.figures["correlation"].block_sd for layer in found.layers.values())


def test_many_samples_make_larger_blocks(probe):
    x = np.tile(held_out(), (8, 1, 1, 1))
    assert Reference.measure(probe, x).blocks == 64


def test_too_few_samples(probe):
    with pytest.raises(ValueError, match=r"at least 64 samples.*Received: 63"):
        Reference.measure(probe, held_out()[:63])


def test_dict(reference):
    text = json.dumps(reference.to_dict(), allow_nan=False)
    assert len(text) < 30_000
    again = Reference.from_dict(json.loads(text))
    assert again.to_dict() == reference.to_dict()
    assert (again.samples, again.blocks, again.block) == (
        reference.samples,
        reference.blocks,
        reference.block,
    )
    for name, layer in again.layers.items():
        expected = reference.layers[name]
        np.testing.assert_array_equal(layer.channel_means, expected.channel_means)
        for figure, found in layer.figures.items():
            value = expected.figures[figure].value
            assert found.value == (value and pytest.approx(value, rel=1e-5))


def damaged(values, path, value):
    """Return a copy with another entry at a path; None leaves it out."""
    copy = json.loads(json.dumps(values))
    place = copy
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    if value is None:
        del place[path[-1]]
    return copy


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (["format"], None, "the key 'format'"),
        (["format"], "1", "the key 'format'"),
        (["format"], 2, "Install a newer kerasbnn"),
        (["layers"], None, "damaged"),
        (["layers"], 5, "damaged"),
        (["layers", "conv_1"], [], "damaged"),
        (["layers", "conv_1", "figures", "rho"], ["x", 1, 2], "damaged"),
        (["layers", "conv_1", "figures", "rho"], [float("nan")], "not finite"),
        (["layers", "conv_1", "figures", "rho"], [1, 2, 3, 4], "damaged"),
        (["layers", "conv_1", "channel_means"], "", "damaged"),
        (["layers", "conv_1", "channel_sds"], "AADA/w==", "damaged"),
        (["layers", "conv_1", "block_shift"], "much", "damaged"),
        (["blocks"], 1, "damaged"),
        (["blocks"], 1e9, "damaged"),
        (["samples"], "many", "damaged"),
        (["samples"], float("inf"), "damaged"),
        (["samples"], float("nan"), "damaged"),
        pytest.param(["samples"], 10**400, "damaged", id="too large 1"),
        (["samples"], -599, "damaged"),
        (["samples"], 599.5, "no count"),
        (["samples"], True, "no count"),
        (["samples"], 64, "more than 64 samples"),
        (["blocks"], float("-inf"), "damaged"),
        pytest.param(
            ["layers", "conv_1", "figures", "rho"],
            [10**400],
            "damaged",
            id="too large 2",
        ),
        (["layers", "conv_1", "figures", "rho"], [1, 1, -1], "negative"),
        (["layers", "conv_1", "block_shift"], -0.1, "negative"),
        (["inputs", "image", "samples"], float("inf"), "damaged"),
        pytest.param(
            ["inputs", "image", "samples"], 10**400, "damaged", id="too large 3"
        ),
        (["inputs", "image", "beyond"], 5, "out of its range"),
        (["inputs", "image", "quantiles"], [[float("inf")] * 4] * 2, "damaged"),
        (["inputs", "image", "size"], float("inf"), "damaged"),
        (["inputs"], None, "damaged"),
        (["model"], None, "damaged"),
    ],
)
def test_damaged_dicts(reference, path, value, words):
    with pytest.raises(ValueError, match=words):
        Reference.from_dict(damaged(reference.to_dict(), path, value))


@pytest.mark.parametrize("values", [{}, [], None, "text", 5])
def test_what_is_no_reference(values):
    with pytest.raises(ValueError, match="the dict of a Reference"):
        Reference.from_dict(values)


def test_a_reference_of_another_probe(probe, reference):
    reference.check(probe.description)
    reference.check(Probe(FOLDER / "model.probe.tflite").description)
    other = Reference.from_dict({**reference.to_dict(), "weights": "0" * 16})
    with pytest.raises(ValueError, match="other weights"):
        other.check(probe.description)


def renamed(entries, old, new):
    return {new if name == old else name: value for name, value in entries.items()}


@pytest.mark.parametrize("name", ["conv_1", "conv_2", "logits"])
def test_a_reference_with_other_layers_than_its_probe(probe, reference, name):
    values = reference.to_dict()
    lacks = Reference.from_dict(damaged(values, ["layers", name], None))
    with pytest.raises(ValueError, match=f"lacks the layers '{name}' of its probe"):
        lacks.check(probe.description)
    more = {**values["layers"], "other": values["layers"][name]}
    has_more = Reference.from_dict({**values, "layers": more})
    with pytest.raises(ValueError, match="has the layers 'other', which its probe"):
        has_more.check(probe.description)


@pytest.mark.parametrize("channels", [0, 1, 31, 33])
def test_a_reference_with_other_channels_than_its_probe(probe, reference, channels):
    values = reference.to_dict()
    for name in ("channel_means", "channel_sds"):
        text = encode_floats(np.ones(channels))
        values = damaged(values, ["layers", "conv_3", name], text)
    other = Reference.from_dict(values)
    with pytest.raises(ValueError, match=f"{channels} channels of layer 'conv_3', and"):
        other.check(probe.description)
    with pytest.raises(ValueError, match="and its probe 32"):
        Observation.measure(probe, other, held_out()[:64])


def test_a_reference_with_other_inputs_than_its_probe(probe, reference):
    reference.check(probe.description, probe.inputs)
    values = reference.to_dict()
    for inputs in ({}, renamed(values["inputs"], "image", "picture")):
        other = Reference.from_dict({**values, "inputs": inputs})
        other.check(probe.description)
        with pytest.raises(ValueError, match="lacks the inputs 'image'"):
            other.check(probe.description, probe.inputs)
        with pytest.raises(ValueError, match="lacks the inputs 'image'"):
            Observation.measure(probe, other, held_out()[:64])
    twice = {**values["inputs"], "other": values["inputs"]["image"]}
    other = Reference.from_dict({**values, "inputs": twice})
    with pytest.raises(ValueError, match="has the inputs 'other', which"):
        other.check(probe.description, probe.inputs)


def test_the_packaged_reference_is_that_of_the_training_digits():
    probe, packed = packaged()
    from kerasbnn.datasets import load_digits

    found = Reference.measure(probe, load_digits(0).x_train)
    for name, layer in found.layers.items():
        for figure, one in layer.figures.items():
            value = packed.layers[name].figures[figure].value
            assert value == (one.value and pytest.approx(one.value, rel=1e-3, abs=1e-4))


def test_spread_evenly():
    assert spread_evenly(5, 5).tolist() == [0, 1, 2, 3, 4]
    for size in (1025, 4096, 150_528, 8192, 7):
        for most in (1, 5, 1024):
            chosen = spread_evenly(size, most)
            assert 1 <= len(chosen) <= most
            assert len(np.unique(chosen)) == len(chosen)
            assert chosen.max() < size

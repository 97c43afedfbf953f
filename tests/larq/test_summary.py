"""The summary: figures as in Larq, in a table of our own."""

import keras
import pytest

import kerasbnn.larq as lq
from kerasbnn.larq.layer_profiles import model_profiles
from tests.larq import real
from tests.larq.cases import SUMMARY_MODELS


def make(name):
    shape, parts = SUMMARY_MODELS[name]
    model = keras.Sequential([keras.Input(shape)], name=name)
    for module, cls, args, kwargs in parts:
        home = lq.layers if module == "lq" else keras.layers
        model.add(getattr(home, cls)(*args, **kwargs))
    return model


def printed(model, **kwargs):
    tables = []
    assert lq.models.summary(model, print_fn=tables.append, **kwargs) is None
    return tables


@pytest.mark.parametrize("name", SUMMARY_MODELS)
def test_figures(name):
    expected = real.content("figures")["summary"][name]
    model = make(name)
    for profile, layer in zip(model_profiles(model), expected["layers"], strict=True):
        assert profile.input_bits == layer["input_bits"], profile.name
        assert [size or -1 for size in profile.output_shape] == layer["shape"]
        assert profile.memory() == layer["memory"], profile.name
        for bits, count in layer["weights"].items():
            assert profile.count(int(bits)) == count, (profile.name, bits)
        for bits, count in layer["macs"].items():
            ours = None if profile.macs is None else profile.macs.get(int(bits), 0)
            assert ours == count, (profile.name, bits)
    _, totals = printed(model)
    lines = totals.splitlines()[1:]
    for line, (title, value) in zip(lines, expected["totals"], strict=True):
        assert line.split() == [*title.split(), *value.split()]


def test_the_table_has_a_row_for_each_layer():
    model = make("binary_net")
    table, _ = printed(model)
    lines = table.splitlines()
    # A title, a header, two rules and the total.
    assert len(lines) == len(model.layers) + 5
    for layer, line in zip(model.layers, lines[3:-2], strict=True):
        assert line.split()[0] == layer.name
    assert "MACs" not in "".join(printed(model, include_macs=False))


def test_models_inside_models_and_several_outputs(capsys):
    inputs = keras.Input((6,))
    inner = keras.Sequential(
        [keras.Input((6,)), lq.layers.QuantDense(4, input_quantizer="ste_sign")],
        name="inner",
    )
    hidden = inner(inputs)
    model = keras.Model(inputs, [hidden, keras.layers.Dense(2)(hidden)])
    lq.models.summary(model)
    table = capsys.readouterr().out
    assert any(line.split()[:2] == ["inner", "1"] for line in table.splitlines())
    (profile,) = [p for p in model_profiles(model) if p.name == "inner"]
    assert (profile.count(), profile.macs) == (28, {32: 24})


def test_channels_first_counts_places_not_channels():
    model = keras.Sequential(
        [
            keras.Input((3, 8, 7)),
            lq.layers.QuantConv2D(4, 3, data_format="channels_first", use_bias=False),
        ]
    )
    (profile,) = model_profiles(model)
    assert profile.macs == {32: 3 * 9 * 4 * 6 * 5}


def test_a_model_that_is_not_built_is_refused():
    with pytest.raises(ValueError, match="not built"):
        lq.models.summary(keras.Sequential([lq.layers.QuantDense(2)]))

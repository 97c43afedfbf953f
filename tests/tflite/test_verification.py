"""Files that would compute something else than Keras are found, and not written."""

import dataclasses

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn import QuantDense, quantizers
from kerasbnn.runtime import delegate
from kerasbnn.tflite import ConversionError, chains, fusion
from kerasbnn.tflite.decisions import decisions_of_keras
from tests.helpers.converting import (
    BINARY,
    SIGNS,
    conv_net,
    dense_net,
    samples_for,
    trained,
)
from tests.helpers.delegates import needs_delegate

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)


def wrong(monkeypatch, module, name, change, layer):
    """Let a function of the converter return something else for one layer."""
    right = getattr(module, name)

    def changed(subject, *arguments):
        found = right(subject, *arguments)
        mark = getattr(subject, "chain", subject).mark
        return change(found) if mark.path == layer else found

    monkeypatch.setattr(module, name, changed)


def other_threshold(terms):
    bias = terms.bias.copy()
    # By the least there is, in the one channel that decides most evenly.
    bias[np.abs(bias).argmin()] += 2
    return dataclasses.replace(terms, bias=bias)


def other_weight(filters):
    filters = filters.copy()
    filters[:, 0] ^= 1
    return filters


@pytest.mark.parametrize(
    ("module", "name", "change"),
    [
        (chains, "bit_terms", other_threshold),
        (fusion, "packed_filters", other_weight),
    ],
)
def test_a_wrong_sign_names_the_layer_that_takes_it(
    tmp_path, monkeypatch, module, name, change
):
    model = trained(dense_net())
    _, second, third = (
        layer for layer in model.layers if isinstance(layer, kerasbnn.QuantDense)
    )
    wrong(monkeypatch, module, name, change, second.name)
    x = samples_for(model, 300)
    with pytest.raises(ConversionError) as raised:
        kerasbnn.convert(model, tmp_path / "model.tflite", sample_inputs=x)
    assert raised.value.layer == third.name
    text = str(raised.value)
    assert text.startswith(f"Layer '{third.name}' would compute with other signs")
    assert "No file was written" in text
    assert not list(tmp_path.iterdir())


def test_a_wrong_number_names_the_last_binary_layer(tmp_path, monkeypatch):
    model = trained(conv_net())
    last = model.layers[-2].name

    def louder(terms):
        return terms and dataclasses.replace(terms, scale=terms.scale * 1.01)

    wrong(monkeypatch, chains, "float_terms", louder, last)
    with pytest.raises(ConversionError, match="would differ from that of Keras") as it:
        kerasbnn.convert(model, tmp_path / "model.tflite")
    assert it.value.layer == last
    assert not list(tmp_path.iterdir())


def test_turned_off_it_finds_nothing(tmp_path, monkeypatch):
    model = trained(dense_net())
    wrong(monkeypatch, chains, "bit_terms", other_threshold, model.layers[0].name)
    path = tmp_path / "model.tflite"
    kerasbnn.convert(model, path, verify_samples=False)
    assert path.exists()


def test_signs_are_compared_in_numbers(tmp_path):
    model = trained(conv_net())
    x = samples_for(model, 7)
    report = kerasbnn.convert(model, tmp_path / "model.tflite", sample_inputs=x)
    found = report.verification
    calls = [
        layer.input.shape[1:]
        for layer in model.layers
        if getattr(layer, "input_quantizer", None) is not None
    ]
    assert found.samples == 7
    assert found.decisions == 7 * sum(int(np.prod(shape)) for shape in calls)
    assert found.near_ties == 0
    assert found.same_classes == 1
    assert found.largest_difference < 1e-5
    assert found.delegate == delegate.implementation()


def test_decisions_are_the_values_before_signs_that_are_layers():
    values = keras.layers.Dense(12, name="values")
    model = keras.Sequential(
        [
            keras.Input((5,)),
            values,
            quantizers.SteSign(),
            keras.layers.Dropout(0.5),
            keras.layers.Reshape((3, 4)),
            QuantDense(2, name="reads", **BINARY),
        ]
    )
    x = samples_for(trained(model))
    (decision,), _, _ = decisions_of_keras(model, (x,), {})
    expected = np.asarray(values(x)).reshape(-1, 3, 4)
    assert decision.path == "reads"
    np.testing.assert_allclose(decision.values, expected, rtol=1e-6)


@needs_delegate
def test_a_delegate_that_is_wrong_is_found(tmp_path, monkeypatch):
    from kerasbnn.tflite import verification

    class OtherRun(verification._Run):
        def is_negative(self, placed):
            found = super().is_negative(placed)
            return ~found if self.library is not None else found

        def __init__(self, content, inputs, library):
            self.library = library
            super().__init__(content, inputs, library)

    monkeypatch.setattr(verification, "_Run", OtherRun)
    with pytest.raises(ConversionError, match="computed by the delegate"):
        kerasbnn.convert(trained(dense_net()), tmp_path / "model.tflite")
    assert not list(tmp_path.iterdir())


def net_with(quantizer, width=64):
    """Return a network whose second sum is inexact in Keras and exact in the file."""
    magnitudes = {**SIGNS, "kernel_quantizer": "magnitude_aware_sign"}
    return keras.Sequential(
        [
            keras.Input((64,)),
            QuantDense(width, **BINARY),
            QuantDense(64, **magnitudes),
            QuantDense(64, **{**BINARY, "input_quantizer": quantizer}),
            QuantDense(10, name="last", **SIGNS),
        ]
    )


@pytest.mark.parametrize(
    "quantizer", [quantizers.SteHeaviside(), quantizers.SteTern(threshold_value=0)]
)
def test_ties_before_other_quantizers_are_ties_further_on(tmp_path, quantizer):
    keras.utils.set_random_seed(0)
    report = kerasbnn.convert(net_with(quantizer), tmp_path / "model.tflite")
    found = report.verification
    assert found.left_out > 0
    assert found.near_ties >= found.left_out
    assert f"{found.left_out} samples left out after ties" in " ".join(
        str(report).split()
    )


@pytest.mark.parametrize("path", ["last", "quant_dense"])
def test_without_ties_nothing_is_excused(tmp_path, monkeypatch, path):
    # An odd number of signs never sums to 0.
    model = trained(net_with(quantizers.SteHeaviside(), width=65))
    x = samples_for(model, 300)
    _, _, ties = decisions_of_keras(model, (x,), {})
    x = x[~ties]
    assert len(x) > 10
    names = {"last": "last", "quant_dense": model.layers[0].name}
    wrong(monkeypatch, fusion, "packed_filters", other_weight, names[path])
    with pytest.raises(ConversionError, match="would "):
        kerasbnn.convert(model, tmp_path / "model.tflite", sample_inputs=x)


@pytest.mark.parametrize(
    ("quantizer", "ties"),
    [
        (quantizers.SteHeaviside(), [0, 1, 0]),
        (quantizers.SteTern(threshold_value=0.25), [1, 0, 0]),
        (quantizers.DoReFa(k_bit=2), [0, 0, 1]),
        (quantizers.SteSign(), [0, 0, 0]),
        (quantizers.NoOp(precision=32), [0, 0, 0]),
    ],
)
@pytest.mark.parametrize("inside", [True, False])
def test_ties_lie_at_the_steps_of_a_quantizer(quantizer, ties, inside):
    if inside:
        layers = [QuantDense(2, **{**BINARY, "input_quantizer": quantizer})]
    else:
        layers = [quantizer, keras.layers.Dense(2)]
    model = keras.Sequential([keras.Input((2,)), *layers])
    x = np.array([[0.25, 0.7], [1e-7, 0.3], [0.75, 0.5 - 1e-7]], np.float32)
    _, _, found = decisions_of_keras(model, (x,), {})
    assert found.tolist() == [bool(tie) for tie in ties]

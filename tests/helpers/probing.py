"""Probes of models, and how their figures are compared with those of an audit."""

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

import kerasbnn
from kerasbnn.probing import Probe, ProbeStatistics

DEPTHWISE = {"depthwise_quantizer": "ste_sign", "depthwise_constraint": "weight_clip"}
POINTWISE = {"pointwise_quantizer": "ste_tern", "pointwise_constraint": "weight_clip"}

# What a probe has of the parts of a layer's geometry.
PRODUCTS = (
    *("pooled", "slope", "mean", "median", "p5", "lowest", "constant_filters"),
    *("predicted_mean", "predicted_median", "permuted_expected"),
    *("raw_flips", "expected_flips", "per_filter", "predicted_per_filter"),
)
INPUTS = ("sd", "rho_median", "rho_per_filter")
SAME = (
    *("name", "layer", "kernel", "type", "fan_in", "filters", "groups", "calls"),
    *("positions", "quantizer", "is_quantized", "bits", "weights", "problems"),
)


def sequential(shape, *layers):
    """Make a model whose weights are as those of a trained one are."""
    model = keras.Sequential([keras.Input(shape), *layers], name="net")
    return randomized(model)


def randomized(model, seed=0):
    """Give a model weights of both signs and statistics that are not 0 and 1."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(size=weight.shape)
        if "variance" in weight.path:
            values = np.abs(values) + 1
        elif "kernel" in weight.path:
            values = np.clip(values, -0.9, 0.9)
        weight.assign(values)
    return model


def samples(model, count=40, seed=0):
    """Draw normal inputs for a model with one input."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, *model.input_shape[1:])).astype("float32")


def run_stock(path, x):
    """Return the outputs of a file in LiteRT's own interpreter, by name."""
    interpreter = Interpreter(model_path=str(path))
    runner = interpreter.get_signature_runner()
    (name,) = runner.get_input_details()
    return runner(**{name: x})


def measured_in_stock(path, x, batch_size):
    """Measure with LiteRT's own interpreter, batch by batch."""
    statistics = ProbeStatistics(Probe(path).description)
    for start in range(0, len(x), batch_size):
        part = x[start : start + batch_size]
        statistics.update(run_stock(path, part), len(part))
    return statistics


def audited(model, x, **options):
    """Audit a model on all of some inputs."""
    return kerasbnn.audit(model, x, max_samples=None, verbose=0, **options)


def assert_same_geometry(found, expected, rtol=1e-4):
    """Check all figures of a probe's report against an audit's.

    Args:
        found: Report of a probe.
        expected: Report of an audit of the same model on the same inputs.
        rtol: Largest relative difference of a figure.
    """
    assert found.samples == expected.samples
    in_order = [layer.name for layer in expected if layer.name not in found.skipped]
    assert [layer.name for layer in found] == in_order
    for layer in found:
        theirs = expected[layer.name]
        for name in SAME:
            assert getattr(layer, name) == getattr(theirs, name), (layer.name, name)
        for part, names in (("products", PRODUCTS), ("inputs", INPUTS)):
            for name in names:
                mine, value = (
                    np.array(getattr(getattr(one, part), name), float)
                    for one in (layer, theirs)
                )
                what = f"{layer.name}: {part}.{name}"
                np.testing.assert_allclose(mine, value, rtol=rtol, err_msg=what)
        # These two may be anywhere near 0.
        scale = theirs.inputs.sd or 1.0
        assert abs(layer.inputs.mean - theirs.inputs.mean) <= rtol * scale
        bound = rtol * max(1.0, abs(theirs.products.intercept))
        assert abs(layer.products.intercept - theirs.products.intercept) <= bound
        assert layer.inputs.is_first == theirs.inputs.is_first
        assert layer.inputs.quantizer == theirs.inputs.quantizer
        _assert_same_angles(layer.angles, theirs.angles)
        _assert_same_normalization(layer.normalization, theirs.normalization, rtol)


def _assert_same_angles(found, expected):
    for name, value in vars(expected).items():
        mine, theirs = (np.array(x, float) for x in (getattr(found, name), value))
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, err_msg=name)


def _assert_same_normalization(found, expected, rtol):
    assert (found is None) == (expected is None)
    if found is not None:
        assert found.name == expected.name
        assert np.isclose(found.shift, expected.shift, rtol=rtol)
        assert np.isclose(found.variance_ratio, expected.variance_ratio, rtol=rtol)

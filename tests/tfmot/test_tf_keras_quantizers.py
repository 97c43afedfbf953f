"""Quantizers for tf_keras: the formulas in numpy, and the twins of Keras 3."""

import keras
import numpy as np
import pytest

from kerasbnn import quantizers
from kerasbnn.tfmot.counterparts import counterpart_of
from tests.helpers import references
from tests.helpers.gradients import array, tensor, value_and_gradient
from tests.tfmot.networks import (
    BinaryQuantizer,
    TernaryQuantizer,
    layers,
    quantization,
    tf,
)

SHAPES = [(1,), (30,), (5, 6), (3, 3, 2, 4)]
EDGES = [0.0, -0.0, 0.05, -0.05, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 1e-7, -1e-7, 1e-30]
TERNARY = [
    dict(threshold_value=0.05),
    dict(threshold_value=0.5, clip_value=1.5),
    dict(threshold_value=0.0, clip_value=None),
    dict(ternary_weight_networks=True),
    dict(optimal_threshold=True, clip_value=0.5),
]


class Wrapper:
    """As much of TFMOT's wrapper as a quantizer looks at."""

    name = "quant_layer"

    def __init__(self, layer):
        self.layer = layer


def run(quantizer, values, upstream, layer=None, name="kernel"):
    """Return levels and gradient, as TFMOT gets them."""
    x = tf.Variable(values.astype("float32"))
    weights = quantizer.build(x.shape, name, Wrapper(layer))
    with tf.GradientTape() as tape:
        outputs = quantizer(x, True, weights)
    gradient = tape.gradient(outputs, x, tf.constant(upstream, outputs.dtype))
    return outputs.numpy().astype("float64"), gradient.numpy().astype("float64")


def values_of(shape, rng):
    """Random values at float32, the boundaries among them where there is room."""
    values = rng.normal(size=shape).reshape(-1)
    edges = np.array(EDGES)[: len(values) // 2]
    values[: len(edges)] = edges
    return values.astype("float32").astype("float64").reshape(shape)


@pytest.mark.parametrize("clip_value", [1.0, 0.5, 1.5, None])
@pytest.mark.parametrize("shape", SHAPES)
def test_signs(shape, clip_value, rng):
    x, upstream = values_of(shape, rng), rng.normal(size=shape).astype("float32")
    outputs, gradient = run(BinaryQuantizer(clip_value), x, upstream)
    np.testing.assert_array_equal(outputs, references.sign(x))
    expected = references.straight_through(x, upstream.astype("float64"), clip_value)
    np.testing.assert_array_equal(gradient, expected)


def threshold_of(arguments, x):
    if arguments.get("ternary_weight_networks"):
        return 0.7 * np.abs(x).mean()
    return arguments.get("threshold_value", 0.05)


@pytest.mark.parametrize("arguments", TERNARY)
@pytest.mark.parametrize("shape", SHAPES)
def test_ternary_levels(shape, arguments, rng):
    x = values_of(shape, rng)
    # Whether a value is at the threshold itself depends on its rounding to float32.
    x[np.isclose(np.abs(x), 0.05)] = 0.3
    upstream = rng.normal(size=shape).astype("float32")
    quantizer = TernaryQuantizer(**arguments)
    outputs, gradient = run(quantizer, x, upstream)
    if arguments.get("optimal_threshold"):
        expected, _ = references.best_ternary(x)
    else:
        expected = references.ternary(x, threshold_of(arguments, x))
    np.testing.assert_array_equal(outputs, expected)
    clip_value = arguments.get("clip_value", 1.0)
    expected = references.straight_through(x, upstream.astype("float64"), clip_value)
    np.testing.assert_array_equal(gradient, expected)


SCALED = {
    "Dense": (layers.Dense(6), "kernel", (5, 6), (-1,)),
    "Conv2D": (layers.Conv2D(4, 3), "kernel", (3, 3, 2, 4), (-1,)),
    "Conv2DTranspose": (layers.Conv2DTranspose(2, 3), "kernel", (3, 3, 2, 4), (-2,)),
    "DepthwiseConv2D": (
        layers.DepthwiseConv2D(3),
        "depthwise_kernel",
        (3, 3, 4, 2),
        (-2, -1),
    ),
    "SeparableConv1D": (
        layers.SeparableConv1D(5, 3),
        "pointwise_kernel",
        (1, 4, 5),
        (-1,),
    ),
}


@pytest.mark.parametrize("name", SCALED)
def test_the_scale_is_the_mean_magnitude_of_a_channel(name, rng):
    layer, kernel, shape, axes = SCALED[name]
    x, upstream = rng.normal(size=shape), rng.normal(size=shape)
    x, upstream = (a.astype("float32").astype("float64") for a in (x, upstream))
    found = run(BinaryQuantizer(scale=True), x, upstream, layer, kernel)
    expected = references.magnitude_aware_sign(x, upstream, 1.0, axes)
    np.testing.assert_allclose(found, expected, rtol=2e-6)


@pytest.mark.parametrize("name", SCALED)
def test_the_ternary_scale_is_that_of_the_kept_weights(name, rng):
    layer, kernel, shape, axes = SCALED[name]
    x = rng.normal(size=shape).astype("float32").astype("float64")
    for channel in references.channel_slices(shape, axes):
        x[channel] *= 0  # A channel without any weight, whose scale has no mean.
        break
    upstream = rng.normal(size=shape).astype("float32")
    outputs, gradient = run(
        TernaryQuantizer(0.4, scale=True), x, upstream, layer, kernel
    )
    for channel in references.channel_slices(shape, axes):
        w = x[channel]
        kept = np.abs(w[np.abs(w) > 0.4])
        scale = kept.mean() if len(kept) else 0.0
        levels = scale * references.ternary(w, 0.4)
        np.testing.assert_allclose(outputs[channel], levels, rtol=2e-6)
        slope = scale * (np.abs(w) <= 1) * upstream[channel]
        np.testing.assert_allclose(gradient[channel], slope, rtol=2e-6)


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize(
    "quantizer",
    [
        BinaryQuantizer(clip_value=0.5),
        BinaryQuantizer(scale=True),
        *(TernaryQuantizer(**arguments) for arguments in TERNARY),
        TernaryQuantizer(0.2, scale=True),
    ],
    ids=lambda q: f"{type(q).__name__}{list(q.get_config().values())}",
)
def test_the_twin_of_keras_3_has_the_same_levels_and_gradients(quantizer, name, rng):
    layer, kernel, shape, axes = SCALED[name]
    x = values_of(shape, rng)
    upstream = rng.normal(size=shape).astype("float32")
    outputs, gradient = run(quantizer, x, upstream, layer, kernel)
    twin = counterpart_of(quantizer, {}, "kernel", {}).quantizer
    assert isinstance(twin, quantizers.Quantizer)
    arguments = {"channel_axes": axes} if twin.channelwise else {}
    found = value_and_gradient(
        lambda values: twin(values, **arguments), tensor(x), upstream
    )
    exact = not quantizer.scale
    np.testing.assert_allclose(array(found[0]), outputs, rtol=0 if exact else 1e-6)
    np.testing.assert_allclose(array(found[1]), gradient, rtol=0 if exact else 1e-6)


def test_the_scaled_ternary_twin_survives_saving(rng):
    twin = counterpart_of(TernaryQuantizer(0.3, scale=True), {}, "kernel", {}).quantizer
    again = quantizers.get(quantizers.serialize(twin))
    assert type(again) is type(twin)
    assert again.threshold_value == 0.3
    assert keras.saving.get_registered_object("kerasbnn>ScaledSteTern") is type(twin)


def test_configs_hold_all_arguments():
    for arguments in [{}, {"clip_value": None, "scale": True}, {"clip_value": 0.25}]:
        quantizer = BinaryQuantizer(**arguments)
        assert BinaryQuantizer.from_config(quantizer.get_config()) == quantizer
        assert BinaryQuantizer(clip_value=7) != quantizer
    for arguments in TERNARY:
        quantizer = TernaryQuantizer(**arguments, scale=True)
        again = TernaryQuantizer.from_config(quantizer.get_config())
        assert again == quantizer
        assert hash(again) == hash(quantizer)
        assert TernaryQuantizer(**arguments) != quantizer


@pytest.mark.parametrize(
    ("cls", "arguments", "error", "match"),
    [
        (BinaryQuantizer, dict(clip_value=0), ValueError, "`clip_value` must be"),
        (BinaryQuantizer, dict(clip_value="1"), TypeError, "`clip_value` must be"),
        (TernaryQuantizer, dict(threshold_value=-1), ValueError, "`threshold_value`"),
        (
            TernaryQuantizer,
            dict(ternary_weight_networks=True, optimal_threshold=True),
            ValueError,
            "one threshold rule",
        ),
    ],
)
def test_bad_arguments(cls, arguments, error, match):
    with pytest.raises(error, match=match):
        cls(**arguments)


def test_a_scale_needs_a_kernel():
    wrapper = Wrapper(layers.BatchNormalization())
    with pytest.raises(ValueError, match="given the 'gamma' of layer 'quant_layer'"):
        BinaryQuantizer(scale=True).build((4,), "gamma", wrapper)


def test_they_are_quantizers_of_tfmot():
    for quantizer in (BinaryQuantizer(), TernaryQuantizer()):
        assert isinstance(quantizer, quantization.quantizers.Quantizer)

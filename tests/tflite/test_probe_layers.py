"""Probes against audits: the same figures for every kind of layer and quantizer."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import kerasbnn
from kerasbnn import (
    QuantConv1D,
    QuantConv1DTranspose,
    QuantConv2D,
    QuantConv2DTranspose,
    QuantConv3D,
    QuantConv3DTranspose,
    QuantDense,
    QuantDepthwiseConv1D,
    QuantDepthwiseConv2D,
    QuantSeparableConv1D,
    QuantSeparableConv2D,
    quantizers,
)
from kerasbnn.probing import Probe
from tests.helpers.converting import BINARY, SIGNS
from tests.helpers.probing import (
    DEPTHWISE,
    POINTWISE,
    assert_same_geometry,
    audited,
    randomized,
    samples,
    sequential,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)

IMAGES, LINES = (11, 9, 6), (15, 6)
SAME = {"padding": "same", "pad_values": 1}
TRANSPOSED = {**SIGNS, "strides": 2}

LAYERS = {
    "dense of more axes": ((5, 7, 12), QuantDense(9, **BINARY)),
    "stride": (
        IMAGES,
        QuantConv2D(8, (3, 2), strides=(2, 1), padding="same", pad_values=-1, **BINARY),
    ),
    "zeros around": (IMAGES, QuantConv2D(8, 3, padding="same", **SIGNS)),
    "stride beyond the kernel": (IMAGES, QuantConv2D(8, 2, strides=4, **SIGNS)),
    "dilation": (IMAGES, QuantConv2D(8, 3, dilation_rate=2, **SAME, **SIGNS)),
    "groups": (IMAGES, QuantConv2D(8, 3, groups=2, **SAME, **SIGNS)),
    "lines": (LINES, QuantConv1D(8, 4, strides=2, **SAME, **SIGNS)),
    "causal": (LINES, QuantConv1D(8, 3, padding="causal", dilation_rate=2, **SIGNS)),
    "volumes": ((7, 6, 5, 3), QuantConv3D(8, (3, 2, 2), **SAME, **SIGNS)),
    "depthwise": (
        IMAGES,
        QuantDepthwiseConv2D(3, strides=2, depth_multiplier=2, **SAME, **DEPTHWISE),
    ),
    "depthwise lines": (
        LINES,
        QuantDepthwiseConv1D(3, depth_multiplier=2, **DEPTHWISE),
    ),
    "separable": (
        IMAGES,
        QuantSeparableConv2D(8, 3, **SAME, **DEPTHWISE, **POINTWISE),
    ),
    "separable lines": (LINES, QuantSeparableConv1D(8, 3, **DEPTHWISE, **POINTWISE)),
    "transposed": (IMAGES, QuantConv2DTranspose(8, 3, padding="same", **TRANSPOSED)),
    "transposed with gaps": (IMAGES, QuantConv2DTranspose(8, 2, strides=3, **SIGNS)),
    "transposed and padded": (
        IMAGES,
        QuantConv2DTranspose(8, 3, output_padding=1, **TRANSPOSED),
    ),
    "transposed lines": (LINES, QuantConv1DTranspose(8, 3, **TRANSPOSED)),
    "transposed volumes": (
        (4, 5, 3, 3),
        QuantConv3DTranspose(4, 3, padding="same", **TRANSPOSED),
    ),
    "einsum": (
        (6, 8),
        layers.EinsumDense("abc,cde->adbe", output_shape=(3, 6, 4), bias_axes="e"),
    ),
    "einsum with an ellipsis": (
        (6, 8),
        layers.EinsumDense("...c,cd->...d", output_shape=7, bias_axes="d"),
    ),
    "in time": ((4, *IMAGES), layers.TimeDistributed(QuantConv2D(5, 3, **BINARY))),
    "float": (IMAGES, layers.Conv2D(8, 3, activation="relu")),
    "float separable": (IMAGES, layers.SeparableConv2D(8, 3)),
}


@pytest.mark.parametrize("case", LAYERS)
def test_every_kind_of_layer(tmp_path, case):
    shape, layer = LAYERS[case]
    layer = type(layer).from_config(layer.get_config())
    # What comes out goes into a second one, so that it is compared too.
    model = sequential(
        shape, layer, layers.BatchNormalization(), layers.Flatten(), layers.Dense(4)
    )
    x = samples(model)
    report = kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    assert not report.skipped
    found = Probe(tmp_path / "p.tflite").measure(x).report()
    assert_same_geometry(found, audited(model, x))


KERNELS = {
    "ternary": quantizers.SteTern(),
    "ternary at the best threshold": quantizers.SteTern(optimal_threshold=True),
    "a magnitude": quantizers.MagnitudeAwareSign(),
    "standardized": quantizers.IRNetSign(),
    "zero and one": quantizers.SteHeaviside(),
    "three bits": quantizers.DoReFa(3, mode="weights"),
}


PER_FILTER = ("a magnitude", "ternary at the best threshold")


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "dense") for name in KERNELS]
    + [
        (name, kind) for name in PER_FILTER for kind in ("conv", "conv 3d", "depthwise")
    ],
)
def test_every_quantizer(tmp_path, name, kind):
    quantizer = type(KERNELS[name]).from_config(KERNELS[name].get_config())
    kernel = {"kernel_quantizer": quantizer, "kernel_constraint": "weight_clip"}
    depthwise = {
        "depthwise_quantizer": quantizer,
        "depthwise_constraint": "weight_clip",
    }
    shape, layer = {
        "dense": ((41,), QuantDense(9, **kernel)),
        "conv": (IMAGES, QuantConv2D(9, 3, **kernel)),
        "conv 3d": ((4, 5, 4, 3), QuantConv3D(5, 2, **kernel)),
        "depthwise": (IMAGES, QuantDepthwiseConv2D(3, **depthwise)),
    }[kind]
    model = sequential(shape, layer)
    x = samples(model)
    report = kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    found = Probe(tmp_path / "p.tflite").measure(x).report()
    assert_same_geometry(found, audited(model, x))
    assert report.layers[0].steps > 1


def test_float_layers_are_measured_as_an_audit_does(tmp_path):
    model = sequential((12,), layers.Dense(20, activation="relu"), layers.Dense(5))
    x = samples(model)
    quantizer = quantizers.SteTern(optimal_threshold=True)
    kerasbnn.tflite.probe(model, tmp_path / "p.tflite", quantizer=quantizer)
    found = Probe(tmp_path / "p.tflite").measure(x).report()
    assert_same_geometry(found, audited(model, x, quantizer=quantizer))
    assert found["dense"].quantizer == "SteTern"


def test_open_sizes_are_given(tmp_path, rng):
    model = sequential(
        (None, None, 3),
        QuantConv2D(4, 3, **BINARY),
        layers.GlobalAveragePooling2D(),
        layers.Dense(2),
    )
    with pytest.raises(ValueError, match="Pass `input_shape`"):
        kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    report = kerasbnn.tflite.probe(model, tmp_path / "p.tflite", input_shape=(8, 7, 3))
    assert not report.skipped
    x = rng.normal(size=(30, 8, 7, 3)).astype("float32")
    found = Probe(tmp_path / "p.tflite").measure(x).report()
    assert_same_geometry(found, audited(model, x))


class Branches(keras.Model):
    """A subclassed model with a nested and a shared layer, and code between calls."""

    def __init__(self):
        super().__init__(name="branches")
        self.shared = QuantDense(6, **BINARY, name="shared")
        self.nested = keras.Sequential([layers.Dense(6, name="inner")], name="block")
        self.unused = layers.Dense(2, name="unused")
        self.head = layers.Dense(2, name="head")

    def build(self, shape):
        for layer in (self.shared, self.nested, self.unused, self.head):
            layer.build((None, 6))
        self.built = True

    def call(self, x):
        x = self.shared(x) + ops.tanh(self.nested(x))
        return self.head(self.shared(x))


def test_subclassed_nested_and_shared_layers(tmp_path, rng):
    model = Branches()
    model(np.zeros((1, 6), "float32"))
    x = rng.normal(size=(50, 6)).astype("float32")
    report = kerasbnn.tflite.probe(randomized(model), tmp_path / "p.tflite")
    assert [layer.calls for layer in report.layers] == [2, 1, 1]
    assert list(report.skipped) == ["unused"]
    found = Probe(tmp_path / "p.tflite").measure(x).report()
    assert_same_geometry(found, audited(model, x))


def test_several_inputs_by_name(tmp_path, rng):
    first, second = (keras.Input((6,), name=name) for name in ("first", "second"))
    joined = layers.Concatenate()([layers.Dense(4)(second), first])
    model = randomized(keras.Model([first, second], QuantDense(5, **SIGNS)(joined)))
    x = {
        name: rng.normal(size=(50, 6)).astype("float32") for name in ("first", "second")
    }
    kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    probe = Probe(tmp_path / "p.tflite")
    assert probe.inputs == {"first": (None, 6), "second": (None, 6)}
    assert_same_geometry(probe.measure(x).report(), audited(model, x))


def test_integers_and_a_loop(tmp_path, rng):
    tokens = keras.Input((7,), dtype="int32", name="tokens")
    x = layers.LSTM(6)(layers.Embedding(20, 8)(tokens))
    model = randomized(keras.Model(tokens, QuantDense(5, **SIGNS)(x)))
    report = kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    assert sorted(report.skipped) == ["embedding", "lstm"]
    x = rng.integers(0, 20, size=(50, 7))
    found = Probe(tmp_path / "p.tflite").measure(x).report()
    assert_same_geometry(found, audited(model, x))


def test_a_sign_is_a_layer_of_its_own_before_pooling(tmp_path):
    model = sequential(
        (8, 8, 3),
        QuantConv2D(8, 3, **BINARY),
        layers.BatchNormalization(),
        quantizers.SteSign(),
        layers.MaxPooling2D(2),
        layers.Flatten(),
        QuantDense(7, **BINARY),
    )
    x = samples(model)
    kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    statistics = Probe(tmp_path / "p.tflite").measure(x)
    assert_same_geometry(statistics.report(), audited(model, x))
    inside = keras.Model(model.inputs[0], model.layers[1].output)
    pooled = layers.MaxPooling2D(2)(inside(x))
    raw = np.array(pooled).reshape(len(x), -1)
    activations = statistics.activations()["quant_dense"]
    assert activations.negative == pytest.approx((raw < 0).mean())
    assert activations.saturated == pytest.approx((np.abs(raw) > 1).mean())


def test_activations_before_a_quantizer_of_the_layer(tmp_path):
    model = sequential((5, 4), layers.Dense(8), QuantDense(7, name="quant", **SIGNS))
    x = samples(model)
    kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    activations = Probe(tmp_path / "p.tflite").measure(x).activations()
    assert list(activations) == ["quant"]
    raw = np.array(model.layers[0](x))
    assert activations["quant"].negative == pytest.approx((raw < 0).mean())
    assert activations["quant"].saturated == pytest.approx((np.abs(raw) > 1).mean())


def test_components_of_the_windows_are_in_the_order_of_the_weights(tmp_path):
    layer = QuantConv1D(8, 3, padding="causal", groups=2, pad_values=-1, **BINARY)
    model = sequential((6, 4), layer)
    # Each time and channel has a mean of its own.
    x = samples(model, 60) + np.arange(24, dtype="float32").reshape(6, 4)
    kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    statistics = Probe(tmp_path / "p.tflite").measure(x)
    padded = np.pad(x, [(0, 0), (2, 0), (0, 0)], constant_values=-1)
    taps = np.stack([padded[:, tap : tap + 6] for tap in range(3)])
    for group in range(2):
        seen = taps[..., 2 * group : 2 * group + 2]
        for found, expected in zip(
            statistics.kernels[layer.name].element_moments(),
            (seen.mean(axis=(1, 2)), seen.var(axis=(1, 2))),
            strict=True,
        ):
            np.testing.assert_allclose(found[group], expected.ravel(), rtol=1e-5)


def test_two_normalizations_of_the_same_products(tmp_path):
    x = keras.Input((6,))
    products = QuantDense(5, **BINARY)(x)
    pair = [layers.BatchNormalization(name=name)(products) for name in ("one", "two")]
    model = randomized(keras.Model(x, layers.Add()(pair)))
    x = samples(model)
    kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    found = Probe(tmp_path / "p.tflite").measure(x).report()
    assert found.layers[0].normalization.name == "one"
    assert_same_geometry(found, audited(model, x))


def test_one_normalization_of_two_products(tmp_path):
    shared = layers.BatchNormalization(name="shared")
    x = keras.Input((6,))
    pair = [shared(QuantDense(5, **BINARY)(x)) for _ in range(2)]
    model = randomized(keras.Model(x, layers.Add()(pair)))
    x = samples(model)
    kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    found = Probe(tmp_path / "p.tflite").measure(x).report()
    assert_same_geometry(found, audited(model, x))


def test_channels_first(tmp_path):
    first = {"data_format": "channels_first", "padding": "same", **SIGNS}
    model = sequential(
        (3, 9, 8),
        QuantConv2D(5, 3, pad_values=1, **first),
        layers.BatchNormalization(axis=1),
        QuantConv2D(6, 3, pad_values=-1, activation="relu", **first),
        layers.Flatten(),
        layers.Dense(3),
    )
    kerasbnn.tflite.probe(model, tmp_path / "p.tflite", verify_samples=False)
    x = samples(model)
    found = Probe(tmp_path / "p.tflite").measure(x).report()
    assert_same_geometry(found, audited(model, x))


@pytest.mark.parametrize("offset", [1000.0, -30.0])
def test_inputs_far_from_zero(tmp_path, offset):
    """Where float32 has few digits left for what varies."""
    model = sequential((6, 6, 3), layers.Conv2D(5, 3), layers.Flatten())
    model.add(layers.Dense(3))
    x = samples(randomized(model)) + np.float32(offset)
    kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    found = Probe(tmp_path / "p.tflite").measure(x).report()
    assert_same_geometry(found, audited(model, x), rtol=2e-4)

"""Converted networks whose layers do not stand in a row."""

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense, quantizers
from tests.helpers.converting import (
    BINARY,
    ROUNDING,
    SIGNS,
    converted,
    keras_outputs,
    outputs_of,
    samples_for,
    trained,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)


def test_residual_connections_are_fused(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, padding="same")(inputs)
    for _ in range(3):
        y = QuantConv2D(16, 3, padding="same", pad_values=1, **SIGNS)(x)
        y = layers.BatchNormalization()(y)
        x = layers.Add()([y, x])
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(4)(x))
    report = converted(model, tmp_path)
    packed = [layer for layer in report.layers if layer.packed]
    assert [layer.fused[-1] for layer in packed] == ["residual"] * 3


def test_signs_with_several_uses(tmp_path):
    inputs = keras.Input((6, 6, 5))
    x = QuantConv2D(40, 3, **BINARY)(inputs)
    x = layers.BatchNormalization()(x)
    # One sign feeds two layers, one of another kind, and one that is not binary.
    signs = quantizers.SteSign(name="signs")(x)
    a = QuantConv2D(8, 1, **BINARY)(signs)
    b = QuantConv2D(8, 1, **BINARY)(signs)
    c = layers.Conv2D(8, 1)(signs)
    model = keras.Model(inputs, layers.Concatenate()([a, b, c]))
    converted(model, tmp_path)


def test_one_sign_to_two_binary_layers_is_bits(tmp_path):
    inputs = keras.Input((6, 6, 5))
    x = QuantConv2D(40, 3, name="first", **BINARY)(inputs)
    x = layers.BatchNormalization()(x)
    a = QuantConv2D(8, 1, **SIGNS)(x)
    b = QuantConv2D(8, 1, **SIGNS)(x)
    model = keras.Model(inputs, layers.Concatenate()([a, b]))
    report = converted(model, tmp_path)
    assert report["first"].outputs == "bits"


def test_nested_and_shared_layers(tmp_path):
    block = keras.Sequential(
        [
            keras.Input((16,)),
            QuantDense(16, name="dense", **SIGNS),
            layers.BatchNormalization(name="bn"),
        ],
        name="block",
    )
    inputs = keras.Input((16,))
    model = keras.Model(inputs, block(block(inputs)))
    report = converted(model, tmp_path)
    assert report["block/dense"].packed
    assert len(report.layers) == 1


def test_subclassed_models(tmp_path):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = QuantDense(16, **SIGNS)
            self.norm = layers.BatchNormalization()

        def call(self, inputs, training=False):
            return self.norm(self.dense(inputs), training=training)

    model = Net()
    x = np.ones((2, 7), np.float32)
    model(x)
    trained(model)
    report = kerasbnn.convert(model, tmp_path / "model.tflite", sample_inputs=x)
    assert [layer.packed for layer in report.layers] == [True]
    np.testing.assert_allclose(
        outputs_of(tmp_path / "model.tflite", x), keras_outputs(model, x), **ROUNDING
    )


def test_dropout_on_signs(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((20,)),
            QuantDense(40, **BINARY),
            layers.BatchNormalization(),
            quantizers.SteSign(),
            layers.Dropout(0.5),
            QuantDense(6, name="last", **BINARY),
        ]
    )
    assert converted(model, tmp_path)["last"].inputs == "bits"


def test_shifts_between_binary_layers_are_thresholds(tmp_path):
    shifted = {**SIGNS, "input_quantizer": "r_sign"}
    model = keras.Sequential(
        [
            keras.Input((9, 9, 3)),
            QuantConv2D(20, 3, name="first", **{**SIGNS, "use_bias": True}),
            layers.BatchNormalization(),
            QuantConv2D(20, 3, name="second", **shifted),
            layers.MaxPooling2D(),
            layers.BatchNormalization(),
            QuantConv2D(5, 1, name="third", **shifted),
        ]
    )
    report = converted(model, tmp_path)
    assert [layer.outputs for layer in report.layers] == ["bits", "bits", "floats"]


def conv(x, filters=16, size=3, **options):
    """Add a binary convolution and batch normalization."""
    options = {"padding": "same", "pad_values": 1, **SIGNS, **options}
    x = QuantConv2D(filters, size, **options)(x)
    return layers.BatchNormalization()(x)


def stem(inputs, filters=16):
    return layers.BatchNormalization()(QuantConv2D(filters, 3, **BINARY)(inputs))


def packed_layers(report):
    return [layer for layer in report.layers if layer.packed]


def test_bi_real_blocks(tmp_path):
    # A shortcut around every convolution, a float one where the shape changes.
    inputs = keras.Input((14, 14, 3))
    x = layers.BatchNormalization()(layers.Conv2D(16, 3, use_bias=False)(inputs))
    for filters, strides in ((16, 1), (32, 2), (32, 1)):
        shortcut = x
        if strides > 1:
            shortcut = layers.AveragePooling2D(2, padding="same")(x)
            shortcut = layers.Conv2D(filters, 1, use_bias=False)(shortcut)
            shortcut = layers.BatchNormalization()(shortcut)
        x = layers.Add()([conv(x, filters, strides=strides), shortcut])
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(inputs, layers.Dense(10)(x))
    report = converted(model, tmp_path)
    assert [layer.fused[-1] for layer in packed_layers(report)] == ["residual"] * 3


def test_resnet_blocks(tmp_path):
    # Two convolutions between shortcuts: between them there are bits.
    inputs = keras.Input((9, 9, 3))
    x = stem(inputs)
    for _ in range(2):
        x = layers.Add()([x, conv(conv(x))])
    report = converted(keras.Model(inputs, layers.Flatten()(x)), tmp_path)
    outputs = [layer.outputs for layer in packed_layers(report)]
    assert outputs == ["floats", "bits", "floats", "bits", "floats"]


def test_sums_that_a_sign_follows_are_bits(tmp_path):
    inputs = keras.Input((9, 9, 3))
    x = layers.Conv2D(16, 1)(inputs)
    x = layers.Add()([conv(x), x])
    model = keras.Model(inputs, QuantConv2D(5, 3, name="last", **SIGNS)(x))
    report = converted(model, tmp_path)
    assert [layer.outputs for layer in packed_layers(report)] == ["bits", "floats"]
    assert report["last"].inputs == "bits"


@pytest.mark.parametrize("merge", [layers.Add, layers.Subtract, layers.Multiply])
def test_two_binary_branches_merge(tmp_path, merge):
    inputs = keras.Input((9, 9, 3))
    x = stem(inputs)
    x = merge()([conv(x), conv(x, size=1)])
    model = keras.Model(inputs, QuantConv2D(5, 3, name="last", **SIGNS)(x))
    report = converted(model, tmp_path)
    assert all(layer.packed for layer in report.layers)
    fused = [layer.fused for layer in report.layers if "residual" in layer.fused]
    assert len(fused) == (merge is layers.Add)


def test_the_sum_of_two_branches_of_signs(tmp_path):
    # -2, 0 and 2, whose signs the next layer takes; and one branch twice.
    inputs = keras.Input((9, 9, 3))
    x = stem(inputs)
    signs = [quantizers.SteSign()(conv(x, size=size)) for size in (1, 3)]
    y = layers.Add()([*signs, signs[0]])
    y = QuantConv2D(5, 3, name="last", **SIGNS)(layers.Add()([y, y]))
    assert converted(keras.Model(inputs, y), tmp_path)["last"].packed


@pytest.mark.parametrize("filters", [(7, 9), (32, 32)])
def test_concatenated_branches(tmp_path, filters):
    inputs = keras.Input((9, 9, 3))
    x = stem(inputs)
    x = layers.Concatenate()([conv(x, filters[0]), conv(x, filters[1], size=1)])
    x = QuantConv2D(5, 3, name="last", **SIGNS)(x)
    report = converted(keras.Model(inputs, x), tmp_path)
    assert all(layer.packed for layer in report.layers)


def test_dense_connections(tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = stem(inputs)
    for _ in range(3):
        x = layers.Concatenate()([x, conv(x, 8)])
    x = layers.GlobalAveragePooling2D()(x)
    report = converted(keras.Model(inputs, layers.Dense(4)(x)), tmp_path)
    assert len(packed_layers(report)) == 4


@pytest.mark.parametrize("channels", [1, 31, 32, 40, 64])
def test_flattened_images_stay_in_bits(tmp_path, channels):
    # Where channels do not fill words, the dense layer reads a window.
    model = keras.Sequential([keras.Input((7, 6, 3))])
    model.add(QuantConv2D(channels, 3, **BINARY))
    model.add(layers.BatchNormalization())
    model.add(layers.Flatten())
    model.add(QuantDense(33, name="first", **SIGNS))
    model.add(layers.BatchNormalization())
    model.add(QuantDense(10, name="last", **SIGNS))
    report = converted(model, tmp_path)
    assert report["first"].inputs == report["last"].inputs == "bits"
    expected = "QuantDense"
    assert report["first"].type == expected


def test_a_flattened_image_with_a_residual(tmp_path):
    inputs = keras.Input((5, 5, 3))
    x = layers.Flatten()(stem(inputs, 20))
    x = layers.BatchNormalization()(QuantDense(33, **SIGNS)(x))
    x = layers.Add()([x, layers.Dense(33)(layers.Flatten()(inputs))])
    model = keras.Model(inputs, QuantDense(4, **SIGNS)(x))
    report = converted(model, tmp_path)
    assert "residual" in packed_layers(report)[1].fused


@pytest.mark.parametrize(
    "pooling",
    [
        layers.GlobalAveragePooling2D(),
        layers.GlobalMaxPooling2D(),
        layers.AveragePooling2D(3),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_other_poolings_of_binary_layers(tmp_path, pooling):
    inputs = keras.Input((9, 9, 3))
    x = layers.Flatten()(pooling(conv(stem(inputs), 33)))
    model = keras.Model(inputs, QuantDense(10, name="last", **SIGNS)(x))
    assert converted(model, tmp_path)["last"].inputs == "signs"


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("size", "strides"), [(2, 1), (3, 2), ((1, 3), (2, 1))])
def test_max_poolings_of_bits(tmp_path, size, strides, padding):
    inputs = keras.Input((11, 10, 3))
    x = QuantConv2D(33, 3, **BINARY)(inputs)
    pool = layers.MaxPooling2D(size, strides, padding)
    for number in range(2):
        x = layers.BatchNormalization()(pool(x) if number else x)
        x = QuantConv2D(40, 3, padding="same", **SIGNS)(x if number else pool(x))
    report = converted(keras.Model(inputs, x), tmp_path)
    assert [layer.outputs for layer in report.layers] == ["bits", "bits", "floats"]


@pytest.mark.parametrize(
    "layer",
    [
        layers.ZeroPadding2D(((1, 0), (2, 1))),
        layers.Cropping2D(1),
        layers.UpSampling2D(2),
        layers.UpSampling2D(2, interpolation="bilinear"),
        layers.Permute((2, 1, 3)),
        layers.Reshape((7, 4, 16)),
        layers.Reshape((28, 16)),
        layers.SpatialDropout2D(0.5),
        layers.GaussianNoise(0.5),
        layers.PReLU(shared_axes=[1, 2]),
        layers.LeakyReLU(),
        layers.Activation("hard_tanh"),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_between_binary_layers(tmp_path, layer):
    inputs = keras.Input((6, 9, 3))
    x = layer(stem(inputs))
    x = layers.Flatten()(x)
    model = keras.Model(inputs, QuantDense(5, name="last", **SIGNS)(x))
    assert converted(model, tmp_path)["last"].packed


def test_several_inputs_and_outputs(tmp_path):
    image, number = keras.Input((6, 6, 3), name="image"), keras.Input((4,), name="n")
    x = layers.Flatten()(stem(image, 32))
    a = QuantDense(5, **SIGNS)(x)
    b = QuantDense(3, **SIGNS)(layers.Concatenate()([x, number]))
    model = trained(keras.Model({"image": image, "n": number}, {"a": a, "b": b}))
    path = tmp_path / "model.tflite"
    kerasbnn.convert(model, path)
    rng = np.random.default_rng(0)
    x = {
        "image": rng.integers(-256, 257, (3, 6, 6, 3)).astype(np.float32) / 256,
        "n": rng.normal(size=(3, 4)).astype(np.float32),
    }
    with kerasbnn.Interpreter(path, delegate=False) as interpreter:
        found = interpreter.predict(x)
    for name, expected in model(x, training=False).items():
        np.testing.assert_allclose(found[name], expected, **ROUNDING, err_msg=name)


def test_a_binary_layer_that_is_an_output_too(tmp_path):
    inputs = keras.Input((6, 6, 3))
    x = stem(inputs)
    y = QuantConv2D(5, 3, name="last", **SIGNS)(x)
    model = trained(keras.Model(inputs, [x, y]))
    path = tmp_path / "model.tflite"
    kerasbnn.convert(model, path)
    given = samples_for(model)
    with kerasbnn.Interpreter(path, delegate=False) as interpreter:
        found = interpreter.predict(given)
    assert len(found) == 2
    for one, other in zip(found.values(), model(given, training=False), strict=True):
        np.testing.assert_allclose(one, other, **ROUNDING)


def test_subclassed_blocks_in_subclassed_models(tmp_path):
    class Block(keras.layers.Layer):
        def __init__(self, **options):
            super().__init__(**options)
            self.conv = QuantConv2D(16, 3, padding="same", name="conv", **SIGNS)
            self.norm = layers.BatchNormalization(name="norm")

        def call(self, inputs):
            return self.norm(self.conv(inputs)) + inputs

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.stem = layers.Conv2D(16, 1)
            self.blocks = [Block(name=f"block_{i}") for i in range(2)]
            self.head = QuantDense(4, name="head", **SIGNS)

        def call(self, inputs, training=False):
            x = self.stem(inputs)
            for block in self.blocks:
                x = block(x)
            return self.head(keras.ops.mean(x, axis=(1, 2)))

    model = Net()
    x = np.random.default_rng(0).integers(-256, 257, (3, 8, 8, 3)) / 256
    x = x.astype(np.float32)
    model(x)
    trained(model)
    report = kerasbnn.convert(model, tmp_path / "model.tflite", sample_inputs=x)
    assert report["block_1/conv"].fused == ("block_1/norm", "residual")
    np.testing.assert_allclose(
        outputs_of(tmp_path / "model.tflite", x), keras_outputs(model, x), **ROUNDING
    )

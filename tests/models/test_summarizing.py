"""The summary: bits, bytes and multiply-accumulates of all kinds of models."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense, models, quantizers
from kerasbnn.metrics import metrics_scope

BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "kernel_initializer": "zeros",
    "use_bias": False,
}
BINARY_KERNEL = {**BINARY, "input_quantizer": None}


def summarize(model, input_shape=None):
    return models.summary(model, input_shape, print_fn=lambda line: None)


def by_name(result):
    return {layer["name"]: layer for layer in result["layers"]}


def binarynet():
    """BinaryNet for CIFAR-10 as Anderson & Berg's code has it."""
    parts = [keras.Input((32, 32, 3))]
    for i, filters in enumerate((128, 128, 256, 256, 512, 512)):
        arguments = BINARY if i else BINARY_KERNEL
        parts.append(QuantConv2D(filters, 3, padding="same", **arguments))
        if i % 2:
            parts.append(layers.MaxPooling2D())
        parts.append(layers.BatchNormalization(scale=False))
    parts.append(layers.Flatten())
    for units in (1024, 1024, 10):
        parts += [QuantDense(units, **BINARY), layers.BatchNormalization(scale=False)]
    return keras.Sequential(parts)


def test_binarynet_has_the_known_numbers():
    result = summarize(binarynet())
    totals = result["totals"]
    assert totals["weights"] == {"1": 14_022_016, "32": 2 * 3850}
    kernels = sum(layer["weights"].get("1", 0) // 8 for layer in result["layers"])
    assert round(kernels / 2**20, 3) == 1.672
    assert totals["packed_bytes"] == kernels + 4 * 2 * 3850
    assert totals["float32_bytes"] == 4 * (14_022_016 + 7700)
    first = 32 * 32 * 9 * 3 * 128
    pixels = [32**2, 16**2, 16**2, 8**2, 8**2]
    planes = [128 * 128, 128 * 256, 256 * 256, 256 * 512, 512 * 512]
    convolutions = sum(n * 9 * k for n, k in zip(pixels, planes, strict=True))
    dense = 8192 * 1024 + 1024 * 1024 + 1024 * 10
    assert totals["macs"] == {"1x1": convolutions + dense, "32x1": first}
    assert totals["macs_1bit"] == convolutions + dense
    assert totals["macs_other"] == first
    assert round((totals["macs_1bit"] + totals["macs_other"]) / 1e6) == 617
    assert totals["share_1bit_macs"] == pytest.approx(0.99426, abs=1e-5)
    assert totals["compression_ratio"] == pytest.approx(31.46, abs=0.01)
    assert totals["layers_without_macs"] == []


def test_every_layer_has_the_documented_keys_and_survives_json():
    model = keras.Sequential([keras.Input((4,)), QuantDense(3, **BINARY, name="a")])
    result = summarize(model)
    assert result["layers"] == [
        {
            "name": "a",
            "type": "QuantDense",
            "calls": 1,
            "input_bits": 1,
            "output_shapes": [[None, 3]],
            "weights": {"1": 12},
            "packed_bytes": 2,
            "float32_bytes": 48,
            "macs": {"1x1": 12},
            "macs_1bit": 12,
            "macs_other": 0,
        }
    ]
    assert json.loads(json.dumps(result)) == result


def test_bits_follow_quantizers_through_layers_that_keep_values():
    inputs = keras.Input((8, 8, 2))
    x = layers.Activation(quantizers.SteSign(), name="sign")(inputs)
    x = layers.MaxPooling2D(name="pool")(x)
    x = layers.Cropping2D(1, name="crop")(x)
    x = layers.Permute((2, 1, 3), name="permute")(x)
    x = layers.Dropout(0.5, name="dropout")(x)
    x = QuantConv2D(3, 1, **BINARY_KERNEL, name="conv")(x)
    x = quantizers.DoReFa(k_bit=3, name="dorefa")(x)
    x = layers.Flatten(name="flatten")(x)
    x = QuantDense(4, **BINARY_KERNEL, name="dense")(x)
    x = layers.Dense(2, activation=quantizers.SteTern(), name="ternary")(x)
    x = layers.Dense(2, name="last")(x)
    rows = by_name(summarize(keras.Model(inputs, layers.ReLU(name="relu")(x))))
    bits = {name: row["input_bits"] for name, row in rows.items()}
    assert bits == {
        **{"sign": 32, "pool": 1, "crop": 1, "permute": 1, "dropout": 1, "conv": 1},
        **{
            "dorefa": 32,
            "flatten": 3,
            "dense": 3,
            "ternary": 32,
            "last": 2,
            "relu": 32,
        },
    }
    assert rows["conv"]["macs"] == {"1x1": 2 * 2 * 2 * 3}
    assert rows["dense"]["macs"] == {"3x1": 12 * 4}
    assert rows["last"]["macs"] == {"2x32": 4}
    assert rows["sign"]["macs"] == {}


def test_zero_padding_keeps_binary_inputs_binary():
    model = keras.Sequential(
        [
            keras.Input((5, 5, 2)),
            quantizers.SteSign(),
            layers.ZeroPadding2D(),
            QuantConv2D(2, 3, **BINARY_KERNEL, padding="same", pad_values=0),
        ]
    )
    rows = summarize(model)["layers"]
    assert [row["input_bits"] for row in rows] == [32, 1, 1]
    assert rows[-1]["macs"] == {"1x1": 7 * 7 * 9 * 4}


def test_of_several_inputs_the_widest_counts():
    inputs = keras.Input((4, 4, 2))
    signs = quantizers.SteSign(name="sign")(inputs)
    both = layers.Concatenate(name="both")([signs, quantizers.SteTern()(inputs)])
    copied = layers.UpSampling2D(interpolation="nearest")(both)
    mixed = layers.UpSampling2D(interpolation="bilinear")(both)
    convs = [layers.Conv2D(1, 1, name=name) for name in ("both_1", "copied", "mixed")]
    tensors = zip(convs, (both, copied, mixed), strict=True)
    model = keras.Model(inputs, [conv(tensor) for conv, tensor in tensors])
    rows = by_name(summarize(model))
    assert rows["both"]["input_bits"] == 2
    bits = [rows[conv.name]["input_bits"] for conv in convs]
    assert bits == [2, 2, 32]


def test_each_kernel_has_its_own_bits():
    layer = kerasbnn.QuantSeparableConv2D(
        6,
        3,
        depth_multiplier=2,
        input_quantizer="ste_sign",
        depthwise_quantizer="ste_sign",
        depthwise_constraint="weight_clip",
        pointwise_quantizer="ste_tern",
    )
    row = summarize(keras.Sequential([keras.Input((6, 5, 4)), layer]))["layers"][0]
    assert row["weights"] == {"1": 9 * 4 * 2, "2": 8 * 6, "32": 6}
    assert row["packed_bytes"] == 9 + 12 + 24
    # The pointwise step gets sums, which are not binary.
    assert row["macs"] == {"1x1": 4 * 3 * 72, "32x2": 4 * 3 * 48}
    assert row["macs_1bit"] == 864


def test_a_shared_layer_is_stored_once_and_works_at_every_call():
    inputs = keras.Input((5,))
    shared = QuantDense(5, **BINARY_KERNEL, name="shared")
    signs = quantizers.SteSign()(inputs)
    outputs = layers.Add()([shared(signs), shared(inputs)])
    result = summarize(keras.Model(inputs, outputs))
    row = by_name(result)["shared"]
    assert row["calls"] == 2
    assert row["input_bits"] == 32
    assert row["weights"] == {"1": 25}
    assert row["macs"] == {"1x1": 25, "32x1": 25}
    assert result["totals"]["weights"] == {"1": 25}


def test_nested_models_and_layers_are_listed_by_their_paths():
    block = keras.Sequential([keras.Input((4,)), QuantDense(4, **BINARY, name="d")])
    block.name = "block"
    inputs = keras.Input((4,))
    twice = block(block(inputs))
    result = summarize(keras.Model(inputs, layers.Dense(2, name="top")(twice)))
    assert [row["name"] for row in result["layers"]] == ["block/d", "top"]
    assert by_name(result)["block/d"]["calls"] == 2
    assert result["totals"]["weights"] == {"1": 16, "32": 10}
    assert result["totals"]["macs"] == {"1x1": 32, "32x32": 8}


class Residual(layers.Layer):
    """A user's layer that holds others and a weight of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = QuantDense(4, **BINARY, name="dense")

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(4,), name="scale")
        super().build(input_shape)

    def call(self, inputs):
        return inputs + self.scale * self.dense(inputs)


class Subclassed(keras.Model):
    """A subclassed model with a list of layers and an unused one."""

    def __init__(self):
        super().__init__()
        self.blocks = [Residual(name="one"), Residual(name="two")]
        self.unused = layers.Dense(3, name="unused")
        self.unused.build((None, 4))

    def call(self, inputs):
        for block in self.blocks:
            inputs = block(inputs)
        return inputs


def test_subclassed_models_need_a_shape_or_a_call():
    model = Subclassed()
    with pytest.raises(ValueError, match="not known.*input_shape"):
        summarize(model)
    from_shape = summarize(model, (4,))
    assert summarize(model) == from_shape
    called = Subclassed()
    called(np.ones((3, 4), "float32"))
    called.name = model.name
    assert summarize(called) == from_shape
    rows = by_name(from_shape)
    assert list(rows) == ["one", "one/dense", "two", "two/dense", "unused"]
    # What the user's layer does with its weight is not known.
    assert rows["one"]["weights"] == {"32": 4}
    assert rows["one"]["macs"] is None
    assert rows["one/dense"]["macs"] == {"1x1": 16}
    assert rows["unused"]["calls"] == 0
    assert rows["unused"]["input_bits"] is None
    assert from_shape["totals"]["layers_without_macs"] == ["one", "two", "unused"]


def test_several_inputs_in_a_dict():
    image = keras.Input((4, 4, 1), name="image")
    flags = keras.Input((3,), name="flags", dtype="int32")
    x = layers.Flatten()(layers.Conv2D(2, 3, name="conv")(image))
    y = layers.Flatten()(layers.Embedding(5, 2, name="embedding")(flags))
    outputs = layers.Dense(1, name="dense")(layers.Concatenate()([x, y]))
    model = keras.Model({"image": image, "flags": flags}, outputs)
    rows = by_name(summarize(model))
    assert rows["conv"]["macs"] == {"32x32": 2 * 2 * 9 * 2}
    assert rows["embedding"]["macs"] == {}
    assert rows["embedding"]["weights"] == {"32": 10}
    assert rows["dense"]["macs"] == {"32x32": 14}
    shapes = {"image": (4, 4, 1), "flags": (3,)}
    assert by_name(summarize(model, shapes)) == rows
    with pytest.raises(ValueError, match="inputs"):
        summarize(model, {"image": (4, 4, 1)})


def test_several_arguments_of_a_subclassed_model():
    class Pair(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2, name="dense")

        def call(self, left, right):
            return self.dense(left) + self.dense(right)

    model = Pair()
    model(np.ones((1, 3)), np.ones((1, 3)))
    with pytest.raises(ValueError, match="'left', 'right'"):
        summarize(model)
    row = by_name(summarize(model, {"left": (3,), "right": (5, 3)}))["dense"]
    assert (row["calls"], row["macs"]) == (2, {"32x32": 6 + 30})


def test_an_open_size_asks_for_the_shape():
    model = keras.Sequential([keras.Input((None, None, 2)), layers.Conv2D(1, 3)])
    with pytest.raises(ValueError, match="input_shape"):
        summarize(model)
    assert summarize(model, (5, 6, 2))["totals"]["macs"] == {"32x32": 3 * 4 * 18}
    for bad in [
        (5, 6),
        (5, 6, 3),
        (5, None, 2),
        (0, 6, 2),
        "5,6,2",
        5,
        [(5, 6, 2)] * 2,
    ]:
        with pytest.raises(ValueError, match="input_shape"):
            summarize(model, bad)


def test_a_fixed_batch_size_does_not_count():
    inputs = keras.Input(batch_shape=(6, 3))
    result = summarize(keras.Model(inputs, layers.Dense(2)(inputs)))
    assert result["totals"]["macs"] == {"32x32": 6}
    assert result["layers"][0]["output_shapes"] == [[None, 2]]


def test_layers_whose_work_is_not_modelled_say_so():
    inputs = keras.Input((4, 3))
    x = layers.LSTM(2, return_sequences=True, name="lstm")(inputs)
    x = layers.MultiHeadAttention(1, 2, name="attention")(x, x)
    x = layers.Lambda(lambda t: t * 2, name="code", output_shape=(4, 2))(x)
    model = keras.Model(inputs, x)
    result = summarize(model)
    assert [row["name"] for row in result["layers"]] == ["lstm", "attention", "code"]
    assert all(row["macs"] is None for row in result["layers"])
    assert result["totals"]["weights"] == {"32": model.count_params()}
    assert result["totals"]["share_1bit_macs"] is None
    lines = []
    models.summary(model, print_fn=lines.append)
    assert "?" in next(line for line in lines if line.startswith("lstm"))
    assert any("lstm, attention, code" in line for line in lines)


def test_a_cell_in_two_recurrent_layers_is_stored_once():
    inputs = keras.Input((4, 2))
    cell = layers.LSTMCell(2)
    x = layers.RNN(cell, return_sequences=True)(inputs)
    model = keras.Model(inputs, layers.RNN(cell)(x))
    assert summarize(model)["totals"]["weights"] == {"32": model.count_params()}


def test_counters_of_flip_ratio_are_no_weights_but_a_learned_shift_is():
    with metrics_scope(["flip_ratio"]):
        layer = QuantDense(
            3, input_quantizer=quantizers.RSign(), kernel_quantizer="irnet_sign"
        )
    model = keras.Sequential([keras.Input((5,)), layer])
    assert len(model.variables) > len(model.weights)
    row = summarize(model)["layers"][0]
    assert row["weights"] == {"1": 15, "32": 3 + 5}
    assert row["macs"] == {"1x1": 15}


def test_batch_normalization_has_two_numbers_per_channel_in_any_form():
    for arguments in ({}, {"scale": False}, {"center": False}, {"renorm": True}):
        bn = layers.BatchNormalization(**arguments)
        result = summarize(keras.Sequential([keras.Input((7,)), bn]))
        assert result["totals"]["weights"] == {"32": 14}


def test_weights_count_as_they_are_stored():
    keras.config.set_dtype_policy("mixed_bfloat16")
    dense = layers.Dense(4, dtype="bfloat16", name="half")
    binary = QuantDense(3, **BINARY, name="binary")
    plain = QuantDense(2, kernel_quantizer=lambda x: x, name="plain")
    fraction = QuantDense(8, kernel_quantizer=quantizers.NoOp(1.5), name="fraction")
    model = keras.Sequential([keras.Input((5,)), dense, binary, plain, fraction])
    rows = by_name(summarize(model))
    assert rows["half"]["weights"] == {"16": 24}
    assert rows["binary"]["weights"] == {"1": 12}
    assert rows["plain"]["weights"] == {"32": 8}
    assert rows["fraction"]["weights"] == {"1.5": 16, "32": 8}
    assert rows["fraction"]["packed_bytes"] == 3 + 32


def test_nothing_about_the_model_changes():
    model = keras.Sequential(
        [
            keras.Input((4,)),
            layers.Dropout(0.5),
            QuantDense(3, **BINARY, metrics=["flip_ratio"]),
        ]
    )
    model.compile("sgd", "mse")
    before = [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]
    nodes = len(model.layers[0]._inbound_nodes)
    summarize(model)
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, keras.ops.convert_to_numpy(new))
    assert len(model.layers[0]._inbound_nodes) == nodes


def test_only_models_are_summarized():
    with pytest.raises(TypeError, match="Sequential"):
        summarize(layers.Dense(2))

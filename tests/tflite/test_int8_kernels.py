"""Kernels with the levels of 8-bit quantizers: one byte per weight, the same floats."""

import keras
import numpy as np
import pytest
from ai_edge_litert.schema_py_generated import BuiltinOperator
from keras import layers

import kerasbnn
from kerasbnn import (
    QuantConv1D,
    QuantConv2D,
    QuantConv2DTranspose,
    QuantConv3D,
    QuantDense,
    QuantDepthwiseConv1D,
    QuantDepthwiseConv2D,
    QuantSeparableConv1D,
    QuantSeparableConv2D,
)
from kerasbnn.tflite.graph import Graph
from kerasbnn.tfmot import (
    AllValuesQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
)
from tests.helpers.converting import SIGNS, keras_outputs, outputs_of

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)

# Arguments after the number of bits: per_axis, symmetric, narrow_range.
RANGES = {
    "symmetric per channel": (8, True, True, True),
    "from -128 to 127 per channel": (8, True, True, False),
    "asymmetric per channel": (8, True, False, False),
    "asymmetric": (8, False, False, False),
    "symmetric": (8, False, True, True),
    "asymmetric of 5 bits": (5, True, False, True),
    "symmetric of 4 bits": (4, True, True, True),
}

# The class, its arguments, the shape of its inputs and its kernels.
LAYERS = {
    "dense": (QuantDense, {"units": 6}, (5,)),
    "dense on rows": (QuantDense, {"units": 6}, (4, 5)),
    "conv": (
        QuantConv2D,
        {"filters": 6, "kernel_size": 3, "padding": "same"},
        (7, 6, 3),
    ),
    "strided conv": (
        QuantConv2D,
        {"filters": 6, "kernel_size": (3, 2), "strides": 2, "groups": 2},
        (7, 6, 4),
    ),
    "padded with ones": (
        QuantConv2D,
        {"filters": 6, "kernel_size": 3, "padding": "same", "pad_values": 1},
        (7, 6, 3),
    ),
    "conv 1d": (
        QuantConv1D,
        {"filters": 6, "kernel_size": 3, "padding": "causal"},
        (9, 3),
    ),
    "conv 3d": (QuantConv3D, {"filters": 4, "kernel_size": 2}, (4, 5, 4, 2)),
    "transposed": (
        QuantConv2DTranspose,
        {"filters": 4, "kernel_size": 3, "strides": 2},
        (4, 5, 3),
    ),
    "depthwise": (QuantDepthwiseConv2D, {"kernel_size": 3}, (7, 6, 3)),
    "depthwise, two of each": (
        QuantDepthwiseConv2D,
        {"kernel_size": 3, "depth_multiplier": 2, "padding": "same"},
        (7, 6, 3),
    ),
    "depthwise 1d": (
        QuantDepthwiseConv1D,
        {"kernel_size": 3, "depth_multiplier": 2},
        (7, 3),
    ),
    "separable": (
        QuantSeparableConv2D,
        {"filters": 5, "kernel_size": 3, "depth_multiplier": 2},
        (7, 6, 3),
    ),
    "separable 1d": (QuantSeparableConv1D, {"filters": 5, "kernel_size": 3}, (7, 3)),
}


def make_layer(case, ranges, **others):
    """Make a layer all of whose kernels have levels, and the shape of its inputs."""
    cls, arguments, shape = LAYERS[case]
    quantizers = {
        role.quantizer: LastValueQuantizer(*ranges) for role in cls.kernel_roles
    }
    return cls(name="layer", **arguments, **quantizers, **others), shape


def fitted(model, seed=0):
    """Give a model biases, kernels of different channels, and the ranges of these."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(size=weight.shape)
        if "kernel" in weight.path and "quantizer" not in weight.path:
            # Some channels are on one side of 0, and one is all zeros.
            values *= np.exp(rng.normal(size=weight.shape[-1]))
            values[..., 1:2] = abs(values[..., 1:2])
            values[..., 2:3] = -abs(values[..., 2:3])
            values[..., 0] *= weight.shape[-1] < 4
        elif "min_value" in weight.path or "max_value" in weight.path:
            continue
        weight.assign(values)
    x = rng.normal(size=(8, *model.input_shape[1:])).astype("float32")
    model(x, training=True)
    return model


def floats_in(path):
    """Return what the int8 constants of a file stand for, read from its bytes."""
    graph = Graph(path.read_bytes())
    found = []
    for subgraph in graph.subgraphs[:1]:
        for op in subgraph.operators:
            if op.builtin != BuiltinOperator.DEQUANTIZE:
                continue
            (place,) = op.inputs
            values = subgraph.constant(place)
            levels = subgraph.raw.tensors[place].quantization
            shape = [1] * values.ndim
            shape[levels.quantizedDimension] = len(levels.scale)
            zero, scale = (
                np.asarray(x).reshape(shape) for x in (levels.zeroPoint, levels.scale)
            )
            found.append(((values - zero).astype("float32") * scale, values, levels))
    return found


def check_outputs(model, path, seed=1):
    """Compare the file with Keras, on batches that grow and shrink."""
    rng = np.random.default_rng(seed)
    for count in (1, 5, 2, 17):
        x = rng.normal(size=(count, *model.input_shape[1:])).astype("float32")
        expected = keras_outputs(model, x)
        bound = 1e-5 * max(1, np.abs(expected).max())
        np.testing.assert_allclose(outputs_of(path, x), expected, rtol=0, atol=bound)


@pytest.mark.parametrize("ranges", RANGES)
@pytest.mark.parametrize("case", ["dense", "conv", "depthwise, two of each"])
def test_the_file_holds_the_levels(case, ranges, tmp_path):
    check_layer(case, ranges, tmp_path)


@pytest.mark.parametrize("case", LAYERS)
def test_every_layer(case, tmp_path):
    check_layer(case, "asymmetric per channel", tmp_path)


def check_layer(case, ranges, folder):
    layer, shape = make_layer(case, RANGES[ranges])
    model = fitted(keras.Sequential([keras.Input(shape), layer]))
    path = folder / "model.tflite"
    report = kerasbnn.convert(model, path)
    stored = floats_in(path)
    kernels = kerasbnn.models.quantized_weights(model)
    assert len(stored) == len(kernels)
    remaining = [np.sort(values.ravel()) for values, *_ in stored]
    for kernel in kernels.values():
        matches = [
            np.array_equal(values, np.sort(kernel.ravel())) for values in remaining
        ]
        # The very floats, in the layout of the operation; the outputs tell that.
        assert any(matches), case
    check_outputs(model, path)
    per_channel = RANGES[ranges][1]
    for (name, kernel), row in zip(kernels.items(), report.layers, strict=True):
        assert row.name in name
        assert (row.weight_bits, row.packed) == (8, False)
        channels = 1
        if per_channel:
            role = next(r for r in layer.kernel_roles if name.endswith(r.kernel))
            channels = np.prod([kernel.shape[axis] for axis in role.channel_axes])
        is_last = name == list(kernels)[-1]
        bias = layer.bias.shape[0] if is_last else 0
        assert row.bytes == kernel.size + 12 * channels + 4 * bias
        assert row.float32_bytes == 4 * (kernel.size + bias)
        assert f"levels of {RANGES[ranges][0]} bits" in row.reason


def test_zero_points_where_the_levels_lie_to_one_side(tmp_path):
    layer, shape = make_layer("conv", RANGES["asymmetric per channel"])
    model = fitted(keras.Sequential([keras.Input(shape), layer]))
    kerasbnn.convert(model, tmp_path / "model.tflite")
    ((_, values, levels),) = floats_in(tmp_path / "model.tflite")
    # Channel 0 is all zeros, 1 positive, 2 negative.
    assert levels.zeroPoint[:3].tolist() == [0, -128, 127]
    assert values[0].min() == values[0].max() == 0
    assert values[1].max() == 127
    assert values[2].min() == -128
    assert levels.scale[0] == 1


@pytest.mark.parametrize("quantizer", [MovingAverageQuantizer, AllValuesQuantizer])
def test_other_ranges_of_kernels(quantizer, tmp_path):
    layer = QuantDense(5, kernel_quantizer=quantizer(8), name="layer")
    model = fitted(keras.Sequential([keras.Input((7,)), layer]))
    report = kerasbnn.convert(model, tmp_path / "model.tflite")
    assert report["layer"].weight_bits == 8
    check_outputs(model, tmp_path / "model.tflite")


def test_more_than_8_bits_stay_floats(tmp_path):
    layer, shape = make_layer("conv", (12, True, True, True))
    model = fitted(keras.Sequential([keras.Input(shape), layer]))
    report = kerasbnn.convert(model, tmp_path / "model.tflite")
    assert report["layer"].weight_bits == 32
    assert not floats_in(tmp_path / "model.tflite")
    check_outputs(model, tmp_path / "model.tflite")


def test_two_bits_around_0_are_packed(tmp_path):
    layer, shape = make_layer("conv", (2, True, True, True))
    model = fitted(keras.Sequential([keras.Input(shape), layer]))
    report = kerasbnn.convert(model, tmp_path / "model.tflite")
    assert (report["layer"].packed, report["layer"].weight_bits) == (True, 2)
    check_outputs(model, tmp_path / "model.tflite")


def test_one_kernel_of_two(tmp_path):
    layer = QuantSeparableConv2D(
        5, 3, depthwise_quantizer=LastValueQuantizer(8, True, True, True), name="layer"
    )
    model = fitted(keras.Sequential([keras.Input((7, 6, 3)), layer]))
    report = kerasbnn.convert(model, tmp_path / "model.tflite")
    rows = {row.name: (row.weight_bits, row.float32_bytes) for row in report.layers}
    assert rows == {
        "layer/depthwise_kernel": (8, 4 * 27),
        "layer": (32, 4 * (3 * 5 + 5)),
    }
    check_outputs(model, tmp_path / "model.tflite")


def test_a_shared_layer_is_stored_once(tmp_path):
    dense, _ = make_layer("dense", RANGES["symmetric per channel"])
    inputs = keras.Input((6,)), keras.Input((6,))
    model = keras.Model(inputs, layers.Add()([dense(x) for x in inputs]))
    rng = np.random.default_rng(0)
    x = [rng.normal(size=(3, 6)).astype("float32") for _ in inputs]
    model(x, training=True)
    report = kerasbnn.convert(model, tmp_path / "model.tflite", sample_inputs=x)
    assert [row.name for row in report.layers] == ["layer"]
    assert len(floats_in(tmp_path / "model.tflite")) == 1


def test_within_a_nested_model(tmp_path):
    dense, _ = make_layer("dense", RANGES["symmetric per channel"])
    block = keras.Sequential([keras.Input((5,)), dense], name="block")
    model = fitted(keras.Sequential([keras.Input((5,)), block, layers.Dense(3)]))
    report = kerasbnn.convert(model, tmp_path / "model.tflite")
    assert report["block/layer"].weight_bits == 8
    check_outputs(model, tmp_path / "model.tflite")


def test_under_mixed_precision_it_stays_as_tensorflow_has_it(tmp_path):
    layer, shape = make_layer(
        "dense", RANGES["symmetric per channel"], dtype="mixed_bfloat16"
    )
    model = fitted(keras.Sequential([keras.Input(shape), layer]))
    with pytest.raises(kerasbnn.tflite.ConversionError, match="float32"):
        kerasbnn.convert(model, tmp_path / "model.tflite")


def test_a_whole_network_is_smaller_and_the_same_each_time(tmp_path):
    def network(has_levels):
        def ends():
            if not has_levels:
                return {}
            return {
                "kernel_quantizer": LastValueQuantizer(8, True, True, True),
                "input_quantizer": MovingAverageQuantizer(8),
            }

        return keras.Sequential(
            [
                keras.Input((16, 16, 3)),
                QuantConv2D(32, 5, strides=2, name="stem", **ends()),
                layers.BatchNormalization(),
                QuantConv2D(33, 3, name="middle", **SIGNS),
                layers.BatchNormalization(),
                layers.Flatten(),
                QuantDense(10, name="head", **ends()),
            ]
        )

    sizes = {}
    for has_levels in (False, True):
        keras.utils.set_random_seed(0)
        model = network(has_levels)
        rng = np.random.default_rng(0)
        model(rng.normal(size=(4, 16, 16, 3)).astype("float32"), training=True)
        path = tmp_path / f"{has_levels}.tflite"
        report = kerasbnn.convert(model, path)
        sizes[has_levels] = report.bytes
        assert report["middle"].packed
        check_outputs(model, path)
    saved = 3 * (25 * 3 * 32 + 16 * 33 * 10)
    # Less the scales, and the operations that round the inputs.
    assert 0.75 * saved < sizes[False] - sizes[True] < saved
    kerasbnn.convert(model, tmp_path / "again.tflite")
    assert (tmp_path / "again.tflite").read_bytes() == path.read_bytes()
    text = str(report)
    assert "8 bits" in text
    assert "As integers" in text
    assert "LastValueQuantizer" not in text
    assert kerasbnn.tflite.ConversionReport.from_dict(report.to_dict()) == report

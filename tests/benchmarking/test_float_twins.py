"""The float32 and int8 twins against layers of Keras and numpy written out."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRT
from keras import layers, ops

import kerasbnn
from kerasbnn import (
    QuantConv1D,
    QuantConv2D,
    QuantConv2DTranspose,
    QuantDense,
    QuantDepthwiseConv2D,
    QuantSeparableConv2D,
    quantizers,
)
from kerasbnn.benchmarking import float_twins
from kerasbnn.benchmarking.float_twins import float_twins as make_twins
from kerasbnn.benchmarking.runs import Run
from tests.helpers.converting import (
    BINARY,
    SIGNS,
    conv_net,
    outputs_of,
    samples_for,
    trained,
)

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)
QUICK = {"seconds": 0.2, "verbose": 0}


@pytest.fixture(scope="module")
def model():
    """A convolutional network with weights as after training."""
    return trained(conv_net())


def relu(x):
    return np.maximum(x, 0)


def float_layer(layer):
    """The layer of Keras that a quantized one is named after."""
    name = type(layer).__name__.removeprefix("Quant")
    kind = getattr(layers, name)
    arguments = kind.from_config(
        {
            key: value
            for key, value in layer.get_config().items()
            if "quantizer" not in key and key != "pad_values"
        }
    )
    arguments.build(layer._build_shapes_dict["input_shape"])
    arguments.set_weights(layer.get_weights())
    return arguments


DEPTHWISE = {"depthwise_quantizer": "ste_sign", "depthwise_constraint": "weight_clip"}
POINTWISE = {"pointwise_quantizer": "ste_sign", "pointwise_constraint": "weight_clip"}


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: QuantDense(5, **SIGNS), (7,)),
        (
            lambda: QuantDense(
                5, activation="relu", kernel_quantizer="dorefa_quantizer"
            ),
            (3, 7),
        ),
        (lambda: QuantConv2D(5, 3, padding="same", pad_values=1, **SIGNS), (6, 5, 4)),
        (lambda: QuantConv2D(6, 2, strides=2, groups=2, **SIGNS), (6, 5, 4)),
        (lambda: QuantConv1D(5, 3, input_quantizer="approx_sign"), (9, 4)),
        (
            lambda: QuantDepthwiseConv2D(3, input_quantizer="ste_sign", **DEPTHWISE),
            (6, 6, 4),
        ),
        (
            lambda: QuantSeparableConv2D(
                5, 3, input_quantizer="ste_sign", **DEPTHWISE, **POINTWISE
            ),
            (6, 6, 4),
        ),
        (lambda: QuantConv2DTranspose(5, 3, **SIGNS), (4, 4, 3)),
    ],
    ids=["dense", "dense with rank 3", "conv", "grouped conv", "conv in 1D"]
    + ["depthwise", "separable", "transpose"],
)
def test_the_float32_twin_is_the_keras_layer_behind_a_relu(make, shape, tmp_path):
    layer = make()
    model = trained(keras.Sequential([keras.Input(shape), layer]))
    x = samples_for(model)
    twins = make_twins(model, [x])
    (tmp_path / "float32.tflite").write_bytes(twins.float32)
    before = x if layer.input_quantizer is None else relu(x)
    expected = ops.convert_to_numpy(float_layer(layer)(before))
    found = outputs_of(tmp_path / "float32.tflite", x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(expected).max() > 0.1


def test_quantizers_between_layers_become_relus_too(tmp_path):
    kernel = np.arange(12, dtype="float32").reshape(4, 3) / 7
    model = keras.Sequential(
        [
            keras.Input((4,)),
            quantizers.SteSign(),
            layers.Dense(3, use_bias=False),
            kerasbnn.layers.GeneralizedBinarization("haar", seed=0),
        ]
    )
    model.set_weights([kernel, *model.get_weights()[1:]])
    x = samples_for(model)
    (tmp_path / "float32.tflite").write_bytes(make_twins(model, [x]).float32)
    found = outputs_of(tmp_path / "float32.tflite", x)
    np.testing.assert_allclose(found, relu(relu(x) @ kernel), rtol=1e-5, atol=1e-6)


def test_the_int8_twin_computes_with_integers(model, tmp_path):
    x = samples_for(model, count=60)
    twins = make_twins(model, [x])
    assert twins.problem is None
    interpreter = LiteRT(model_content=twins.int8)
    interpreter.allocate_tensors()
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    products = [
        operation
        for operation in interpreter._get_ops_details()
        if operation["op_name"] in ("CONV_2D", "FULLY_CONNECTED")
    ]
    assert len(products) == 5
    for operation in products:
        for tensor in (*operation["inputs"][:2], *operation["outputs"]):
            assert details[tensor]["dtype"] == np.int8
    outputs = {}
    for name in ("float32", "int8"):
        (tmp_path / "twin.tflite").write_bytes(getattr(twins, name))
        outputs[name] = outputs_of(tmp_path / "twin.tflite", x)
    error = np.abs(outputs["int8"] - outputs["float32"]).max()
    assert 0 < error < 0.1 * np.abs(outputs["float32"]).max()


def test_twins_normalize_with_the_moments_of_their_own_activations(tmp_path, rng):
    model = trained(
        keras.Sequential(
            [
                keras.Input((6,)),
                QuantDense(20, **SIGNS),
                layers.BatchNormalization(epsilon=0.01),
                QuantDense(4, **SIGNS),
            ]
        )
    )
    first, gamma, beta, *_, last = model.get_weights()
    x = samples_for(model, count=32)
    (tmp_path / "float32.tflite").write_bytes(make_twins(model, [x]).float32)
    products = relu(x) @ first
    deviation = np.sqrt(products.var(axis=0) + 0.01)
    normalized = (products - products.mean(axis=0)) / deviation * gamma + beta
    np.testing.assert_allclose(
        outputs_of(tmp_path / "float32.tflite", x),
        relu(normalized) @ last,
        rtol=1e-4,
        atol=1e-4,
    )


def network_without_life():
    """One whose twin has zeros only behind the last ReLU; LiteRT aborts on its int8."""
    normalization = layers.BatchNormalization()
    model = trained(
        keras.Sequential(
            [
                keras.Input((6, 6, 3)),
                QuantConv2D(8, 3, **BINARY),
                layers.MaxPooling2D(),
                normalization,
                QuantConv2D(8, 2, **SIGNS),
            ]
        )
    )
    normalization.beta.assign(np.full(8, -1000.0))
    return model


def network_without_limits():
    """One with infinite values, for which int8 has no scale."""
    dense = QuantDense(4, **SIGNS)
    return keras.Sequential(
        [keras.Input((8,)), layers.Rescaling(3e38), layers.Rescaling(3e38), dense]
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (network_without_life, "ends the process"),
        (network_without_limits, "unsupported scale value"),
    ],
)
def test_a_twin_that_does_not_run_is_left_out(make, message):
    report = kerasbnn.benchmark(make(), **QUICK)
    assert message in report["int8"].problem
    assert report["int8"].bytes is None
    assert report["packed_stock"].same_classes == 1.0
    assert "No int8 twin" in str(report)


def test_other_backends_leave_it_to_a_process_with_tensorflow(model):
    x = samples_for(model)
    here = make_twins(model, [x])
    there = float_twins._in_tensorflow(model, [x], None)
    for name in ("float32", "int8"):
        mine, theirs = (
            Run(getattr(twins, name)).outputs({"input_0": x}) for twins in (here, there)
        )
        (key,) = mine
        np.testing.assert_allclose(theirs[key], mine[key], rtol=1e-5, atol=1e-5)

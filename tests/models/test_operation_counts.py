"""Multiply-accumulates against counts made by the layers themselves.

With inputs and kernels of ones, and without a border of zeros, each multiply-accumulate
adds 1 to an output: the sum of all outputs is the number of them.
"""

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn.models.operation_counts import kernel_products

LAYERS = [
    (keras.layers.Dense(7), (2, 5)),
    (keras.layers.Dense(3), (2, 4, 6, 5)),
    (keras.layers.EinsumDense("abc,cde->abde", (None, 3, 4)), (2, 5, 6)),
    (keras.layers.EinsumDense("...x,xy->...y", 5), (2, 3, 4, 6)),
    (keras.layers.EinsumDense("abcd,cde->abe", (None, 8)), (2, 5, 3, 4)),
    (keras.layers.Conv1D(5, 3, strides=2), (2, 11, 4)),
    (keras.layers.Conv2D(6, (3, 2), dilation_rate=(1, 2)), (2, 9, 8, 4)),
    (keras.layers.Conv2D(6, 3, strides=(2, 3), groups=2), (2, 9, 8, 4)),
    (keras.layers.Conv3D(2, (1, 2, 3)), (2, 4, 5, 6, 3)),
    (keras.layers.DepthwiseConv1D(3, depth_multiplier=2), (2, 7, 5)),
    (keras.layers.DepthwiseConv2D(3, strides=2, depth_multiplier=3), (2, 9, 9, 2)),
    (keras.layers.Conv1DTranspose(4, 3, strides=2), (2, 5, 3)),
    (keras.layers.Conv2DTranspose(4, (3, 2), strides=3), (2, 5, 4, 3)),
    (keras.layers.Conv3DTranspose(2, 2, strides=2), (2, 3, 2, 4, 3)),
    (kerasbnn.QuantDense(7), (2, 3, 5)),
    # Padding with ones: the taps that lie on it count.
    (kerasbnn.QuantConv1D(3, 4, padding="causal", pad_values=1), (2, 7, 2)),
    (kerasbnn.QuantConv2D(3, 3, padding="same", strides=2, pad_values=1), (2, 7, 6, 2)),
    (kerasbnn.QuantDepthwiseConv2D(3, padding="same", pad_values=1), (2, 5, 4, 3)),
]


def with_kernels_of_ones(layer):
    config = layer.get_config()
    kernels = ("kernel", "depthwise", "pointwise")
    ones = {f"{name}_initializer": "ones" for name in kernels}
    return type(layer).from_config(config | {k: ones[k] for k in config if k in ones})


@pytest.mark.parametrize(
    ("layer", "input_shape"), LAYERS, ids=lambda value: getattr(value, "name", value)
)
def test_equals_the_sum_of_outputs_on_ones(layer, input_shape):
    layer = with_kernels_of_ones(layer)
    outputs = layer(np.ones(input_shape, "float32"))
    counted = kernel_products(layer, input_shape, tuple(outputs.shape))
    assert counted == {"kernel": int(keras.ops.sum(outputs))}


@pytest.mark.parametrize(
    ("cls", "input_shape"),
    [
        (keras.layers.SeparableConv1D, (2, 9, 4)),
        (kerasbnn.QuantSeparableConv2D, (2, 9, 8, 4)),
    ],
)
def test_separable_convolutions_count_both_steps(cls, input_shape):
    layer = with_kernels_of_ones(cls(5, 3, strides=2, depth_multiplier=2))
    outputs = layer(np.ones(input_shape, "float32"))
    counted = kernel_products(layer, input_shape, tuple(outputs.shape))
    # Each output adds up 4 * 2 channels, each of which added up a window.
    window = int(np.prod(layer.kernel_size))
    assert counted["pointwise_kernel"] * window == int(keras.ops.sum(outputs))
    positions = int(np.prod(outputs.shape)) // 5
    assert counted["depthwise_kernel"] == positions * window * 4 * 2


def test_equals_a_count_by_hand_of_every_product():
    height, width, inputs, filters, kernel, stride = 7, 6, 2, 3, (3, 2), 2
    count = 0
    for _row in range(0, height - kernel[0] + 1, stride):
        for _column in range(0, width - kernel[1] + 1, stride):
            count += filters * inputs * kernel[0] * kernel[1]
    layer = with_kernels_of_ones(keras.layers.Conv2D(filters, kernel, strides=stride))
    layer.build((None, height, width, inputs))
    shape = layer.compute_output_shape((1, height, width, inputs))
    assert kernel_products(layer, (1, height, width, inputs), shape) == {
        "kernel": count
    }


def test_channels_first_has_the_same_work():
    for cls in (keras.layers.Conv2D, keras.layers.Conv2DTranspose):
        last = with_kernels_of_ones(cls(5, 3, data_format="channels_last"))
        first = with_kernels_of_ones(cls(5, 3, data_format="channels_first"))
        last.build((None, 8, 7, 3))
        first.build((None, 3, 8, 7))
        by_last = kernel_products(
            last, (1, 8, 7, 3), last.compute_output_shape((1, 8, 7, 3))
        )
        by_first = kernel_products(
            first, (1, 3, 8, 7), first.compute_output_shape((1, 3, 8, 7))
        )
        assert by_last == by_first


def test_other_layers_have_none_or_are_unknown():
    shape = (1, 4, 4, 2)
    assert kernel_products(keras.layers.MaxPooling2D(), shape, shape) == {}
    assert kernel_products(kerasbnn.quantizers.SteSign(), shape, shape) == {}
    assert kernel_products(keras.layers.LSTM(2), shape, shape) is None
    assert kernel_products(keras.layers.Lambda(lambda x: x), shape, shape) is None

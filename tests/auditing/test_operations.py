"""Windows, filters and products of every kind of layer agree with Keras' outputs."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasbnn
from kerasbnn.auditing.operations import operations_of
from kerasbnn.auditing.windows import Axis, Windows
from tests.helpers.gradients import array

K = keras.layers


def strided_cases():
    for padding in ("valid", "same"):
        for strides in (1, 2, 3):
            common = {"strides": strides, "padding": padding, "use_bias": False}
            yield K.Conv1D, {"filters": 4, "kernel_size": 3, **common}, (2, 9, 3)
            yield (
                K.Conv2D,
                {"filters": 4, "kernel_size": (3, 2), **common},
                (2, 7, 6, 3),
            )
            deep = {"filters": 3, "kernel_size": (2, 3, 2)}
            yield K.Conv3D, {**deep, **common}, (2, 5, 6, 7, 2)
            depth = {"kernel_size": 3, "depth_multiplier": 2}
            yield K.DepthwiseConv1D, {**depth, **common}, (2, 9, 3)
            yield K.DepthwiseConv2D, {**depth, **common}, (2, 9, 8, 3)
            yield K.SeparableConv1D, {"filters": 5, **depth, **common}, (2, 9, 3)
            yield K.SeparableConv2D, {"filters": 5, **depth, **common}, (2, 9, 8, 3)
            wide = {"filters": 4, "kernel_size": (2, 4)}
            yield (
                K.Conv1DTranspose,
                {"filters": 4, "kernel_size": 3, **common},
                (2, 9, 3),
            )
            yield K.Conv2DTranspose, {**wide, **common}, (2, 5, 6, 3)
            yield K.Conv3DTranspose, {**deep, **common}, (2, 3, 4, 3, 2)
            ones = {"filters": 4, "kernel_size": 3, "pad_values": -1}
            yield kerasbnn.QuantConv2D, {**ones, **common}, (2, 9, 8, 3)


CASES = [
    *strided_cases(),
    (
        K.Conv2D,
        {"filters": 4, "kernel_size": 3, "groups": 2, "padding": "same"},
        (2, 9, 8, 6),
    ),
    (K.Conv2D, {"filters": 4, "kernel_size": 3, "dilation_rate": 2}, (2, 9, 8, 3)),
    (
        K.Conv2D,
        {"filters": 4, "kernel_size": 3, "dilation_rate": 2, "padding": "same"},
        (2, 9, 8, 3),
    ),
    (
        K.Conv1D,
        {"filters": 4, "kernel_size": 3, "dilation_rate": 2, "padding": "causal"},
        (2, 9, 3),
    ),
    (
        K.Conv1D,
        {"filters": 4, "kernel_size": 3, "strides": 2, "padding": "causal"},
        (2, 9, 3),
    ),
    (
        kerasbnn.QuantConv1D,
        {"filters": 4, "kernel_size": 3, "padding": "causal", "pad_values": 1},
        (2, 9, 3),
    ),
    (K.Dense, {"units": 5}, (3, 6)),
    (K.Dense, {"units": 5}, (3, 4, 2, 6)),
    (K.EinsumDense, {"equation": "...x,xy->...y", "output_shape": 5}, (2, 3, 6)),
    (
        K.EinsumDense,
        {"equation": "abc,cde->abde", "output_shape": (None, 4, 5)},
        (2, 3, 6),
    ),
    (
        K.EinsumDense,
        {"equation": "abcd,cde->abe", "output_shape": (None, 5)},
        (2, 3, 4, 6),
    ),
    (
        K.EinsumDense,
        {"equation": "abc,cd->adb", "output_shape": (5, 3)},
        (2, 3, 6),
    ),
]


def products_of_windows(operation, inputs, kernel):
    """Multiply all windows with all filters; return them and the windows."""
    windows = operation.windows(inputs.shape)
    count = len(inputs) * windows.positions
    samples, positions = np.divmod(np.arange(count), windows.positions)
    patches = windows.patches(inputs, samples, positions)
    filters = operation.filters(kernel)
    groups = filters.shape[0]
    split = patches.reshape(count, patches.shape[1], groups, -1)
    split = split.transpose(2, 0, 1, 3).reshape(groups, count, -1)
    products = np.einsum("gnd,gdf->ngf", split, filters)
    return products.reshape(count, -1), patches, windows


@pytest.mark.parametrize(("kind", "arguments", "shape"), CASES)
def test_products_of_windows_are_what_the_layer_computes(kind, arguments, shape, rng):
    layer = kind(**arguments)
    x = rng.normal(size=shape).astype("float32")
    outputs = array(layer(x))
    current = ops.convert_to_tensor(x)
    for operation in operations_of(layer):
        weights = array(getattr(layer, operation.kernel)).astype("float32")
        kernel = np.asarray(operation.prepared_kernel(weights))
        prepared = operation.prepared(current)
        values = array(prepared).astype("float32")
        expected, patches, windows = products_of_windows(operation, values, kernel)
        current = operation.apply(prepared, ops.convert_to_tensor(kernel))
        np.testing.assert_allclose(
            array(current).reshape(expected.shape), expected, atol=2e-5
        )

        other = rng.normal(size=kernel.shape).astype("float32")
        both = operation.apply(
            prepared, ops.convert_to_tensor(operation.joined(kernel, other))
        )
        first, second = operation.split(array(both))
        np.testing.assert_allclose(first, expected, atol=2e-5)
        np.testing.assert_allclose(
            second, products_of_windows(operation, values, other)[0], atol=5e-5
        )

        sums = windows.tap_sums(
            values.sum(axis=0, dtype="float64"), windows.pad_value * len(values)
        )
        np.testing.assert_allclose(sums, patches.sum(axis=0), atol=1e-4)
    is_einsum = isinstance(layer, keras.layers.EinsumDense)
    if is_einsum and not layer.equation.endswith(("y", "de", "e")):
        # The layer's own outputs have another order of axes.
        outputs = outputs.swapaxes(1, 2)
    np.testing.assert_allclose(
        array(current).reshape(outputs.shape), outputs, atol=2e-5
    )


def test_a_window_larger_than_the_inputs_has_no_position():
    layer = keras.layers.Conv2D(2, 5)
    layer.build((None, 8, 8, 1))
    (operation,) = operations_of(layer)
    assert operation.windows((1, 3, 8, 1)).positions == 0


def test_layers_without_products_have_no_operations():
    for layer in (keras.layers.ReLU(), keras.layers.BatchNormalization()):
        assert operations_of(layer) == []


def test_an_equation_that_is_no_matrix_product_is_refused():
    layer = keras.layers.EinsumDense("abc,bcd->abd", output_shape=(3, 4))
    layer.build((None, 3, 5))
    with pytest.raises(ValueError, match="abc,bcd->abd"):
        operations_of(layer)


def test_sources_of_a_transposed_axis():
    # Two inputs at distance 2, a kernel of 3 taps against the windows.
    axis = Axis(inputs=2, outputs=5, taps=3, before=2, spacing=2)
    np.testing.assert_array_equal(
        axis.sources(), [[-1, -1, 0], [-1, 0, -1], [0, -1, 1], [-1, 1, -1], [1, -1, -1]]
    )
    windows = Windows([axis], pad_value=0.0)
    assert windows.positions == 5

import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn import QuantConv2D, QuantDense, models
from kerasbnn.applications import binarynet_cifar10, binarynet_mnist_mlp


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def test_cifar10_has_the_layers_of_the_paper_in_the_order_of_the_paper():
    model = binarynet_cifar10()
    normalized = ["BatchNormalization"]
    pair = ["QuantConv2D", *normalized, "QuantConv2D", "MaxPooling2D", *normalized]
    dense = ["QuantDense", *normalized]
    assert kinds(model) == ["InputLayer", *3 * pair, "Flatten", *3 * dense]
    filters = [layer.filters for layer in model.layers if type(layer) is QuantConv2D]
    units = [layer.units for layer in model.layers if type(layer) is QuantDense]
    assert filters == [128, 128, 256, 256, 512, 512]
    assert units == [1024, 1024, 10]
    assert model.output_shape == (None, 10)


def test_cifar10_has_the_weights_of_the_paper():
    kernels = [
        tuple(layer.kernel.shape)
        for layer in binarynet_cifar10().layers
        if isinstance(layer, (QuantConv2D, QuantDense))
    ]
    sizes = [int(np.prod(shape)) for shape in kernels]
    # arXiv 1705.07199: six convolutions, then three dense layers.
    convolutions = [3456, 147456, 294912, 589824, 1179648, 2359296]
    assert sizes == [*convolutions, 8388608, 1048576, 10240]
    assert sum(sizes) == 14_022_016


def test_only_the_first_layer_sees_continuous_inputs():
    for model in (binarynet_cifar10(), binarynet_mnist_mlp()):
        quantized = [layer for layer in model.layers if hasattr(layer, "kernel_roles")]
        assert quantized[0].input_quantizer is None
        assert all(layer.input_quantizer.precision == 1 for layer in quantized[1:])
        assert all(layer.kernel_quantizer.precision == 1 for layer in quantized)
        assert all(layer.kernel_constraint.clip_value == 1.0 for layer in quantized)
        assert not any(layer.use_bias for layer in quantized)


def test_the_mlp_is_binarynets():
    model = binarynet_mnist_mlp()
    units = [layer.units for layer in model.layers if type(layer) is QuantDense]
    assert units == [4096, 4096, 4096, 10]
    assert kinds(model)[:4] == [
        "InputLayer",
        "Flatten",
        "QuantDense",
        "BatchNormalization",
    ]


@pytest.mark.parametrize("use_gamma", [False, True])
def test_gamma_is_an_option(use_gamma):
    model = binarynet_mnist_mlp(units=(8,), use_gamma=use_gamma)
    assert model.get_layer("dense_1_bn").scale is use_gamma
    assert (model.get_layer("logits_bn").gamma is not None) is use_gamma


def test_batch_normalization_has_the_constants_of_each_paper():
    theirs = binarynet_mnist_mlp(units=(8,)).get_layer("logits_bn")
    assert (theirs.momentum, theirs.epsilon) == (0.999, 1e-3)
    binarynet = binarynet_mnist_mlp(
        units=(8,), batchnorm_momentum=0.9, batchnorm_epsilon=1e-4
    ).get_layer("logits_bn")
    assert (binarynet.momentum, binarynet.epsilon) == (0.9, 1e-4)


def test_binarynets_initial_weights_fill_the_clip_range():
    keras.utils.set_random_seed(0)
    for initializer, low, high in [
        ("binarynet", 0.95, 1.0),
        ("glorot_uniform", 0, 0.2),
    ]:
        model = binarynet_mnist_mlp(units=(64,), initializer=initializer)
        kernel = ops.convert_to_numpy(model.get_layer("dense_1").kernel)
        assert low < np.abs(kernel).max() <= high
        assert abs(kernel.mean()) < 0.02


def test_dropout_acts_on_binary_activations_and_continuous_inputs():
    model = binarynet_mnist_mlp(units=(8, 8), input_dropout=0.2, hidden_dropout=0.5)
    hidden = ["SteSign", "Dropout", "QuantDense", "BatchNormalization"]
    assert kinds(model) == [
        "InputLayer",
        "Flatten",
        "Dropout",
        "QuantDense",
        "BatchNormalization",
        *hidden,
        *hidden,
    ]
    rates = [layer.rate for layer in model.layers if hasattr(layer, "rate")]
    assert rates == [0.2, 0.5, 0.5]


def test_dropout_changes_nothing_at_inference():
    x = np.random.default_rng(0).uniform(-1, 1, (5, 28, 28, 1)).astype("float32")
    plain = binarynet_mnist_mlp(units=(8, 8))
    dropping = binarynet_mnist_mlp(units=(8, 8), input_dropout=0.2, hidden_dropout=0.5)
    dropping.set_weights(plain.get_weights())
    np.testing.assert_array_equal(
        plain.predict(x, verbose=0), dropping.predict(x, verbose=0)
    )


def numpy_mlp(model, x):
    """The forward pass of the MLP, written out."""
    x = x.reshape(len(x), -1).astype("float64")
    quantized = [layer for layer in model.layers if type(layer) is QuantDense]
    for i, layer in enumerate(quantized):
        if i:
            x = np.where(x >= 0, 1.0, -1.0)
        kernel = ops.convert_to_numpy(layer.kernel)
        x = x @ np.where(kernel >= 0, 1.0, -1.0)
        norm = model.get_layer(f"{layer.name}_bn")
        mean, variance, beta = (
            ops.convert_to_numpy(v).astype("float64")
            for v in (norm.moving_mean, norm.moving_variance, norm.beta)
        )
        x = (x - mean) / np.sqrt(variance + norm.epsilon) + beta
    return x


def test_the_mlp_computes_what_the_paper_says():
    keras.utils.set_random_seed(0)
    model = binarynet_mnist_mlp((5, 5, 1), 3, units=(17, 9), batchnorm_momentum=0.5)
    rng = np.random.default_rng(0)
    # Multiples of 1/256 add up exactly in any order.
    x = (rng.integers(-256, 257, (40, 5, 5, 1)) / 256).astype("float32")
    model.compile("adam", "mse")
    model.fit(x, rng.normal(size=(40, 3)), epochs=3, batch_size=8, verbose=0)
    np.testing.assert_allclose(
        model.predict(x, verbose=0), numpy_mlp(model, x), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("pad_values", [0, 1, -1])
def test_padding_of_the_binary_convolutions(pad_values):
    model = binarynet_cifar10(
        (8, 8, 3), filters=(4, 4, 4), units=(), pad_values=pad_values
    )
    values = [layer.pad_values for layer in model.layers if type(layer) is QuantConv2D]
    assert values == [0, pad_values, pad_values]


def test_the_summary_packs_the_network_as_the_paper_counts_it():
    totals = models.summary(binarynet_cifar10(), print_fn=lambda line: None)["totals"]
    assert totals["weights"]["1"] == 14_022_016


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": ()}, "`units` must name"),
        ({"input_dropout": 1.0}, "`input_dropout` must be below 1"),
        ({"hidden_dropout": -0.1, "units": (4,)}, "at least 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        binarynet_mnist_mlp(**arguments)


def test_a_network_without_convolutions_is_refused():
    with pytest.raises(ValueError, match="`filters` must name"):
        binarynet_cifar10(filters=())

"""On trained networks, what the audit recommends improves what it speaks of.

Three networks learn handwritten digits: a binary convolutional one, a binary perceptron
and a float convolutional one. Besides, trainings that go wrong in a way of their own.
"""

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn import QuantDense, applications, datasets, recipes
from kerasbnn.quantizers import RotatedSign, SteTern, WhitenedSign

pytestmark = pytest.mark.slow
K = keras.layers
BASES = {
    "ternarize": lambda: SteTern(optimal_threshold=True),
    "rotate": RotatedSign,
    "whiten": WhitenedSign,
}
BINARY = {"kernel_quantizer": "ste_sign", "use_bias": False}


@pytest.fixture(scope="module")
def digits():
    return datasets.load_digits(seed=0)


def train(model, digits, epochs, rate=3e-3):
    """Train with the paper's loss, and statistics that settle in few steps."""
    keras.utils.set_random_seed(0)
    model.compile(
        keras.optimizers.Adam(rate, clipvalue=1.0),
        recipes.SparseSquaredHinge(),
        metrics=["accuracy"],
    )
    model.fit(digits.x_train, digits.y_train, 64, epochs, verbose=0)
    return model


def accuracy(model, digits):
    return model.evaluate(digits.x_test, digits.y_test, 600, verbose=0)[1]


def binary_conv(digits):
    model = applications.binarynet_cifar10(
        input_shape=(8, 8, 1),
        filters=(32, 64, 64),
        units=(),
        pad_values=1,
        batchnorm_momentum=0.9,
        name="binary_conv",
    )
    return train(model, digits, 20)


def binary_perceptron(digits):
    model = applications.binarynet_mnist_mlp(
        (8, 8, 1), units=(256, 256), batchnorm_momentum=0.9, name="binary_perceptron"
    )
    return train(model, digits, 25)


def float_conv(digits):
    layers = [keras.Input((8, 8, 1))]
    for filters in (16, 32, 32):
        layers.append(K.Conv2D(filters, 3, padding="same", use_bias=False))
        layers += [K.BatchNormalization(momentum=0.9), K.ReLU()]
    layers += [K.Flatten(), K.Dense(10, use_bias=False), K.BatchNormalization()]
    return train(keras.Sequential(layers, name="float_conv"), digits, 15)


@pytest.fixture(scope="module", params=[binary_conv, binary_perceptron, float_conv])
def trained(request, digits):
    return request.param(digits)


def with_quantizer(kernel, inputs, quantizer):
    """Return the mean correlation of a kernel under another quantizer."""
    inputs = np.asarray(inputs, "float32")
    twin = QuantDense(kernel.shape[1], kernel_quantizer=quantizer, use_bias=False)
    model = keras.Sequential([keras.Input((kernel.shape[0],)), twin])
    twin.kernel.assign(kernel)
    if isinstance(quantizer, WhitenedSign):
        # Fitted on one half of the patches, measured on the other.
        quantizer.adapt(inputs[::2])
        inputs = inputs[1::2]
    report = kerasbnn.audit(model, inputs, max_samples=None, verbose=0)
    return report.layers[0].products.mean


def patches_of(model, path, x):
    """Return filters and patches of a layer, through the audit's own measurement."""
    from kerasbnn.auditing.kernels import find_kernels
    from kerasbnn.auditing.measurement import Sampling
    from kerasbnn.auditing.passes import Passes
    from kerasbnn.models.batches import Batches

    kernels, _ = find_kernels(model, [path])
    passes = Passes(model, kernels, Sampling(2048, 0, 1))
    passes.run(Batches(x, 50), None, verbose=0)
    (measurement,) = passes.measurements.values()
    return measurement.continuous[0], measurement.sample.rows["patches"][:, 0]


def test_every_recommended_remedy_helps(trained, digits):
    x = digits.x_train[:500]
    report = kerasbnn.audit(trained, x, verbose=0)
    remedies = [(layer, v.kind) for layer in report.layers for v in layer.verdicts]
    for layer, kind in remedies:
        if kind in BASES:
            filters, patches = patches_of(trained, layer.layer, x)
            better = with_quantizer(filters, patches, BASES[kind]())
            assert better > layer.products.mean + 0.02
        elif kind == "refit_batchnorm":
            before = accuracy(trained, digits)
            kerasbnn.models.refit_batchnorm(trained, digits.x_train, verbose=0)
            assert accuracy(trained, digits) >= before
        elif layer.is_quantized and kind in ("binarize", "keep_continuous"):
            swap = kerasbnn.models.swap_test(
                trained,
                digits.x_test,
                digits.y_test,
                [layer.layer],
                refit_data=digits.x_train,
                verbose=0,
            )
            gained = swap.rows[0].accuracy_refit - swap.baseline.accuracy_refit
            # Where binary weights preserve what a layer computes, continuous ones do
            # little good; where they do not, no harm.
            assert gained < 0.03 if kind == "binarize" else gained > -0.01
    if trained.name != "binary_perceptron":
        # A convolution that sees the image has few and correlated inputs.
        assert remedies[0][1] != "binarize"


def test_what_the_paper_says_of_trained_networks(digits):
    model = binary_conv(digits)
    report = kerasbnn.audit(model, digits.x_test, None, verbose=0)
    first, *others = report.layers
    for layer in report.layers:
        if layer.fan_in >= 64:
            products = layer.products
            assert abs(products.permuted - products.permuted_expected) < 0.02
    for layer in others:
        products = layer.products
        assert products.pooled > products.permuted
        assert abs(products.median - products.predicted_median) < 0.05
        if layer.filters >= 32:
            theory = 20.178 / layer.fan_in**0.5
            assert layer.angles.sd == pytest.approx(theory, rel=0.4)
        assert 25 < layer.angles.mean < 50
    assert first.products.pooled < min(layer.products.pooled for layer in others)


def test_statistics_that_lag_behind_are_refitted(digits):
    model = applications.binarynet_cifar10(
        (8, 8, 1), filters=(32, 64), units=(), pad_values=1
    )
    train(model, digits, 6)
    report = kerasbnn.audit(model, digits.x_train, verbose=0)
    kinds = [v.kind for layer in report.layers for v in layer.verdicts]
    assert "refit_batchnorm" in kinds
    before = accuracy(model, digits)
    kerasbnn.models.refit_batchnorm(model, digits.x_train, sequential=True, verbose=0)
    assert accuracy(model, digits) > before + 0.05
    report = kerasbnn.audit(model, digits.x_train, verbose=0)
    kinds = [v.kind for layer in report.layers for v in layer.verdicts]
    assert "refit_batchnorm" not in kinds


def perceptron(constraint="weight_clip", initializer="glorot_uniform"):
    layers = [keras.Input((8, 8, 1)), K.Flatten()]
    for i, units in enumerate((128, 10)):
        layers.append(
            QuantDense(
                units,
                input_quantizer="ste_sign" if i else None,
                kernel_constraint=constraint,
                kernel_initializer=initializer,
                name=f"dense_{i + 1}",
                **BINARY,
            )
        )
        layers.append(K.BatchNormalization(momentum=0.9))
    return keras.Sequential(layers)


def kinds_of(model, digits, start):
    report = kerasbnn.audit(model, digits.x_train, start=start, verbose=0)
    return [v.kind for layer in report.layers for v in layer.verdicts]


def test_a_larger_learning_rate_trains_what_did_not_move(digits):
    accuracies, verdicts = [], []
    for rate in (1e-7, 3e-3):
        keras.utils.set_random_seed(1)
        model = perceptron()
        start = kerasbnn.models.quantized_weights(model)
        train(model, digits, 8, rate)
        kerasbnn.models.refit_batchnorm(model, digits.x_train, verbose=0)
        verdicts.append(kinds_of(model, digits, start))
        accuracies.append(accuracy(model, digits))
    assert "raise_learning_rate" in verdicts[0]
    assert "raise_learning_rate" not in verdicts[1]
    assert accuracies[1] > accuracies[0] + 0.1


@pytest.mark.filterwarnings("ignore:Layer 'dense_1' has a binary kernel")
def test_a_clip_constraint_revives_starved_weights(digits):
    accuracies, verdicts = [], []
    for constraint in (None, "weight_clip"):
        keras.utils.set_random_seed(1)
        model = perceptron(constraint, keras.initializers.RandomUniform(-8, 8))
        train(model, digits, 20, 1e-2)
        kerasbnn.models.refit_batchnorm(model, digits.x_train, verbose=0)
        verdicts.append(kinds_of(model, digits, None))
        accuracies.append(accuracy(model, digits))
    assert "dead_weights" in verdicts[0]
    assert accuracies[1] > accuracies[0]

"""Small binary networks, trained for a minute at most."""

import keras
from keras import layers

from kerasbnn import QuantConv2D, QuantDense
from kerasbnn.recipes import SparseSquaredHinge
from tests.helpers.converting import BINARY, SIGNS


def perceptron(shape, classes, units=256):
    """Return BinaryNet's multilayer perceptron, with two hidden layers."""
    model = keras.Sequential([keras.Input(shape), layers.Flatten()])
    for number in range(3):
        width = units if number < 2 else classes
        model.add(QuantDense(width, **(SIGNS if number else BINARY)))
        model.add(layers.BatchNormalization(momentum=0.9))
    return model


def convolutional(shape, classes, filters=(32, 64)):
    """Return a network in BinaryNet's order: convolution, pooling, normalization."""
    model = keras.Sequential([keras.Input(shape)])
    for number, width in enumerate(filters):
        arguments = SIGNS if number else BINARY
        model.add(QuantConv2D(width, 3, padding="same", **arguments))
        model.add(layers.MaxPooling2D())
        model.add(layers.BatchNormalization(momentum=0.9))
    model.add(layers.Flatten())
    for width in (100, classes):
        model.add(QuantDense(width, **SIGNS))
        model.add(layers.BatchNormalization(momentum=0.9))
    return model


NETWORKS = {"perceptron": perceptron, "convolutional": convolutional}


def train(kind, images, *, epochs, batch_size=64, seed=0):
    """Train a network on images.

    Args:
        kind: A key of `NETWORKS`.
        images: What `kerasbnn.datasets` loads.
        epochs: How often to see every image.
        batch_size: Images of a step.
        seed: Of the weights and the order.

    Returns:
        The trained model.
    """
    keras.utils.set_random_seed(seed)
    model = NETWORKS[kind](images.x_train.shape[1:], images.num_classes)
    steps = epochs * len(images.x_train) // batch_size
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.01, steps)),
        SparseSquaredHinge(),
        jit_compile=True,
    )
    model.fit(
        images.x_train, images.y_train, epochs=epochs, batch_size=batch_size, verbose=0
    )
    return model

"""Audit a trained float network, binarize what the audit advises, and fine-tune it.

    python binarize_float_model.py --data mnist.npz

A convolutional network learns MNIST in float. The audit says of each of its layers how
well binary weights would preserve what it computes; `kerasbnn.binarize` follows the
plan, and for comparison binarizes everything blindly. Both are fine-tuned alike.
Without --data, Keras downloads MNIST.
"""

import argparse
import os
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers

import kerasbnn
from kerasbnn.datasets import load_npz

BATCH_SIZE = 100


def load_mnist(path):
    """Load MNIST from a file, or with Keras' own downloader."""
    if path is not None:
        return load_npz(path)
    with tempfile.TemporaryDirectory() as folder:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
        file = Path(folder, "mnist.npz")
        np.savez(file, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
        return load_npz(file)


def float_network(input_shape, num_classes):
    """Build an ordinary Keras network: nothing in it knows of binary weights."""
    inputs = x = keras.Input(input_shape)
    for filters in (16, 32, 64):
        x = layers.Conv2D(filters, 3, padding="same", activation="relu")(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.MaxPooling2D(2)(x)
    x = layers.Dense(128, activation="relu")(layers.Flatten()(x))
    x = layers.BatchNormalization(momentum=0.9)(x)
    return keras.Model(inputs, layers.Dense(num_classes)(x), name="mnist_conv")


def fit(model, images, epochs, rate):
    """Train a model and return its accuracy on the test images."""
    steps = epochs * -(-len(images.x_train) // BATCH_SIZE)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(images.x_train, images.y_train, BATCH_SIZE, epochs, verbose=2)
    return accuracy(model, images)


def accuracy(model, images):
    """Refit the batch normalizations and measure the accuracy on the test images."""
    if any(isinstance(x, layers.BatchNormalization) for x in model.layers):
        kerasbnn.models.refit_batchnorm(model, images.x_train[:5000], verbose=0)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model.evaluate(images.x_test, images.y_test, 500, verbose=0)[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="MNIST as an .npz in Keras' layout")
    parser.add_argument("--epochs", type=int, default=3, help="of the float network")
    parser.add_argument("--fine-tuning", type=int, default=4, metavar="EPOCHS")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    images = load_mnist(arguments.data)
    keras.utils.set_random_seed(arguments.seed)
    network = float_network(images.x_train.shape[1:], images.num_classes)
    reached = {"float": fit(network, images, arguments.epochs, 2e-3)}

    report = kerasbnn.audit(network, images.x_train[:500])
    report.show()
    advised = report.plan()
    print("Plan:", advised)

    x = images.x_train[:2000]
    for name, plan in {"binary where advised": advised, "all binary": None}.items():
        keras.utils.set_random_seed(arguments.seed)
        model = kerasbnn.binarize(network, plan, data=x)
        reached[f"{name}, before fine-tuning"] = accuracy(model, images)
        reached[name] = fit(model, images, arguments.fine_tuning, 1e-3)
        kerasbnn.models.summary(model)

    print("\nTest accuracy")
    for name, value in reached.items():
        print(f"  {name:40} {value:.2%}")


if __name__ == "__main__":
    main()

"""Binarize a first layer in the basis where neighbouring pixels are uncorrelated.

    python first_layer_whitening.py

Pixels of an image are strongly correlated, and plain signs of a filter give other dot
products with them than the filter itself. This measures how much a rotation and a
whitening of the basis help, on the two photographs that come with scikit-learn, and
then trains a network with a binary first layer in either basis. With --data, an .npz in
the layout of keras.datasets (CIFAR-10, say), it does the same for those images.

Training turns the filters towards what their signs can express: on plain pixels that is
the mean colour of a window. So the correlation after training is no measure of what the
layer can tell apart; the accuracy is.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import ops
from rich.console import Console
from rich.table import Table

from kerasbnn import QuantConv2D, datasets
from kerasbnn.geometry.hadamard import hadamard_rotation
from kerasbnn.geometry.rotation import generalized_binarization, haar_rotation
from kerasbnn.geometry.whitening import whitening_from_samples
from kerasbnn.quantizers.patches import layer_patches

CONSOLE = Console()
CROP = 16  # pixels along each side
CROPS = 200  # of each region
REGIONS = 3  # along each side of a photograph


def crops_of_photographs():
    """Random crops of two photographs; the class is the region of the photograph."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(0)
    regions = [
        region
        for photograph in load_sample_images().images
        for row in np.array_split(photograph, REGIONS, axis=0)
        for region in np.array_split(row, REGIONS, axis=1)
    ]
    crops = []
    for region in regions:
        tops = rng.integers(0, region.shape[0] - CROP, CROPS)
        lefts = rng.integers(0, region.shape[1] - CROP, CROPS)
        crops += [
            region[top : top + CROP, left : left + CROP]
            for top, left in zip(tops, lefts, strict=True)
        ]
    x = datasets.scaled(np.stack(crops), 0, 255)
    y = np.repeat(np.arange(len(regions)), CROPS)
    is_test = np.arange(len(x)) % 4 == 0
    return datasets.LabelledImages(
        x[~is_test], y[~is_test], x[is_test], y[is_test], "two photographs"
    )


def sign(values):
    return np.where(values < 0, -1.0, 1.0)


def measure_bases(images):
    """Print how well dot products survive binarization in four bases."""
    probe = QuantConv2D(1, 3, use_bias=False)
    probe.build((None, *images.x_train.shape[1:]))
    fitted = layer_patches(probe, images.x_train, 20_000)
    measured = layer_patches(probe, images.x_test, 20_000).astype("float64")
    fan_in = fitted.shape[1]
    whitening = whitening_from_samples(fitted)
    rotations = {
        "random rotation (Haar)": haar_rotation(fan_in, seed=0),
        "random rotation (Hadamard)": hadamard_rotation(fan_in, seed=0),
    }
    random = np.random.default_rng(0).normal(size=(fan_in, 256))
    filters = {"random": random, "zero-mean": random - random.mean(axis=0)}

    table = Table(title=f"Correlation of w_b.x with w_c.x on {images.source}")
    table.add_column("Basis of the signs")
    for name in filters:
        table.add_column(f"{name} filters", justify="right")
    bases = {
        "pixels": sign,
        **{
            name: lambda w, r=rotation: generalized_binarization(w, r, axis=0)
            for name, rotation in rotations.items()
        },
        "whitened (ZCA)": lambda w: whitening.binarize_weights(w, axis=0),
    }
    for name, binarize in bases.items():
        row = [
            correlation(measured @ binarize(w), measured @ w) for w in filters.values()
        ]
        table.add_row(name, *(f"{r:.3f}" for r in row))
    CONSOLE.print(table)


def correlation(first, second):
    """Pooled over all filters and windows, as in the paper's figures."""
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]


def train(images, quantizer, epochs, seed):
    """Train a small network; return its first layer and its test accuracy."""
    keras.utils.set_random_seed(seed)
    first = QuantConv2D(
        8,
        3,
        use_bias=False,
        kernel_quantizer=quantizer,
        kernel_constraint="weight_clip" if quantizer else None,
    )
    if quantizer == "whitened_sign":
        # Before training, as Keras' preprocessing layers are adapted.
        first.kernel_quantizer.adapt_from_inputs(first, images.x_train)
    model = keras.Sequential(
        [
            keras.Input(images.x_train.shape[1:]),
            first,
            keras.layers.BatchNormalization(momentum=0.9),
            keras.layers.ReLU(),
            keras.layers.Conv2D(16, 3, strides=2, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(images.num_classes),
        ]
    )
    steps = -(-len(images.x_train) // 64)
    model.compile(
        keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(0.005, epochs * steps)
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    model.fit(images.x_train, images.y_train, batch_size=64, epochs=epochs, verbose=0)
    _, accuracy = model.evaluate(images.x_test, images.y_test, verbose=0)
    return first, accuracy


def trained_correlation(layer, images):
    """Correlation of a trained layer's outputs with those of its latent weights."""
    patches = layer_patches(layer, images.x_test, 20_000)
    binary, latent = (
        ops.convert_to_numpy(kernel).reshape(patches.shape[1], -1)
        for kernel in (layer.quantize_kernel(), layer.kernel)
    )
    return correlation(patches @ binary, patches @ latent)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="images as an .npz, with labels")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument(
        "--seeds", type=int, default=3, help="networks to train of each"
    )
    arguments = parser.parse_args()
    if arguments.data is None:
        images = crops_of_photographs()
    else:
        images = datasets.load_npz(arguments.data)

    measure_bases(images)

    table = Table(
        title=f"A network trained on {len(images.x_train)} images, "
        f"means of {arguments.seeds} seeds"
    )
    table.add_column("First layer")
    table.add_column("correlation", justify="right")
    table.add_column("test accuracy", justify="right")
    for name, quantizer in (
        ("signs of pixels", "ste_sign"),
        ("signs in the whitened basis", "whitened_sign"),
        ("float", None),
    ):
        found = []
        for seed in range(arguments.seeds):
            layer, accuracy = train(images, quantizer, arguments.epochs, seed)
            found.append((trained_correlation(layer, images), accuracy))
        r, accuracy = np.mean(found, axis=0)
        table.add_row(name, f"{r:.3f}", f"{accuracy:.1%}")
    CONSOLE.print(table)


if __name__ == "__main__":
    main()

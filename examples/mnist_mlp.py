"""Train BinaryNet's multilayer perceptron on MNIST.

    python mnist_mlp.py --data mnist.npz

Weights are 1 bit, and so are the activations between layers. Without --data, Keras
downloads MNIST.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import kerasbnn
from kerasbnn.datasets import load_npz, shifted
from kerasbnn.recipes import SparseSquaredHinge

BATCH_SIZE = 100


class ShiftedImages(keras.utils.PyDataset):
    """Shuffled batches, each image moved by up to `reach` pixels."""

    def __init__(self, images, reach, seed):
        super().__init__()
        self.x, self.y = images.x_train, images.y_train
        self.reach = reach
        self.rng = np.random.default_rng(seed)
        self.order = self.rng.permutation(len(self.x))

    def __len__(self):
        return max(len(self.x) // BATCH_SIZE, 1)

    def __getitem__(self, index):
        chosen = self.order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]
        return shifted(self.x[chosen], self.reach, self.rng), self.y[chosen]

    def on_epoch_end(self):
        self.order = self.rng.permutation(self.order)


def load_mnist(path):
    """Load MNIST from a file, or with Keras' own downloader."""
    if path is not None:
        return load_npz(path)
    with tempfile.TemporaryDirectory() as folder:
        (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
        file = Path(folder, "mnist.npz")
        np.savez(file, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
        return load_npz(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="MNIST as an .npz in Keras' layout")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--units", type=int, nargs="+", default=[1024, 1024, 1024])
    parser.add_argument("--reach", type=int, default=1, help="largest shift, in pixels")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="where to save the model (.keras)")
    arguments = parser.parse_args()

    images = load_mnist(arguments.data)
    keras.utils.set_random_seed(arguments.seed)
    model = kerasbnn.applications.binarynet_mnist_mlp(
        input_shape=images.x_train.shape[1:],
        num_classes=images.num_classes,
        units=arguments.units,
        batchnorm_momentum=0.99,
    )
    batches = ShiftedImages(images, arguments.reach, arguments.seed)
    model.compile(
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(
                arguments.learning_rate, arguments.epochs * len(batches)
            ),
            clipvalue=1.0,
        ),
        loss=SparseSquaredHinge(),
        metrics=["accuracy"],
        # Compiled with XLA, a step on the CPU takes about half the time.
        jit_compile=keras.backend.backend() != "torch",
    )
    model.fit(
        batches,
        epochs=arguments.epochs,
        validation_data=(images.x_test, images.y_test),
        validation_batch_size=500,
        verbose=2,
    )

    kerasbnn.models.summary(model)
    _, accuracy = model.evaluate(images.x_test, images.y_test, verbose=0)
    print(f"Test accuracy: {accuracy:.2%} (seed {arguments.seed}).")
    print(f"CPU time of the process: {time.process_time() / 60:.1f} minutes.")
    if arguments.out is not None:
        model.save(arguments.out)


if __name__ == "__main__":
    main()

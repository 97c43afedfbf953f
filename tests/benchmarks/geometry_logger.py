"""Time what `callbacks.GeometryLogger`, at its defaults, adds to an epoch of training.

    python tests/benchmarks/geometry_logger.py

The CPU time that the callback takes is measured inside of `fit`, and compared with that
of the epochs without it.
"""

import argparse
import os
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import keras
import numpy as np
from machine import cpu_name, use_threads

from kerasbnn import applications, recipes
from kerasbnn.callbacks import GeometryLogger

GOAL = 0.05


class TimedLogger(GeometryLogger):
    """The callback, which notes its own CPU time and that of the rest of the epoch."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.own, self.others = [], []

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._start = time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        middle = time.process_time()
        super().on_epoch_end(epoch, logs)
        self.others.append(middle - self._start)
        self.own.append(time.process_time() - middle)


def networks():
    """Yield name, network, number of training images of an epoch, and epochs."""
    yield (
        "digits, the demo's network, 1,198 images",
        applications.binarynet_cifar10(
            input_shape=(8, 8, 1), filters=(32, 64, 64), units=(), pad_values=1
        ),
        1198,
        40,
    )
    yield (
        "MNIST MLP, 3 x 1024, 60,000 images",
        applications.binarynet_mnist_mlp(units=(1024, 1024, 1024)),
        60_000,
        2,
    )
    yield (
        "BinaryNet for CIFAR-10, 1,000 of 50,000 images",
        applications.binarynet_cifar10(),
        1000,
        2,
    )


def main():
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    use_threads(arguments.threads)
    print(f"CPU: {cpu_name()}; threads: {arguments.threads}")
    rng = np.random.default_rng(0)
    for name, model, count, epochs in networks():
        x = rng.uniform(-1, 1, (count, *model.input_shape[1:])).astype("float32")
        y = rng.integers(0, 10, count)
        logger = TimedLogger(x)
        model.compile(**recipes.anderson_berg(steps_per_epoch=count // 50))
        # The first epoch also traces and compiles.
        model.fit(x, y, 50, epochs=epochs + 1, verbose=0, callbacks=[logger])
        own, others = np.array(logger.own[1:]), np.array(logger.others[1:])
        measured, share = int(np.sum(own > 1e-3)), own.sum() / others.sum()
        print(
            f"  {name}: {measured} times in {epochs} epochs, at most {own.max():.3f} s "
            f"of {np.median(others):.2f} s an epoch, {100 * share:.1f} % in all "
            f"(goal: at most {100 * GOAL:.0f} %)"
        )
        keras.backend.clear_session()


if __name__ == "__main__":
    main()

"""Writes what TFMOT computes in `range_cases` to `ranges_of_tfmot.npz`.

pip install "tensorflow-model-optimization==0.8.1" tf-keras
python -m tests.tfmot.make_range_fixtures
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_model_optimization.quantization.keras import quantizers

from tests.tfmot.range_cases import cases, steps_of

PATH = Path(__file__).with_name("ranges_of_tfmot.npz")


class _Owner:
    """What TFMOT asks of a layer: variables."""

    def add_weight(self, name, initializer, trainable, shape=()):
        sizes = () if shape is None else np.atleast_1d(shape).astype(int).tolist()
        return tf.Variable(initializer(sizes), trainable=trainable, name=name)


def _run(cls, arguments, steps):
    quantizer = getattr(quantizers, cls)(*arguments)
    weights = None
    for x, upstream, training in steps:
        if weights is None:
            weights = quantizer.build(tf.TensorShape(x.shape), "x", _Owner())
        x = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            outputs = quantizer(x, training, weights)
        gradient = tape.gradient(outputs, x, tf.constant(upstream)).numpy()
        assert np.isin(gradient, [0, *np.unique(upstream)]).all()
        yield (
            outputs.numpy(),
            gradient == upstream,
            weights["min_var"].numpy(),
            weights["max_var"].numpy(),
        )


def main():
    """Write the file."""
    # Archives of thousands of members are slow to read, so one array for each kind.
    found = {key: [] for key in ("outputs", "passes", "min", "max")}
    for name, cls, arguments, kind, shape in cases():
        for step in _run(cls, arguments, steps_of(name, kind, shape)):
            for values, part in zip(found.values(), step, strict=True):
                values.append(part.ravel())
    flat = {key: np.concatenate(parts) for key, parts in found.items()}
    flat["passes"] = np.packbits(flat["passes"])
    np.savez_compressed(PATH, **flat)


if __name__ == "__main__":
    main()

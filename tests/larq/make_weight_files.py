"""Write the files of `tests/larq/weights` with the real Larq on tf_keras.

Run it in an environment of larq 0.14, TensorFlow 2.16 and tf_keras:

    python tests/larq/make_weight_files.py [NAME ...]

HDF5 files are mostly empty space, so each network's are in one archive, byte by byte as
Larq has written them.
"""

import os
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
FOLDER = Path(__file__).parent / "weights"
sys.path.insert(0, str(Path(__file__).parents[2]))

import larq  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

from tests.larq.weight_networks import INPUT_SHAPES, NETWORKS  # noqa: E402

# So many that the outputs depend on every weight, even through many signs.
SAMPLES = 32
FORMATS = ("model.h5", "only.h5", "model.keras", "only.weights.h5")


def main():
    """Build, train a little, and save every network in every format."""
    FOLDER.mkdir(exist_ok=True)
    for seed, name in enumerate(NETWORKS):
        if len(sys.argv) > 1 and name not in sys.argv[1:]:
            continue
        with tempfile.TemporaryDirectory() as folder:
            save_network(name, seed, Path(folder))
            with zipfile.ZipFile(
                FOLDER / f"{name}.zip", "w", zipfile.ZIP_LZMA
            ) as zipped:
                for path in sorted(Path(folder).iterdir()):
                    zipped.write(path, path.name)
        print(name, (FOLDER / f"{name}.zip").stat().st_size)


def save_network(name, seed, folder):
    """Save one network with inputs and the outputs of Larq."""
    keras = tf.keras
    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    generator = np.random.default_rng(seed)
    metrics = ["flip_ratio"] if name == "flips" else []
    with larq.context.metrics_scope(metrics):
        model = NETWORKS[name](keras, larq.layers)
    inputs = generator.normal(size=(SAMPLES, *INPUT_SHAPES[name])).astype("float32")
    targets = generator.normal(size=model(inputs).shape)
    if name in ("dense", "flips"):
        model.compile("adam", "mse", metrics=["mae"])
        model.fit(inputs, targets, epochs=3, verbose=0)
    for weight in model.weights:
        weight.assign(random_values(generator, weight).astype("float32"))
    outputs = model.predict(inputs, verbose=0)
    np.savez(folder / "sample.npz", inputs=inputs, outputs=outputs)
    for file in FORMATS:
        if name == "subclassed" and file in ("model.h5", "model.keras"):
            # tf_keras saves such a model, and its class by name only, as SavedModel.
            continue
        save = model.save if file.startswith("model") else model.save_weights
        save(folder / file)
    if name == "dense":
        with larq.context.quantized_scope(True):
            model.save_weights(folder / "quantized.h5")
            model.save(folder / "quantized.keras")
        model.save_weights(folder / "checkpoint_of_tf", save_format="tf")


def random_values(generator, weight):
    """Return values with which binary layers do not all yield the same sign."""
    if "variance" in weight.name or "gamma" in weight.name:
        return generator.uniform(0.4, 1.6, size=weight.shape)
    # What is added to sums of signs changes their sign only if it is larger than 1.
    return generator.normal(scale=3 if "bias" in weight.name else 1, size=weight.shape)


if __name__ == "__main__":
    main()

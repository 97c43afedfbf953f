"""Imports the libraries in every order, each in a process that has seen no other order.

`python -m tests.tfmot.import_orders FILE STEP` appends a line of JSON to the file for
each order that begins with a step. A process that has imported some of them forks one
for each of those that are left, so that what takes long is imported few times.
"""

import importlib
import json
import os
import subprocess
import sys
import traceback
import warnings

VARIABLE = "TF_USE_LEGACY_KERAS"
HEAVY = ("tensorflow_model_optimization", "tf_keras")
STEPS = (
    "keras",
    "tensorflow",
    "tensorflow_model_optimization",
    "kerasbnn",
    "kerasbnn.tfmot",
)


def take(step):
    """Import, and use what belongs to it; ours must leave the rest as it is."""
    environment, modules = dict(os.environ), set(sys.modules)
    tf = sys.modules.get("tensorflow")
    touched = tf is not None and tf.keras.__dict__.get("_tfll_initialized")
    keras_of_tf = tf.keras.Model if touched else None
    module = importlib.import_module(step)
    if step == "tensorflow":
        module.keras.Model  # noqa: B018
    if not step.startswith("kerasbnn"):
        return
    assert not any(name in sys.modules and name not in modules for name in HEAVY)
    assert_kept(environment, modules)
    if step == "kerasbnn.tfmot":
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert module.BinaryQuantizer.__name__ == "BinaryQuantizer"
        assert all(name in sys.modules for name in HEAVY)
        assert_kept(environment, modules)
    if touched:
        assert tf.keras.Model is keras_of_tf


def assert_kept(environment, modules):
    """Compare the environment with what it was before ours was imported."""
    now = dict(os.environ)
    if "tensorflow" not in modules:
        # TensorFlow sets some variables of its own, whoever imports it first.
        now, environment = (
            {name: value for name, value in variables.items() if "KERAS" in name}
            for variables in (now, environment)
        )
    assert now == environment


def report(order):
    """Tell what the user has in the end, and use both kinds of Keras."""
    inherited = subprocess.run(
        ["sh", "-c", f"echo ${{{VARIABLE}-unset}}"], capture_output=True, text=True
    )
    import keras
    import tensorflow as tf

    import kerasbnn

    before = os.environ.get(VARIABLE)
    first = kerasbnn.QuantDense(
        2, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
    )
    first.build((None, 3))
    signs = keras.ops.convert_to_numpy(first(keras.ops.eye(3)))
    # The most expensive part, where nothing comes after ours.
    carried = quantize_and_carry_over() if order[-1] == "kerasbnn.tfmot" else None
    return {
        "order": order,
        "tf.keras": tf.keras.Model.__module__.partition(".")[0],
        "keras": keras.Model.__module__.partition(".")[0],
        "version": keras.__version__,
        "environment": before,
        "at the end": os.environ.get(VARIABLE),
        "inherited": inherited.stdout.strip(),
        "signs": sorted(set(abs(signs).ravel().tolist())),
        "carried over": carried,
    }


def quantize_and_carry_over():
    """Use TFMOT on a model of tf_keras, and return the class that it is in Keras 3."""
    import tensorflow_model_optimization as tfmot
    import tf_keras

    from kerasbnn.tfmot import BinaryQuantizeConfig, from_tfmot

    quantization = tfmot.quantization.keras
    annotated = quantization.quantize_annotate_layer(
        tf_keras.layers.Dense(2, input_shape=(3,)), BinaryQuantizeConfig("ternary")
    )
    theirs = quantization.quantize_apply(tf_keras.Sequential([annotated]))
    return type(from_tfmot(theirs)).__module__.partition(".")[0]


def explore(order, file):
    """Take each step that is left in a process of its own; return whether all went."""
    left = [step for step in STEPS if step not in order]
    if not left:
        with open(file, "a") as lines:
            lines.write(json.dumps(report(order)) + "\n")
        return True
    all_well = True
    for step in left:
        child = os.fork()
        if child == 0:
            well = False
            try:
                take(step)
                well = explore([*order, step], file)
            except BaseException:
                print(f"after {[*order, step]}:", flush=True)
                traceback.print_exc()
            os._exit(0 if well else 1)
        _, status = os.waitpid(child, 0)
        all_well &= status == 0
    return all_well


if __name__ == "__main__":
    take(sys.argv[2])
    sys.exit(0 if explore([sys.argv[2]], sys.argv[1]) else 1)

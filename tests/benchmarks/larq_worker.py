"""The part of training.py that runs in an environment with Larq and tf_keras.

Reads one JSON message a line: first the network to build, then how many steps to take.
"""

import json
import os
import sys
import time

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
# Larq runs on Keras 2 only.
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import larq
import numpy as np
import tensorflow as tf


def build(chain, input_shape):
    """Build the chain of layers with Larq's layers."""
    binary_kernel = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    inputs = x = tf.keras.Input(input_shape)
    for layer in chain:
        kind, arguments = layer["kind"], layer["arguments"]
        if kind.startswith("Quant"):
            quantizer = "ste_sign" if layer["binary_inputs"] else None
            make = getattr(larq.layers, kind)
            x = make(input_quantizer=quantizer, **binary_kernel, **arguments)(x)
        else:
            x = getattr(tf.keras.layers, kind)(**arguments)(x)
    return tf.keras.Model(inputs, x)


def main():
    """Answer messages until there are no more."""
    request = json.loads(sys.stdin.readline())
    tf.config.threading.set_intra_op_parallelism_threads(request["threads"])
    tf.config.threading.set_inter_op_parallelism_threads(request["threads"])
    model = build(request["chain"], request["input_shape"])
    model.compile(tf.keras.optimizers.Adam(1e-3), "squared_hinge")
    batch = request["batch"]
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (batch, *request["input_shape"])).astype("float32")
    y = 2 * np.eye(10, dtype="float32")[rng.integers(0, 10, batch)] - 1
    version = f"{larq.__version__}, TensorFlow {tf.__version__}"
    print(json.dumps(version), flush=True)
    for line in sys.stdin:
        steps = json.loads(line)["steps"]
        start = time.process_time()
        for _ in range(steps):
            model.train_on_batch(x, y)
        print(json.dumps((time.process_time() - start) / steps), flush=True)


if __name__ == "__main__":
    main()

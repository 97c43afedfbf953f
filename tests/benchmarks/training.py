"""Time a training step: binary, the same network in float, and Larq's.

    python tests/benchmarks/training.py --larq-python LARQ_ENV/bin/python

The binary network and its float twin run in turn in this process; Larq, which needs
another Keras, runs in turn with them in a second process (without --larq-python it is
left out). Figures are CPU time per step, so that other work on the machine disturbs
them little; ratios are the median of the ratios of the rounds.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import numpy as np
from machine import cpu_name, use_threads

WORKER = Path(__file__).with_name("larq_worker.py")
NETWORKS = {"mlp": ("binarynet_mnist_mlp", 100), "cifar10": ("binarynet_cifar10", 50)}
GOALS = {"mlp": 1.35, "cifar10": 1.25}


def build(network):
    """Build the binary network that a benchmark is about."""
    from kerasbnn import applications

    if network == "mlp":
        return applications.binarynet_mnist_mlp(units=(1024, 1024, 1024))
    return applications.binarynet_cifar10()


def layer_chain(model):
    """Describe a model of one chain of layers so that others can build it again."""
    chain = []
    for layer in model.layers[1:]:
        config = layer.get_config()
        kind = type(layer).__name__
        keys = {
            "QuantConv2D": ("filters", "kernel_size", "padding", "use_bias"),
            "QuantDense": ("units", "use_bias"),
            "MaxPooling2D": ("pool_size", "padding"),
            "BatchNormalization": ("momentum", "epsilon", "scale"),
            "Flatten": (),
        }[kind]
        arguments = {key: config[key] for key in keys}
        binary_inputs = bool(config.get("input_quantizer"))
        chain.append(
            {"kind": kind, "arguments": arguments, "binary_inputs": binary_inputs}
        )
    return chain


def float_twin(chain, input_shape):
    """Build the chain with Keras' own layers, ReLU in the place of sign."""
    import keras

    inputs = x = keras.Input(input_shape)
    for layer in chain:
        if layer["binary_inputs"]:
            x = keras.layers.ReLU()(x)
        kind = layer["kind"].removeprefix("Quant")
        x = getattr(keras.layers, kind)(**layer["arguments"])(x)
    return keras.Model(inputs, x)


class LarqProcess:
    """The same network in Larq, in a process that steps when told to."""

    def __init__(self, python, chain, input_shape, batch, threads):
        self.process = subprocess.Popen(
            [python, str(WORKER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "TF_USE_LEGACY_KERAS": "1"},
        )
        request = {"chain": chain, "input_shape": input_shape}
        self.version = self._ask({**request, "batch": batch, "threads": threads})

    def _ask(self, message):
        self.process.stdin.write(json.dumps(message) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(
                "The Larq process ended. Try its Python by hand: "
                "TF_USE_LEGACY_KERAS=1 PYTHON -c 'import larq'."
            )
        return json.loads(answer)

    def seconds(self, steps):
        """Return the CPU seconds per step of so many steps."""
        return self._ask({"steps": steps})

    def close(self):
        """End the process."""
        self.process.stdin.close()
        self.process.wait()


def seconds_per_step(model, x, y, steps):
    """Return the CPU seconds per training step of so many steps."""
    start = time.process_time()
    for _ in range(steps):
        model.train_on_batch(x, y)
    return (time.process_time() - start) / steps


def compare(network, rounds, steps, threads, larq_python, jit_compile):
    """Time one network and print the comparison."""
    import keras

    batch = NETWORKS[network][1]
    binary = build(network)
    input_shape = binary.input_shape[1:]
    chain = layer_chain(binary)
    contestants = {"kerasbnn": binary, "float": float_twin(chain, input_shape)}
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (batch, *input_shape)).astype("float32")
    y = 2 * np.eye(10, dtype="float32")[rng.integers(0, 10, batch)] - 1
    timers = {}
    for name, model in contestants.items():
        model.compile(
            keras.optimizers.Adam(1e-3), "squared_hinge", jit_compile=jit_compile
        )
        timers[name] = lambda n, model=model: seconds_per_step(model, x, y, n)
    larq = None
    if larq_python:
        larq = LarqProcess(larq_python, chain, input_shape, batch, threads)
        timers["larq"] = larq.seconds
    for timer in timers.values():
        timer(2)  # traces and compiles
    figures = {name: [] for name in timers}
    for done in range(rounds):
        print(f"\r{network}: round {done + 1} of {rounds}", end="", file=sys.stderr)
        for name, timer in timers.items():
            figures[name].append(timer(steps))
    print(file=sys.stderr)
    if larq:
        larq.close()

    print(f"\n{network}, batch {batch}, jit_compile={jit_compile!r}")
    for name, seconds in figures.items():
        low, middle, high = 1e3 * np.quantile(seconds, [0, 0.5, 1])
        label = f"larq {larq.version}" if name == "larq" else name
        print(f"  {label:28} {middle:8.1f} ms a step  ({low:.1f} to {high:.1f})")
    ours = np.array(figures["kerasbnn"])
    for name in [name for name in figures if name != "kerasbnn"]:
        ratio = np.median(ours / np.array(figures[name]))
        goal = GOALS[network] if name == "float" else 1.0
        print(f"  kerasbnn / {name}: {ratio:.2f}  (goal: at most {goal:.2f})")


def main():
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS)
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=3, help="steps a round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--larq-python", help="a Python with larq and tf_keras")
    parser.add_argument("--jit", action="store_true", help="compile with XLA too")
    arguments = parser.parse_args()

    use_threads(arguments.threads)
    print(f"CPU: {cpu_name()}; threads: {arguments.threads}")
    for network in arguments.networks:
        for jit_compile in ("auto", True) if arguments.jit else ("auto",):
            compare(
                network,
                arguments.rounds,
                arguments.steps,
                arguments.threads,
                arguments.larq_python,
                jit_compile,
            )


if __name__ == "__main__":
    main()

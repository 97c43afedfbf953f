"""What batching brings: each server beside one that computes every request by itself.

    python -m tests.benchmarks.serving_batching [--rounds 9] [--seconds 2]

A float32 layer of 4096 x 4096, whose weights are read once for all rows of a batch;
BinaryNet for CIFAR-10, which takes the same for a row in any batch; and the packaged
digits, whose rows take less than their requests. Weights of the first two are random:
no speed depends on them. Needs `wrk`, and TensorFlow to make the files.
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

import numpy as np

from tests.benchmarks.serving_tools.requests import Model, check_answers
from tests.benchmarks.serving_tools.rows import Rows, print_machine
from tests.benchmarks.serving_tools.servers import our_server, packaged_models
from tests.benchmarks.serving_tools.wrk import wrk

DENSE, BINARYNET, DIGITS = "dense 4096 x 4096", "BinaryNet", "digits"
# Of binary requests on 64 connections: how many times as many answers as without.
LEAST_GAIN = {DENSE: 2.0}
# And how many times as much CPU per request: unlike the rate, which follows all that a
# machine has to do, this shows 3 %.
MOST_CPU = {BINARYNET: 1.03}
# In a process of its own, for Keras would take memory from what is measured.
MAKING = """
import sys

import keras

import kerasbnn

keras.utils.set_random_seed(0)
layers = [keras.Input((4096,)), keras.layers.Dense(4096)]
kerasbnn.convert(keras.Sequential(layers), sys.argv[1])
kerasbnn.convert(kerasbnn.applications.binarynet_cifar10(), sys.argv[2])
"""


def make_models(folder):
    """Write a folder of models for each of the two networks."""
    folders = {name: folder / name.split()[0].lower() for name in (DENSE, BINARYNET)}
    paths = [path / path.name / "1" / "model.tflite" for path in folders.values()]
    for path in paths:
        path.parent.mkdir(parents=True)
    command = [sys.executable, "-W", "ignore", "-c", MAKING, *map(str, paths)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return {**folders, DIGITS: packaged_models()}


def batching_of(server, model):
    """Return what a server says of its batches."""
    url = f"{server.address}/v2/models/{model.name}/config"
    with urllib.request.urlopen(url) as answer:
        parameters = json.load(answer)["parameters"]
    return parameters["batching_reason"]["string_value"]


def turns(servers, request, connections, arguments):
    """Return requests per second and seconds of CPU per request, `(2, rounds, 2)`."""
    found = np.empty((2, arguments.rounds, 2))
    for number in range(arguments.rounds):
        for index in (0, 1) if number % 2 else (1, 0):
            server = servers[index]
            before = server.cpu_seconds()
            load = wrk(server, request, connections, arguments.seconds)
            if load.refused or load.broken or not load.count:
                raise SystemExit(f"{server.name}: not all were answered: {load}")
            spent = (server.cpu_seconds() - before) / load.count
            found[:, number, index] = load.rate, spent
    return found


def compare(name, folder, rows, arguments):
    """Add the rows of a model."""
    model = Model(folder)
    image = model.images()
    # Without the measuring of geometry, which would take a share of both; and with time
    # for all connections where the machine has other work.
    options = ("--geometry-budget", "0", "--inference-timeout", "60", "--batching")
    with contextlib.ExitStack() as stack:
        servers = [
            stack.enter_context(our_server(folder, *options, setting, name=setting))
            for setting in ("auto", "off")
        ]
        for server in servers:
            server.wait_until_ready()
        print(f"{name}: {batching_of(servers[0], model)}", file=sys.stderr)
        for form, request in (
            ("binary", model.in_binary(image)),
            ("JSON", model.in_json(image)),
        ):
            for server in servers:
                check_answers(server.address, model, request, image)
                wrk(server, request, 8, 1)
            for connections in arguments.connections:
                found = turns(servers, request, connections, arguments)
                goals = (LEAST_GAIN.get(name), MOST_CPU.get(name))
                if (connections, form) != (64, "binary"):
                    goals = (None, None)
                add_rows(rows, f"{name}, {form}, c={connections}", *found, *goals)


def add_rows(rows, name, rates, costs, least_gain, most_cpu):
    """Add how rates and CPU time compare, as medians with their quartiles."""
    low, ratio, high = np.percentile(rates[:, 0] / rates[:, 1], (25, 50, 75))
    batched, alone = np.median(rates, axis=0)
    rows.add(
        f"{name}: requests/s",
        f"at least {least_gain:g} times" if least_gain else "",
        f"{ratio:.2f} times ({low:.2f} to {high:.2f}): {batched:,.0f} instead of "
        f"{alone:,.0f}",
        ratio >= least_gain if least_gain else None,
    )
    low, ratio, high = np.percentile(costs[:, 0] / costs[:, 1], (25, 50, 75))
    batched, alone = 1000 * np.median(costs, axis=0)
    rows.add(
        f"{name}: CPU per request",
        f"at most {most_cpu:g} times" if most_cpu else "",
        f"{ratio:.2f} times ({low:.2f} to {high:.2f}): {batched:.2f} instead of "
        f"{alone:.2f} ms",
        ratio <= most_cpu if most_cpu else None,
    )


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=2, help="of each round")
    parser.add_argument("--models", nargs="+", default=[DENSE, BINARYNET, DIGITS])
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 8, 64])
    arguments = parser.parse_args()
    print_machine()
    with tempfile.TemporaryDirectory() as folder:
        folders = make_models(Path(folder))
        rows = Rows()
        for name in arguments.models:
            compare(name, folders[name], rows, arguments)
    return rows.status


if __name__ == "__main__":
    sys.exit(main())

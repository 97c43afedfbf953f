"""What the geometry of live requests takes from the throughput.

    python -m tests.benchmarks.serving_sampling [--models FOLDER]

A server that samples with its default budget and one that does not take turns. Needs
`wrk`.
"""

import argparse
import sys
import urllib.request
from json import loads
from pathlib import Path
from statistics import median

import numpy as np

from tests.benchmarks.serving_tools.requests import Model, check_answers
from tests.benchmarks.serving_tools.rows import Rows, print_machine
from tests.benchmarks.serving_tools.servers import our_server, packaged_models
from tests.benchmarks.serving_tools.wrk import wrk

CONNECTIONS = (1, 8, 64)
LARGEST_LOSS = 0.03


def turns(servers, request, connections, rounds, seconds):
    """Return the rates, and the CPU time per answer, of both servers by rounds."""
    rates, costs = [], []
    for number in range(rounds):
        order = (0, 1) if number % 2 else (1, 0)
        rate, cost = [0.0, 0.0], [0.0, 0.0]
        for index in order:
            before = servers[index].cpu_seconds()
            load = wrk(servers[index], request, connections, seconds)
            rate[index] = load.rate
            cost[index] = (servers[index].cpu_seconds() - before) / load.count
        rates.append(rate)
        costs.append(cost)
    return np.array(rates), np.array(costs)


def loss(values):
    """Return the median share that the first of two is below the second, and its error.

    The error is that of the median, from rounds that are drawn again.
    """
    losses = 1 - values[:, 0] / values[:, 1]
    rng = np.random.default_rng(0)
    drawn = rng.choice(losses, (2000, len(losses)))
    return median(losses), np.median(drawn, axis=1).std()


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, help="instead of the packaged model")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=int, default=2, help="of each round")
    arguments = parser.parse_args()
    folder = arguments.models or packaged_models()
    model = Model(folder)
    image = model.images()
    request = model.in_json(image)
    print_machine()
    rows = Rows()
    with (
        our_server(folder, name="sampling") as on,
        our_server(folder, "--geometry-budget", "0", name="without") as off,
    ):
        for server in (on, off):
            server.wait_until_ready()
            check_answers(server.address, model, request, image)
            wrk(server, request, 8, 2)
        for connections in CONNECTIONS:
            rates, costs = turns(
                (on, off), request, connections, arguments.rounds, arguments.seconds
            )
            lost, error = loss(rates)
            more, more_error = loss(costs)
            rows.add(
                f"throughput lost by sampling, {connections} connections",
                f"at most {LARGEST_LOSS:.0%}",
                f"{lost:.1%} ± {error:.1%} ({np.median(rates[:, 0]):,.0f} of "
                f"{np.median(rates[:, 1]):,.0f} requests/s)",
                lost <= LARGEST_LOSS,
            )
            rows.add("CPU time per request", "", f"{-more:+.1%} ± {more_error:.1%}")
        with urllib.request.urlopen(
            f"{on.address}/v2/models/{model.name}/geometry/live"
        ) as answer:
            live = loads(answer.read())
        rows.add("rows sampled meanwhile", "", f"{live['samples']:,}")
    return rows.status


if __name__ == "__main__":
    sys.exit(main())

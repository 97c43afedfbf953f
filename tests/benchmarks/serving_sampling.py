"""What the geometry of live requests takes from the throughput.

    python -m tests.benchmarks.serving_sampling [--models FOLDER]

A server that samples with its default budget and one that does not take turns. The one
that rests earns a budget for its next turn, so each turn begins with load that is not
measured: what is reported is the loss under load that lasts. Two processes of the very
same program differ by a percent or two, so new ones are started for each pair of turns.
Needs `wrk`.
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


def turns(folder, model, connections, arguments):
    """Return rates, CPU times per answer, both by rounds, and the rows sampled."""
    image = model.images()
    request = model.in_json(image)
    rates, costs, samples = [], [], 0
    for number in range(arguments.rounds):
        with (
            our_server(folder, name="sampling") as on,
            our_server(folder, "--geometry-budget", "0", name="without") as off,
        ):
            servers = on, off
            for server in servers:
                server.wait_until_ready()
                check_answers(server.address, model, request, image)
            rate, cost = [0.0, 0.0], [0.0, 0.0]
            for index in (0, 1) if number % 2 else (1, 0):
                wrk(servers[index], request, connections, arguments.lead)
                before = servers[index].cpu_seconds()
                load = wrk(servers[index], request, connections, arguments.seconds)
                rate[index] = load.rate
                cost[index] = (servers[index].cpu_seconds() - before) / load.count
            rates.append(rate)
            costs.append(cost)
            samples += sampled(on, model)
    return np.array(rates), np.array(costs), samples


def sampled(server, model):
    """Return how many rows a server has measured."""
    url = f"{server.address}/v2/models/{model.name}/geometry/live"
    with urllib.request.urlopen(url) as answer:
        return loads(answer.read())["measured"]


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
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seconds", type=int, default=3, help="of each turn")
    parser.add_argument("--lead", type=int, default=2, help="seconds before each")
    arguments = parser.parse_args()
    folder = arguments.models or packaged_models()
    model = Model(folder)
    print_machine()
    rows = Rows()
    for connections in CONNECTIONS:
        rates, costs, samples = turns(folder, model, connections, arguments)
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
        rows.add("rows sampled meanwhile", "", f"{samples:,}")
    return rows.status


if __name__ == "__main__":
    sys.exit(main())

"""What the service does with ten times what it can answer.

    python -m tests.benchmarks.serving_overload [--models FOLDER] [--seconds 60]

What it can answer is measured first, by clients that wait for their answers. Then
requests come at a fixed rate, whatever becomes of the earlier ones. The model is
BinaryNet for CIFAR-10 of twice the width, with random weights, on which no speed
depends: it takes so long that one processor can send ten times what another can answer.
Needs `wrk`, and TensorFlow to make the file.
"""

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

from tests.benchmarks.serving_tools.open_loop import OpenLoop, run_until_complete
from tests.benchmarks.serving_tools.requests import Model, check_answers
from tests.benchmarks.serving_tools.rows import Rows, print_machine
from tests.benchmarks.serving_tools.servers import our_server
from tests.benchmarks.serving_tools.wrk import wrk

TIMES = 10
OK, OVERLOADED, TOO_LATE = 200, 503, 504
MOST_GROWTH = 0.05
# In a process of its own, for Keras would take memory from what is measured.
MAKING = """
import sys

import kerasbnn

filters = (256, 256, 512, 512, 1024, 1024)
model = kerasbnn.applications.binarynet_cifar10(filters=filters)
kerasbnn.convert(model, sys.argv[1])
"""


def make_model(folder):
    """Write a folder of models with BinaryNet."""
    path = Path(folder) / "binarynet" / "1" / "model.tflite"
    path.parent.mkdir(parents=True)
    command = [sys.executable, "-W", "ignore", "-c", MAKING, path]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return Path(folder)


class Answers:
    """What was answered."""

    def __init__(self):
        self.statuses = Counter()
        self.accepted = []
        self.refused = []
        self.without_retry_after = 0

    def add(self, answer):
        """Count an answer."""
        self.statuses[answer.status] += 1
        if answer.status in (OK, TOO_LATE):
            self.accepted.append(answer.seconds)
        else:
            self.refused.append(answer.seconds)
            if b"\r\nretry-after:" not in answer.headers:
                self.without_retry_after += 1


async def resident(server, every=0.5):
    """Yield the memory of a server, for ever."""
    while True:
        yield server.resident_bytes()
        await asyncio.sleep(every)


async def overload(server, content, rate, seconds, connections):
    """Send requests at a rate; return answers, what was offered, memory by time."""
    answers, memory = Answers(), []
    load = OpenLoop(server.port, [content], connections, answers.add)

    async def watch():
        async for used in resident(server):
            memory.append((time.perf_counter(), used))

    watching = asyncio.create_task(watch())
    offer = await load.run(rate, seconds)
    watching.cancel()
    return answers, offer, memory


def growth(memory) -> float:
    """Return the share by which memory grew from the second fifth to the last."""
    used = np.array([value for _, value in memory], float)
    fifth = len(used) // 5
    return np.median(used[-fifth:]) / np.median(used[fifth : 2 * fifth]) - 1


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, help="instead of BinaryNet")
    parser.add_argument("--images", type=int, default=1, help="of each request")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--timeout", type=float, default=2.0, help="of the inference")
    parser.add_argument("--connections", type=int, default=1500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        return measure(arguments.models or make_model(folder), arguments)


def measure(folder, arguments):
    """Overload a server and print what it did."""
    model = Model(folder)
    images = model.images(arguments.images)
    request = model.in_binary(images)
    print_machine()
    limits = ("--inference-timeout", arguments.timeout, "--log-level", "error")
    with our_server(folder, *limits) as server:
        server.wait_until_ready()
        check_answers(server.address, model, request, images)
        sustainable = max(wrk(server, request, count, 5).rate for count in (1, 8, 64))
        answers, offer, memory = run_until_complete(
            overload(
                server,
                request.content(),
                TIMES * sustainable,
                arguments.seconds,
                arguments.connections,
            )
        )
        check_answers(server.address, model, request, images)
        afterwards = wrk(server, request, 8, 5)
        used = server.resident_bytes()
    rows = Rows()
    rows.add(
        f"rate that '{model.name}' can answer, images each: {arguments.images}",
        "",
        f"{sustainable:,.0f} requests/s",
    )
    rate = offer.sent / offer.seconds
    rows.add(
        f"rate offered for {offer.seconds:.0f} s",
        f"{TIMES}x",
        f"{rate:,.0f} requests/s, {rate / sustainable:.1f}x; {offer.held_back:,} could "
        "not be sent",
        rate / sustainable >= 0.95 * TIMES,
    )
    statuses = answers.statuses
    rows.add(
        "answers by status",
        "200, 503, 504",
        dict(sorted(statuses.items())),
        set(statuses) <= {OK, OVERLOADED, TOO_LATE} and statuses[OVERLOADED] > 0,
    )
    rows.add(
        "refused without Retry-After",
        "0",
        answers.without_retry_after,
        not answers.without_retry_after,
    )
    rows.add(
        "accepted and answered, against what it can answer",
        "",
        f"{statuses[OK] / offer.seconds / sustainable:.0%}",
    )
    p50, p99 = np.percentile(answers.accepted, (50, 99))
    rows.add(
        "p99 of accepted requests",
        f"at most {arguments.timeout:g} s",
        f"{p99:.3f} s (median {p50:.3f} s)",
        p99 <= arguments.timeout,
    )
    if answers.refused:
        rows.add("p99 of refusals", "", f"{np.percentile(answers.refused, 99):.3f} s")
    rows.add("connections that broke", "0", offer.broken, not offer.broken)
    grown = growth(memory)
    peak = max(value for _, value in memory)
    rows.add(
        "memory from 20-40 % of the time to the last 20 %",
        f"within {MOST_GROWTH:.0%}",
        f"{grown:+.1%} (peak {peak / 1e6:.0f} MB, afterwards {used / 1e6:.0f} MB)",
        grown <= MOST_GROWTH,
    )
    rows.add(
        "rate afterwards",
        "as before",
        f"{afterwards.rate:,.0f} requests/s, {afterwards.rate / sustainable:.0%}",
        not afterwards.refused and not afterwards.broken,
    )
    return rows.status


if __name__ == "__main__":
    sys.exit(main())

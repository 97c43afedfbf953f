"""Ten minutes at half load: good and bad requests mixed.

    python -m tests.benchmarks.serving_soak [--models FOLDER] [--minutes 10]

Every answer is compared with what the model computes here, or with the status that a
bad request has to get. Needs `wrk`.
"""

import argparse
import asyncio
import gzip
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.benchmarks.serving_tools.open_loop import OpenLoop, run_until_complete
from tests.benchmarks.serving_tools.requests import (
    HEADER_LENGTH,
    Model,
    Request,
    outputs_of,
)
from tests.benchmarks.serving_tools.rows import Rows, print_machine
from tests.benchmarks.serving_tools.servers import our_server, packaged_models
from tests.benchmarks.serving_tools.wrk import wrk

OK = 200
MOST_GROWTH = 0.02
MOST_DECOMPRESSED = 2**22  # Bytes; small, so that bombs do not take most of the time.
WARM_UP = 0.1  # Share of the time in which memory may still settle.


@dataclass(frozen=True)
class Case:
    """A request, and what it has to get.

    Attributes:
        request: The request.
        status: Status of the answer.
        outputs: What the model computes, for good requests.
    """

    request: Request
    status: int = OK
    outputs: np.ndarray | None = None


def good_cases(model):
    """Return requests of several sizes, as JSON, binary and compressed."""
    cases = []
    for seed, images in enumerate((1, 1, 1, 1, 3, 16)):
        x = model.images(images, seed)
        outputs = model.answer(x)
        text, binary = model.in_json(x), model.in_binary(x)
        packed = replace(
            text,
            body=gzip.compress(text.body),
            headers={**text.headers, "Content-Encoding": "gzip"},
        )
        cases += [Case(request, OK, outputs) for request in (text, binary, packed)]
    return cases


def bad_cases(model):
    """Return requests that must be refused."""
    image = model.images()
    text, binary = model.in_json(image), model.in_binary(image)
    document = json.loads(text.body)

    def changed(**values):
        tensor = {**document["inputs"][0], **values}
        return replace(text, body=json.dumps({"inputs": [tensor]}).encode())

    def headed(**headers):
        return replace(binary, headers={**binary.headers, **headers})

    not_a_number = binary.body[:-4] + np.float32("nan").tobytes()
    bomb = gzip.compress(bytes(MOST_DECOMPRESSED + 1))
    return [
        Case(replace(text, body=b""), 400),
        Case(replace(text, body=text.body[:-20]), 400),
        Case(replace(text, body=b"[" * 2000), 400),
        Case(replace(text, body=b'{"inputs": []}'), 400),
        Case(changed(shape=[1, 2**62]), 400),
        Case(changed(datatype="FP64"), 400),
        Case(changed(name="other"), 400),
        Case(changed(data=["a"] * image.size), 400),
        Case(replace(binary, body=not_a_number), 400),
        Case(replace(binary, body=binary.body[:-1]), 400),
        Case(headed(**{HEADER_LENGTH: "1000000"}), 400),
        Case(replace(text, path="/v2/models/nothing/infer"), 404),
        Case(replace(text, path="/nothing"), 404),
        Case(headed(**{"Content-Encoding": "zstd"}), 415),
        Case(Request(model.route, bomb, {"Content-Encoding": "gzip"}), 413),
    ]


class Judge:
    """Compares answers with what they have to be."""

    def __init__(self, cases):
        self.cases = cases
        self.statuses = Counter()
        self.wrong = Counter()
        self.seconds = []

    def add(self, answer):
        """Judge an answer."""
        case = self.cases[answer.kind]
        self.statuses[answer.status] += 1
        if answer.status != case.status:
            self.wrong[f"{answer.status} instead of {case.status}"] += 1
        elif case.status != OK:
            if not isinstance(json.loads(answer.body).get("error"), str):
                self.wrong["no message"] += 1
        else:
            self.seconds.append(answer.seconds)
            outputs = outputs_of(answer.body, Fields(answer.headers))
            if not np.allclose(outputs, case.outputs, 1e-5, 1e-6):
                self.wrong["other outputs"] += 1


class Fields(dict):
    """The fields of the head of an answer, by any spelling of their names."""

    def __init__(self, head):
        lines = head.decode("latin-1").split("\r\n")[1:]
        super().__init__(line.split(": ", 1) for line in lines)

    def get(self, name, default=None):
        return super().get(name.lower(), default)


async def soak(server, cases, rate, seconds):
    """Send the cases at a rate; return judge, what was offered, memory by time."""
    judge, memory = Judge(cases), []
    contents = [case.request.content() for case in cases]
    load = OpenLoop(server.port, contents, 64, judge.add)
    begin = time.perf_counter()

    async def watch():
        while True:
            memory.append((time.perf_counter() - begin, server.resident_bytes()))
            await asyncio.sleep(1)

    watching = asyncio.create_task(watch())
    offer = await load.run(rate, seconds)
    watching.cancel()
    return judge, offer, np.array(memory)


def growth(memory) -> float:
    """Return the share by which memory grew after the warm-up, by its medians."""
    times, used = memory.T
    span = times[-1] * WARM_UP
    first = used[(times >= span) & (times < 2 * span)]
    return np.median(used[times > times[-1] - span]) / np.median(first) - 1


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, help="instead of the packaged model")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--bad", type=float, default=0.1, help="share of bad requests")
    arguments = parser.parse_args()
    folder = arguments.models or packaged_models()
    model = Model(folder)
    good, bad = good_cases(model), bad_cases(model)
    # The good ones go round while each bad one is sent once.
    times = max(round(len(bad) * (1 / arguments.bad - 1) / len(good)), 1)
    cases = good * times + bad
    order = np.random.default_rng(0).permutation(len(cases))
    cases = [cases[number] for number in order]
    print_machine()
    limits = ("--log-requests", "none", "--max-decompressed-body", MOST_DECOMPRESSED)
    with our_server(folder, *limits) as server:
        server.wait_until_ready()
        most = wrk(server, model.in_json(model.images()), 8, 10).rate
        judge, offer, memory = run_until_complete(
            soak(server, cases, most / 2, 60 * arguments.minutes)
        )
        log = server.log()
    rows = Rows()
    rows.add(
        f"{arguments.minutes:g} minutes at half load",
        "",
        f"{offer.sent:,} requests, {offer.sent / offer.seconds:,.0f}/s of "
        f"{most:,.0f}/s; {offer.held_back:,} could not be sent",
    )
    rows.add("answers by status", "", dict(sorted(judge.statuses.items())))
    missing = offer.sent - judge.statuses.total()
    failures = {**judge.wrong, **({"without an answer": missing} if missing else {})}
    rows.add("errors", "0", failures or 0, not failures)
    grown = growth(memory)
    rows.add(
        "memory growth after the first tenth",
        f"below {MOST_GROWTH:.0%}",
        f"{grown:+.2%} ({memory[0, 1] / 1e6:.0f} MB at first, "
        f"{memory[-1, 1] / 1e6:.0f} MB at last)",
        grown < MOST_GROWTH,
    )
    p50, p99 = 1e3 * np.percentile(judge.seconds, (50, 99))
    rows.add("latency of good requests", "", f"{p50:.2f} ms, p99 {p99:.1f} ms")
    tracebacks = log.count("Traceback")
    rows.add("tracebacks in the log", "0", tracebacks, not tracebacks)
    return rows.status


if __name__ == "__main__":
    sys.exit(main())

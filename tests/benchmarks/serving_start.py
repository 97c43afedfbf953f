"""How long the service takes to be ready, and its memory after some traffic.

    python -m tests.benchmarks.serving_start [--models FOLDER]

Needs `wrk`.
"""

import argparse
import sys
from pathlib import Path
from statistics import median

from tests.benchmarks.serving_tools.requests import Model
from tests.benchmarks.serving_tools.rows import Rows, print_machine
from tests.benchmarks.serving_tools.servers import our_server, packaged_models
from tests.benchmarks.serving_tools.wrk import wrk

MOST_SECONDS = 2.0
MOST_MEGABYTES = 150


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=Path, help="instead of the packaged model")
    parser.add_argument("--starts", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=10, help="of each traffic")
    arguments = parser.parse_args()
    folder = arguments.models or packaged_models()
    model = Model(folder)
    print_machine()
    seconds = []
    for _ in range(arguments.starts):
        with our_server(folder) as server:
            seconds.append(server.wait_until_ready())
    rows = Rows()
    found = median(seconds)
    rows.add(
        f"start to ready, median of {len(seconds)}",
        f"at most {MOST_SECONDS:g} s",
        f"{found:.2f} s ({min(seconds):.2f} to {max(seconds):.2f})",
        found <= MOST_SECONDS,
    )
    with our_server(folder) as server:
        server.wait_until_ready()
        at_start = server.resident_bytes() / 1e6
        for request in (model.in_json, model.in_binary):
            for images in (1, 16):
                wrk(server, request(model.images(images)), 64, arguments.seconds)
        found = server.resident_bytes() / 1e6
    rows.add(
        "resident memory after traffic",
        f"at most {MOST_MEGABYTES} MB",
        f"{found:.0f} MB ({at_start:.0f} MB when ready)",
        found <= MOST_MEGABYTES,
    )
    return rows.status


if __name__ == "__main__":
    sys.exit(main())

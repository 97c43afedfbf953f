"""Sends what the schemas allow, and what they do not, to the packaged digits.

    python -m tests.serve.fuzz_api               2000 cases at least
    python -m tests.serve.fuzz_api --cases 100

Fails where an answer has a status of 5xx or is not as documented, or where the service
does not answer a good request afterwards.
"""

import argparse
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

# The schemas do not say that data must fit the shape, nor that an image must be one.
EXCLUDED = "positive_data_acceptance"
PHASES = "examples,coverage,fuzzing,stateful"
SECONDS_TO_START = 60
MOST_ROUNDS = 10


def main() -> int:
    """Fuzz until there were enough cases; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--examples", type=int, default=60, help="of an operation")
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        address, process = stack.enter_context(running_service())
        expected = digits(address)
        total = 0
        for seed in range(1, MOST_ROUNDS + 1):
            report = fuzzed(address, folder, seed, arguments.examples)
            total += report["test_cases"]["generated"]
            print(f"{total} cases so far", flush=True)
            if report["exit_code"]:
                return 1
            if process.poll() is not None:
                print("The service has ended.")
                return 1
            if digits(address) != expected:
                print("The service answers otherwise than before.")
                return 1
            if total >= arguments.cases:
                print(f"{total} cases, no 5xx; a good request is answered as before.")
                return 0
    print(f"Only {total} cases in {MOST_ROUNDS} rounds.")
    return 1


@contextlib.contextmanager
def running_service():
    """Run the service as users do; yields its address and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "kerasbnn.serve", "--port", str(port)]
    process = subprocess.Popen([*command, "--log-requests", "none"])
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until_ready(address, process)
        yield address, process
    finally:
        process.terminate()
        process.wait(30)


def wait_until_ready(address, process):
    """Return once the service is ready."""
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        with contextlib.suppress(urllib.error.URLError):
            urllib.request.urlopen(f"{address}/v2/health/ready").close()
            return
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("The service does not start.")
        time.sleep(0.1)


def fuzzed(address, folder, seed, examples) -> dict:
    """Run schemathesis once; return its report."""
    path = folder / f"{seed}.json"
    options = {
        "--seed": seed,
        "--max-examples": examples,
        "--phases": PHASES,
        "--checks": "all",
        "--exclude-checks": EXCLUDED,
        "--report": "json",
        "--report-json-path": path,
    }
    command = ["schemathesis", "run", f"{address}/openapi.json", "--no-color"]
    for name, value in options.items():
        command += [name, str(value)]
    environment = os.environ | {"COLUMNS": "100"}
    subprocess.run(command, cwd=folder, env=environment, check=False)
    return json.loads(path.read_text("utf-8"))


def digits(address) -> dict:
    """Return what the service answers to the example of its own documentation."""
    with urllib.request.urlopen(f"{address}/openapi.json") as answer:
        paths = json.load(answer)["paths"]
    operation = paths["/v2/models/{model_name}/infer"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    request = urllib.request.Request(
        f"{address}/v2/models/digits/infer", json.dumps(example).encode()
    )
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


if __name__ == "__main__":
    sys.exit(main())

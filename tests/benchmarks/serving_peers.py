"""Requests per second of the service and of other servers of the same model.

    python -m tests.benchmarks.serving_peers --environments FOLDER [--sleepy]

One image per request, one worker. All servers are up at once, answer the same before
they are timed, and take turns; ratios are medians over the rounds. All run the file by
the same `kerasbnn.runtime.Interpreter`, at their default settings but without a log of
requests. FOLDER gets a virtual environment for each, of some hundred megabytes.
Processors are kept awake, for to wake one can take as long as a request; `--sleepy`
lets them sleep. Needs `wrk`.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import venv
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.benchmarks.serving_tools.awake import awake_processors
from tests.benchmarks.serving_tools.requests import Model, Request, check_answers
from tests.benchmarks.serving_tools.rows import Rows, print_machine
from tests.benchmarks.serving_tools.servers import (
    Server,
    free_port,
    our_server,
    packaged_models,
)
from tests.benchmarks.serving_tools.wrk import wrk

HERE = Path(__file__).parent
PROGRAMS = HERE / "serving_peers"
REPOSITORY = HERE.parent.parent
RUNTIME = ("numpy", "ai-edge-litert", "wrapt")
CONNECTIONS = (1, 8, 64)
JSON, BINARY = "kerasbnn, JSON", "kerasbnn, binary"


@dataclass(frozen=True)
class Peer:
    """Another server.

    Attributes:
        environment: Name of its virtual environment.
        requirements: What it is installed by.
        goal: How many times its requests per second ours has to answer, or None.
    """

    environment: str
    requirements: tuple[str, ...]
    goal: float | None


FASTAPI = (
    "fastapi==0.165.0",
    "uvicorn==0.54.0",
    "uvloop==0.23.0",
    "httptools==0.9.0",
)
# Its worker process does not start with a later uvloop.
MLSERVER = ("mlserver==1.7.1", "uvloop==0.21.0")
PEERS = {
    "FastAPI + pydantic": Peer("fastapi", FASTAPI, 1.6),
    "MLServer, in one process": Peer("mlserver", MLSERVER, 2.3),
    "MLServer, by default": Peer("mlserver", MLSERVER, 2.3),
    "KServe": Peer("kserve", ("kserve==0.21.0",), 3.5),
    "LitServe": Peer("litserve", ("litserve==0.2.19",), 3.5),
}


def make_environment(folder: Path, requirements, wheel) -> Path:
    """Return the Python of an environment, which is made where it is not there."""
    python = folder / "bin" / "python"
    finished = folder / "finished"
    if not finished.exists():
        print(f"Installing {requirements[0]} into '{folder}'", file=sys.stderr)
        venv.create(folder, with_pip=True, clear=True)
        install = [python, "-m", "pip", "install", "--quiet"]
        subprocess.run([*install, *requirements, *RUNTIME], check=True)
        subprocess.run([*install, "--no-deps", wheel()], check=True)
        finished.touch()
    return python


def built_wheel(folder: Path) -> Path:
    """Build the package, unless that was done before."""
    if not list(folder.glob("kerasbnn-*.whl")):
        build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
        subprocess.run([*build, "--wheel-dir", folder, REPOSITORY], check=True)
    return next(folder.glob("kerasbnn-*.whl"))


def start_peer(name: str, python: Path, model: Model, folder: Path) -> Server:
    """Start another server."""
    if name.startswith("MLServer"):
        workers = 0 if name == "MLServer, in one process" else 1
        return start_mlserver(name, python, model, folder, workers)
    programs = {
        "FastAPI + pydantic": ("plain_fastapi.py", "/v2/health/ready"),
        "KServe": ("kserve_server.py", "/v2/health/ready"),
        "LitServe": ("litserve_server.py", "/health"),
    }
    program, ready = programs[name]
    port = free_port()
    command = [python, PROGRAMS / program, model.path, model.name, port]
    return Server(name, command, port, ready, folder=folder)


def start_mlserver(name, python, model, folder, workers) -> Server:
    """Start MLServer, which is told by files."""
    folder = folder / str(workers)
    folder.mkdir()
    port = free_port()
    settings = {
        "host": "127.0.0.1",
        "http_port": port,
        "grpc_port": free_port(),
        "metrics_port": free_port(),
        "parallel_workers": workers,
        "debug": False,
    }
    of_model = {
        "name": model.name,
        "implementation": "mlserver_runtime.Runtime",
        "parameters": {"uri": str(model.path)},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(of_model))
    return Server(
        name,
        [python.parent / "mlserver", "start", folder],
        port,
        f"/v2/models/{model.name}/ready",
        {"PYTHONPATH": str(PROGRAMS)},
        folder,
    )


@dataclass(frozen=True)
class Contender:
    """A server and what it is asked."""

    server: Server
    request: Request


def measure(contenders: dict[str, Contender], connections, rounds, seconds):
    """Return for each contender, for each round, load and CPU seconds per answer."""
    found = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, contender in contenders.items():
            before = contender.server.cpu_seconds()
            load = wrk(contender.server, contender.request, connections, seconds)
            if load.refused or load.broken or not load.count:
                raise SystemExit(f"{name} does not answer: {load}")
            spent = contender.server.cpu_seconds() - before
            found[name].append((load, spent / load.count))
    return found


def print_table(connections, found):
    """Print what the contenders did at a number of connections."""
    print(f"\n{connections} connection{'s' * (connections > 1)}:\n")
    print("| | requests/s | p50 | p99 | CPU per request | JSON of kerasbnn is |")
    print("|---|---|---|---|---|---|")
    for name, results in found.items():
        rate, p50, p99 = (
            median(getattr(load, key) for load, _ in results)
            for key in ("rate", "p50", "p99")
        )
        cpu = median(cpu for _, cpu in results)
        print(
            f"| {name} | {rate:,.0f} | {1e3 * p50:.2f} ms | {1e3 * p99:.1f} ms | "
            f"{1e6 * cpu:,.0f} us | {ratio(found, JSON, name):.2f}x |",
            flush=True,
        )


def ratio(found, first, second) -> float:
    """Return how many times as many requests the first answers, by rounds."""
    pairs = zip(found[first], found[second], strict=True)
    return median(a.rate / b.rate for (a, _), (b, _) in pairs)


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--environments", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--models", type=Path, help="instead of the packaged model")
    parser.add_argument("--wheel", type=Path, help="of kerasbnn; else it is built")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=3, help="of each round")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--sleepy", action="store_true", help="let processors sleep")
    arguments = parser.parse_args()
    environments = arguments.environments.resolve()
    folder = arguments.models or packaged_models()
    model = Model(folder)
    image = model.images()
    pythons = {
        name: make_environment(
            environments / PEERS[name].environment,
            PEERS[name].requirements,
            lambda: arguments.wheel or built_wheel(environments),
        )
        for name in arguments.peers
    }
    print_machine()
    packages = [
        requirement
        for name in dict.fromkeys(PEERS[name].environment for name in arguments.peers)
        for requirement in next(
            p.requirements for p in PEERS.values() if p.environment == name
        )
    ]
    print(f"Peers: {', '.join(packages)}", flush=True)
    results = {}
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(our_server(folder))
        contenders = {
            JSON: Contender(ours, model.in_json(image)),
            BINARY: Contender(ours, model.in_binary(image)),
        }
        for name, python in pythons.items():
            server = stack.enter_context(start_peer(name, python, model, work))
            contenders[name] = Contender(server, model.in_json(image))
        for contender in contenders.values():
            contender.server.wait_until_ready()
            check_answers(contender.server.address, model, contender.request, image)
        if not arguments.sleepy:
            stack.enter_context(awake_processors())
        measure(contenders, 8, 1, 1)
        for connections in CONNECTIONS:
            found = measure(
                contenders, connections, arguments.rounds, arguments.seconds
            )
            print_table(connections, found)
            results[connections] = found
    print()
    rows = Rows()
    for name in arguments.peers:
        goal = PEERS[name].goal
        ratios = [ratio(found, JSON, name) for found in results.values()]
        rows.add(
            f"requests/s against {name}, at {', '.join(map(str, CONNECTIONS))}",
            f"at least {goal}x",
            ", ".join(f"{value:.2f}x" for value in ratios),
            min(ratios) >= goal,
        )
    ratios = [ratio(found, BINARY, JSON) for found in results.values()]
    rows.add(
        "binary tensors against JSON",
        "at least 1x",
        ", ".join(f"{value:.2f}x" for value in ratios),
        min(ratios) >= 1,
    )
    return rows.status


if __name__ == "__main__":
    sys.exit(main())

"""Closed-loop load by `wrk`: each connection asks again as soon as it is answered."""

import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_SCRIPT = """
local file = io.open(os.getenv("WRK_BODY"), "rb")
wrk.method = "POST"
wrk.body = file:read("*all")
file:close()
"""


@dataclass(frozen=True)
class Load:
    """What `wrk` has seen.

    Attributes:
        rate: Answers per second.
        count: Answers.
        p50: Median latency in seconds.
        p99: 99th percentile of the latency in seconds.
        refused: Answers of a status from 400 on.
        broken: Connections that could not be made, read or written, or timed out.
    """

    rate: float
    count: int
    p50: float
    p99: float
    refused: int
    broken: int


def start_wrk(server, request, connections, seconds, threads=1):
    """Start `wrk`; `finish_wrk` waits for it."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is not installed. On Debian: apt-get install wrk")
    folder = tempfile.TemporaryDirectory()
    script, body = Path(folder.name) / "post.lua", Path(folder.name) / "body"
    lines = [f'wrk.headers["{k}"] = "{v}"' for k, v in request.headers.items()]
    script.write_text(_SCRIPT + "\n".join(lines))
    body.write_bytes(request.body)
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s"]
    command += ["--latency", "--timeout", "30s", "-s", script]
    process = subprocess.Popen(
        [*map(str, command), server.address + request.path],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "WRK_BODY": str(body)},
        text=True,
    )
    return process, folder


def finish_wrk(started) -> Load:
    """Wait for `wrk` and read its report."""
    process, folder = started
    text, _ = process.communicate()
    folder.cleanup()
    if process.returncode:
        raise SystemExit(f"wrk failed:\n{text}")
    count = int(re.search(r"(\d+) requests in", text)[1])
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    broken = re.search(r"Socket errors: (.+)", text)
    return Load(
        rate=float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]),
        count=count,
        p50=_seconds(re.search(r"\n +50% +(\S+)", text)[1]),
        p99=_seconds(re.search(r"\n +99% +(\S+)", text)[1]),
        refused=int(refused[1]) if refused else 0,
        broken=sum(map(int, re.findall(r"\d+", broken[1]))) if broken else 0,
    )


def wrk(server, request, connections, seconds, threads=1) -> Load:
    """Ask a server for some whole seconds."""
    return finish_wrk(start_wrk(server, request, connections, seconds, threads))


def _seconds(text):
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()
    return float(number) * _UNITS[unit]

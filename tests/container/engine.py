"""The command `docker`, and a compose project of the unmodified files."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parents[2]
IMAGE = "kerasbnn-serve:test"


def docker(*arguments, timeout=60, environment=None) -> str:
    """Run `docker` in the root of the source; return what it prints."""
    result = subprocess.run(
        ["docker", *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=timeout,
    )
    if result.returncode:
        raise AssertionError(
            f"docker {' '.join(map(str, arguments))}: exit status {result.returncode}"
            f"\n{result.stdout}\n{result.stderr}"
        )
    return result.stdout.strip()


def build_image():
    """Build the image from the source, through the network of this machine."""
    docker(
        *("build", "--network", "host", "--tag", IMAGE),
        *("--file", "docker/Dockerfile", "."),
        timeout=600,
    )


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Project:
    """A compose project: the service, up and healthy while in a `with`.

    The files are those of the source. Names and a free port are given by environment
    variables, as any user can, so that nothing else that runs here is touched.
    """

    def __init__(self, name: str, **environment: str):
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.environment = {
            "COMPOSE_PROJECT_NAME": name,
            "KERASBNN_IMAGE": IMAGE,
            "KERASBNN_PORT": str(self.port),
            **environment,
        }

    def __enter__(self):
        try:
            self.compose("up", "--detach", "--no-build", "--wait", timeout=90)
        except AssertionError as error:
            logs = self.logs()
            self.compose("down")
            raise AssertionError(f"{error}\n{logs}") from None
        return self

    def __exit__(self, *_):
        self.compose("down", "--timeout", "20")

    def compose(self, *arguments, timeout=60) -> str:
        """Run `docker compose`."""
        return docker(
            "compose", *arguments, timeout=timeout, environment=self.environment
        )

    def logs(self) -> str:
        """Return what the service has written, with nothing of the engine's."""
        command = ["docker", "logs", "--tail", "200", self.container]
        return subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ).stdout

    @property
    def container(self) -> str:
        """Id of the container, running or not."""
        return self.compose("ps", "--all", "--quiet", "serve")

    def inspect(self) -> dict:
        """Return what the engine knows of the container."""
        return json.loads(docker("inspect", self.container))[0]

    def python(self, code: str) -> str:
        """Run Python in the container; return what it prints."""
        return docker("exec", self.container, "python", "-c", code)

    def get(self, path: str, body: dict | None = None, **headers: str):
        """Ask the service; return the answer's JSON."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)

    def kill(self):
        """End the service's process as if its memory had run out."""
        pid = self.inspect()["State"]["Pid"]
        try:
            os.kill(pid, signal.SIGKILL)
        except (PermissionError, ProcessLookupError):
            # The engine is in a machine of its own, or not ours.
            self.python("import os, signal; os.kill(1, signal.SIGTERM)")

    def wait_until_healthy(self, seconds=60):
        """Wait for the first container that is healthy."""
        deadline = time.monotonic() + seconds
        while (state := self.inspect()["State"])["Status"] != "running" or state[
            "Health"
        ]["Status"] != "healthy":
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.2)

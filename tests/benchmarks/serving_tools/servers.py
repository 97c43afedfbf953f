"""Servers in processes of their own: started, watched and ended."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    """Return a port of the loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A server that runs until the `with` block ends.

    Args:
        name: What the tables call it.
        command: Its command line.
        port: Where it listens on 127.0.0.1.
        ready_path: What answers 200 once it is ready.
        environment: Environment variables besides those of this process.
        folder: Its working directory.
    """

    def __init__(
        self,
        name,
        command,
        port,
        ready_path="/v2/health/ready",
        environment=None,
        folder=None,
    ):
        self.name, self.port = name, port
        self.address = f"http://127.0.0.1:{port}"
        self._log = tempfile.TemporaryFile()
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            cwd=folder,
            start_new_session=True,
        )
        self._ready_path = ready_path

    def wait_until_ready(self, seconds=90) -> float:
        """Wait for the first 200, and return how long it took from the start."""
        while time.perf_counter() - self.started < seconds:
            if self.process.poll() is not None:
                break
            try:
                url = self.address + self._ready_path
                with urllib.request.urlopen(url, timeout=1):
                    return time.perf_counter() - self.started
            except (urllib.error.URLError, OSError):
                time.sleep(0.005)
        self.stop()
        raise SystemExit(f"{self.name} does not get ready. It says:\n{self.log()}")

    def log(self, last=4000) -> str:
        """Return the end of what it has printed."""
        self._log.flush()
        content = os.pread(self._log.fileno(), 1 << 26, 0)
        return content[-last:].decode(errors="replace")

    def cpu_seconds(self) -> float:
        """Return the time that its processes have computed."""
        ticks = 0
        for fields in self._processes():
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_PER_SECOND

    def resident_bytes(self) -> int:
        """Return the memory that its processes have in use."""
        return sum(int(fields[21]) * PAGE_BYTES for fields in self._processes())

    def stop(self):
        """End it, by force if it does not obey."""
        for what in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.process.pid, what)
            except ProcessLookupError:
                break
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                continue

    def _processes(self):
        """Return the fields of /proc/PID/stat from the third, for its whole session."""
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(") ")[2].split()
            except OSError:
                continue
            if int(fields[3]) == self.process.pid:
                found.append(fields)
        return found

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()
        self._log.close()


def our_server(models, *arguments, name="kerasbnn") -> Server:
    """Start our service with its default settings, but for the arguments."""
    port = free_port()
    command = [sys.executable, "-m", "kerasbnn.serve", models, "--port", port]
    return Server(name, [*command, *arguments], port)


def packaged_models() -> Path:
    """Return the folder of the models that the package brings."""
    from kerasbnn.serve.models.repository import packaged_models

    return packaged_models()

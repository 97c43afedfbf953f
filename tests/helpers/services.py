"""A service in a process of its own."""

import contextlib
import re
import subprocess
import sys


@contextlib.contextmanager
def served(*command, folder):
    """Run a command that serves, on a port that is free.

    Args:
        *command: The command `kerasbnn` without its name, such as `"serve", "models"`.
        folder: Where to run it.

    Yields:
        The address, such as http://127.0.0.1:4711.

    Raises:
        AssertionError: The service does not start; the message is what it printed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "kerasbnn", *command, "--port", "0"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    )
    try:
        printed = ""
        while not (address := re.search(r"http://127\.0\.0\.1:\d+", printed)):
            line = process.stdout.readline()
            assert line, printed
            printed += line
        yield address[0]
    finally:
        process.terminate()
        process.communicate(timeout=30)

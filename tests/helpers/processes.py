"""Python in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run_python(*arguments, folder, **environment):
    """Run the interpreter of the tests and return what it printed.

    Args:
        *arguments: Arguments of the interpreter, such as `"-c"` and code.
        folder: Where to run. The kerasbnn of this checkout is found from anywhere.
        **environment: Environment variables to set.

    Returns:
        The standard output, text.

    Raises:
        AssertionError: The process failed; the message is what it printed.
    """
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": path,
            "PYTHONIOENCODING": "utf-8",
            **environment,
        },
        capture_output=True,
        encoding="utf-8",
        timeout=280,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout

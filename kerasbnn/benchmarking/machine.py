"""The machine and the libraries that figures come from."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from kerasbnn._version import __version__

LIBRARIES = ("ai-edge-litert", "tensorflow", "keras")


def cpu_name() -> str:
    """Return the processor's name as the system gives it.

    Returns:
        Name, family and model where the system tells them.

    Example:
        >>> from kerasbnn.benchmarking.machine import cpu_name
        >>> isinstance(cpu_name(), str)
        True
    """
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        fields = dict(
            [part.strip() for part in line.split(":", 1)]
            for line in cpuinfo.read_text().splitlines()
            if ":" in line
        )
        if "model name" in fields:
            return (
                f"{fields['model name']} (family {fields.get('cpu family')}, "
                f"model {fields.get('model')})"
            )
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of what computes.

    Returns:
        Versions by the names of the packages; those that are not installed are left
        out.

    Example:
        >>> from kerasbnn.benchmarking.machine import versions
        >>> "kerasbnn" in versions()
        True
    """
    found = {"kerasbnn": __version__, "Python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found

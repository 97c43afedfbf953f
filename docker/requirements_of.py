"""Print what a wheel requires, without some of it: for images that hold only a part.

python requirements_of.py WHEEL --extra NAME --without NAME ...
"""

import argparse
import re
import sys
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

try:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name
except ModuleNotFoundError:  # pip brings its own copy.
    from pip._vendor.packaging.requirements import Requirement
    from pip._vendor.packaging.utils import canonicalize_name


def read_requirements(wheel: Path) -> tuple[str, list[Requirement]]:
    """Read the name of a wheel's package and all that it may require.

    Args:
        wheel: The wheel.

    Returns:
        The name, and a requirement for each `Requires-Dist` of its metadata.
    """
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (
            name
            for name in archive.namelist()
            if re.fullmatch(r"[^/]+\.dist-info/METADATA", name)
        )
        metadata = Parser().parsestr(archive.read(path).decode())
    lines = metadata.get_all("Requires-Dist") or []
    return canonicalize_name(metadata["Name"]), [Requirement(line) for line in lines]


def select(
    name: str, requirements: list[Requirement], extra: str
) -> Iterator[Requirement]:
    """Select what this Python needs, following extras that name other extras.

    Args:
        name: Name of the package.
        requirements: All that it may require.
        extra: The extra that is wanted; "" for the base alone.

    Yields:
        The requirements of the base and of the extra; some more than once.
    """
    pending, seen = ["", extra], set()
    while pending:
        current = pending.pop()
        if current in seen:
            continue
        seen.add(current)
        for requirement in requirements:
            if requirement.marker and not requirement.marker.evaluate(
                {"extra": current}
            ):
                continue
            if canonicalize_name(requirement.name) == name:
                pending += requirement.extras
            else:
                yield requirement


def main():
    """Print one requirement to a line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--extra", default="", metavar="NAME")
    parser.add_argument("--without", nargs="*", default=[], metavar="NAME")
    arguments = parser.parse_args()
    name, requirements = read_requirements(arguments.wheel)
    left_out = {canonicalize_name(other) for other in arguments.without}
    selected = {
        canonicalize_name(requirement.name): requirement
        for requirement in select(name, requirements, arguments.extra)
    }
    if unknown := left_out - selected.keys():
        sys.exit(f"{arguments.wheel.name} does not need {', '.join(sorted(unknown))}")
    for other in sorted(selected.keys() - left_out):
        selected[other].marker = None
        print(selected[other])


if __name__ == "__main__":
    main()

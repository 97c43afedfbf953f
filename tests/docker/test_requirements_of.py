"""What `docker/requirements_of.py` prints for wheels."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "docker/requirements_of.py"
METADATA = """\
Metadata-Version: 2.1
Name: Some.Package
Version: 1.0
Requires-Dist: Heavy>=3
Requires-Dist: numpy>=1.26
Requires-Dist: old; python_version < "3"
Provides-Extra: serve
Requires-Dist: some-package[inner]; extra == "serve"
Requires-Dist: web[standard]!=2.0,>=1.5; extra == "serve"
Requires-Dist: loop>=0.2; sys_platform != "none" and extra == "serve"
Requires-Dist: elsewhere; sys_platform == "none" and extra == "serve"
Provides-Extra: inner
Requires-Dist: engine==2.1; extra == "inner"
Requires-Dist: some_package[serve]; extra == "inner"
Provides-Extra: test
Requires-Dist: checker; extra == "test"

A description with Requires-Dist: nothing
"""


@pytest.fixture
def run(tmp_path):
    wheel = tmp_path / "some_package-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some_package/x.dist-info/METADATA", "Name: another")
        archive.writestr("some_package-1.0.dist-info/METADATA", METADATA)

    def run(*arguments):
        return subprocess.run(
            [sys.executable, SCRIPT, wheel, *arguments],
            capture_output=True,
            text=True,
            timeout=30,
        )

    return run


def test_base(run):
    assert run().stdout.splitlines() == ["Heavy>=3", "numpy>=1.26"]


def test_extra_that_names_another_and_itself(run):
    assert run("--extra", "serve").stdout.splitlines() == [
        "engine==2.1",
        "Heavy>=3",
        "loop>=0.2",
        "numpy>=1.26",
        "web[standard]!=2.0,>=1.5",
    ]


def test_leaves_out_by_any_spelling(run):
    found = run("--extra", "serve", "--without", "HEAVY", "numpy").stdout.splitlines()
    assert found == ["engine==2.1", "loop>=0.2", "web[standard]!=2.0,>=1.5"]


def test_refuses_to_leave_out_what_is_not_needed(run):
    # A name that was misspelt, or a dependency that is gone.
    result = run("--without", "heavier")
    assert result.returncode == 1
    assert "does not need heavier" in result.stderr
    assert not result.stdout

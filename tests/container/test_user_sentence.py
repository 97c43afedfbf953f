"""What a user trains and exports, mounted by compose and asked with curl."""

import re
import subprocess

import pytest

from kerasbnn.datasets import load_digits
from tests.container.engine import Project
from tests.helpers.processes import ROOT, run_python

ACCEPTANCE = ROOT / "tests/acceptance"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The folder in which the user has trained and exported."""
    folder = tmp_path_factory.mktemp("work")
    printed = run_python(ACCEPTANCE / "user_sentence.py", folder=folder)
    assert re.search(r"val_accuracy: 0\.9", printed), printed
    # A folder of `mkdir` can be read by all, one of pytest by its user alone.
    for path in (folder, *folder.parents):
        if "pytest" in str(path):
            path.chmod(0o755)
    return folder


def test_serves_what_a_user_has_exported(image, work):
    label = load_digits().y_test[0]
    with Project("kerasbnn-test-own", MODEL_DIR=str(work / "models")) as project:
        layers = ("first", "last")
        asked = subprocess.run(
            [ACCEPTANCE / "ask_service.sh", project.address, work / "digit.png"]
            + [str(label), *layers],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert f"predicted: {label}" in asked.stdout
    assert "live, r by layer" in asked.stdout


@pytest.mark.parametrize("files", [[], ["--file", "docker/compose.yaml"]])
def test_a_relative_folder_is_one_of_where_the_file_lies(files):
    project = Project("kerasbnn-test-relative", MODEL_DIR="models")
    mounted = re.search(r"source: (.*)", project.compose(*files, "config"))[1]
    assert mounted == str(ROOT / ("docker/models" if files else "models"))

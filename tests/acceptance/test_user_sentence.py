"""From `from kerasbnn import QuantDense` to predictions and geometry over REST."""

import re
import subprocess
from pathlib import Path

import keras
import pytest

from kerasbnn.datasets import load_digits
from tests.helpers.processes import ROOT, run_python
from tests.helpers.services import served

FOLDER = Path(__file__).parent
ASK = FOLDER / "ask_service.sh"

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="does not depend on the backend"
)


def ask(*arguments):
    """Run the script that asks; return its status and what it printed."""
    done = subprocess.run(
        [ASK, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The folder in which the user has trained and exported."""
    folder = tmp_path_factory.mktemp("work")
    printed = run_python(FOLDER / "user_sentence.py", folder=folder)
    accuracy = float(re.findall(r"val_accuracy: ([\d.]+)", printed)[-1])
    assert accuracy > 0.9, printed
    return folder


@pytest.fixture(scope="module")
def label():
    return load_digits().y_test[0]


def test_a_trained_network_answers_over_rest(work, label):
    with served("serve", "models", folder=work) as url:
        status, printed = ask(url, work / "digit.png", label, "first", "last")
    assert status == 0, printed
    assert f"predicted: {label} score" in printed
    assert "at the export, r by layer: {'first': 0." in printed
    assert "live, r by layer: {'first': 0." in printed


def test_without_a_folder_the_packaged_digits_answer(work, label):
    layers = ("conv_1", "conv_2", "conv_3", "logits")
    with served("serve", folder=work) as url:
        status, printed = ask(url, work / "digit.png", label, *layers)
        assert status == 0, printed
        # What is not so is noticed.
        for wrong in ((label + 1, *layers), (label, *layers[1:])):
            status, printed = ask(url, work / "digit.png", *wrong)
            assert status != 0, printed
        no_image = ROOT / "pyproject.toml"
        status, printed = ask(url, no_image, label, *layers)
        assert status != 0
        assert "neither PNG nor JPEG" in printed

"""Who imports what first: `tf.keras` and the environment stay what the user has."""

import itertools
import json
import os

import keras
import pytest

from tests.helpers.modules import HAS_TFMOT
from tests.helpers.processes import run_python
from tests.tfmot import import_orders

pytestmark = [
    pytest.mark.skipif(
        not HAS_TFMOT,
        reason='needs tensorflow-model-optimization: pip install "kerasbnn[tfmot]"',
    ),
    pytest.mark.skipif(
        keras.backend.backend() != "tensorflow",
        reason="orders in which a second backend comes are not among these",
    ),
]
OURS, THEIRS = "kerasbnn.tfmot", "tensorflow_model_optimization"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
@pytest.mark.parametrize("first", import_orders.STEPS)
def test_every_order(first, tmp_path):
    file = tmp_path / "orders.jsonl"
    run_python("-m", import_orders.__name__, file, first, folder=tmp_path)
    reports = [json.loads(line) for line in file.read_text().splitlines()]
    orders = sorted(report["order"] for report in reports)
    every = map(list, itertools.permutations(import_orders.STEPS))
    assert orders == sorted(order for order in every if order[0] == first)
    for report in reports:
        place = {step: i for i, step in enumerate(report["order"])}
        # Where TFMOT was first imported by the user it has set the variable, and has
        # decided about `tf.keras` if nothing had before.
        is_users_doing = place[THEIRS] < place[OURS]
        is_flipped = is_users_doing and place[THEIRS] < place["tensorflow"]
        expected = "1" if is_users_doing else None
        assert report["environment"] == report["at the end"] == expected, report
        assert report["inherited"] == (expected or "unset"), report
        assert report["tf.keras"] == ("tf_keras" if is_flipped else "keras"), report
        assert report["keras"] == "keras", report
        assert report["version"].startswith("3."), report
        assert report["signs"] == [1.0], report
        is_last = report["order"][-1] == OURS
        assert report["carried over"] == ("keras" if is_last else None), report


SET = """
import os
import kerasbnn.tfmot
kerasbnn.tfmot.BinaryQuantizer
import tensorflow as tf, keras
print(os.environ["TF_USE_LEGACY_KERAS"], tf.keras.Model.__module__.split(".")[0])
print(keras.__version__)
"""


@pytest.mark.parametrize(("value", "expected"), [("1", "tf_keras"), ("0", "keras")])
def test_a_variable_that_was_set_stays(value, expected, tmp_path):
    printed = run_python("-c", SET, folder=tmp_path, TF_USE_LEGACY_KERAS=value)
    first, version = printed.splitlines()[-2:]
    assert first == f"{value} {expected}"
    assert version.startswith("3.")


MISSING = """
import sys
for name in sys.argv[1].split(","):
    sys.modules[name] = None  # As if it were not installed.
import os, keras, kerasbnn, kerasbnn.tfmot
for name in ("BinaryQuantizer", "BinaryQuantizeConfig", "load_model", "WeightClip"):
    try:
        getattr(kerasbnn.tfmot, name)
    except ImportError as error:
        print(error)
kerasbnn.tfmot.LastValueQuantizer, kerasbnn.tfmot.TranslationError
try:
    kerasbnn.tfmot.from_tfmot(keras.Sequential())
except TypeError as error:
    print("TypeError")
print(os.environ.get("TF_USE_LEGACY_KERAS"))
"""


@pytest.mark.parametrize("missing", ["tensorflow_model_optimization", "tf_keras"])
def test_what_is_missing_is_said_with_the_command_that_installs_it(missing, tmp_path):
    printed = run_python("-c", MISSING, missing, folder=tmp_path).splitlines()
    assert printed[-2:] == ["TypeError", "None"]
    assert len(printed[:-2]) == 4
    for line in printed[:-2]:
        assert "kerasbnn.tfmot needs tensorflow-model-optimization" in line
        assert missing in line
        assert 'pip install "kerasbnn[tfmot]"' in line

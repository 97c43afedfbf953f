"""The code of docs/from-larq.md runs."""

import re

import keras

from tests.helpers.processes import ROOT, run_python


def test_the_example_runs_and_saves_signs(tmp_path):
    text = (ROOT / "docs" / "from-larq.md").read_text()
    (code,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    check = """
import numpy as np
again = keras.models.load_model("binary.keras")
assert set(np.unique(again.layers[0].get_weights()[0])) == {-1, 1}
print("done")
"""
    backend = keras.backend.backend()
    printed = run_python("-c", code + check, folder=tmp_path, KERAS_BACKEND=backend)
    assert "Ratio of MACs that are binarized" in printed
    assert printed.splitlines()[-1] == "done"

"""The code of docs/tfmot.md runs, and prints what the page says."""

import re

import pytest

from tests.helpers.modules import HAS_TFMOT
from tests.helpers.processes import ROOT, run_python

FENCE = r"^```{}\n(.*?)^```$"


@pytest.mark.skipif(
    not HAS_TFMOT,
    reason='needs tensorflow-model-optimization: pip install "kerasbnn[tfmot]"',
)
def test_the_example_prints_what_it_says(tmp_path):
    text = (ROOT / "docs" / "tfmot.md").read_text()
    python, said = (
        re.findall(FENCE.format(language), text, re.MULTILINE | re.DOTALL)
        for language in ("python", "text")
    )
    printed = run_python("-c", "".join(python), folder=tmp_path).splitlines()[-4:]
    said = "".join(said[:2]).splitlines()
    assert len(said) == 4
    # What training leads to differs a little from processor to processor.
    assert float(printed[0]) == pytest.approx(float(said[0]), abs=0.02)
    assert float(printed[2].split()[0]) == pytest.approx(
        float(said[2].split()[0]), abs=1
    )
    assert printed[1::2] == said[1::2]

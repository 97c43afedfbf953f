"""Every example in a docstring runs, by itself, and prints what it says."""

import doctest
import importlib

import keras
import pytest

from tests.helpers.modules import HAS_TFMOT, SHOWS_TFMOT, all_modules

MODULES = sorted(
    module.name for module in all_modules() if not module.name.endswith("__main__")
)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="examples may print what is particular to TensorFlow, such as its shapes",
)
@pytest.mark.parametrize("name", ["kerasbnn", *MODULES])
def test_examples(name, tmp_path, monkeypatch):
    # Examples that write files do so in the current folder.
    monkeypatch.chdir(tmp_path)
    if name in SHOWS_TFMOT and not HAS_TFMOT:
        pytest.skip("the examples need tensorflow-model-optimization")
    module = importlib.import_module(name)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    # Without the module's own names an example has to import what it uses.
    for example in finder.find(module, name, globs={}):
        keras.utils.set_random_seed(0)
        runner.run(example)
    assert runner.summarize(verbose=False).failed == 0

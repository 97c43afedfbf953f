"""What all tests share: fixed seeds, and a clean state of Keras for each test."""

import os
import random
import sys

import hypothesis
import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Where several processes test, pytest-xdist sets it; tables follow it.
os.environ.pop("COLUMNS", None)

# The same examples in every run, and no limit on the time of one: the first call of an
# operation compiles it.
hypothesis.settings.register_profile(
    "kerasbnn", derandomize=True, deadline=None, database=None, max_examples=30
)
hypothesis.settings.load_profile("kerasbnn")


@pytest.fixture(autouse=True)
def _fixed_seeds():
    random.seed(0)
    # Keras draws its own seeds from these.
    np.random.seed(0)  # noqa: NPY002
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _clean_keras_state():
    """Undo global settings, without loading Keras for the tests that need none."""
    yield
    if "keras" in sys.modules:
        keras = sys.modules["keras"]
        keras.utils.clear_session(free_memory=False)
        keras.config.set_dtype_policy("float32")
        keras.config.set_image_data_format("channels_last")


@pytest.fixture(autouse=True)
def _warning_of_starving_comes_again(monkeypatch):
    """Let every test see the warning that a process gives once."""
    module = sys.modules.get("kerasbnn.layers.base")
    if module is not None:
        monkeypatch.setattr(module, "_has_warned_of_starving", False)


@pytest.fixture
def rng():
    """A numpy generator with a fixed seed."""
    return np.random.default_rng(0)

"""What real Larq has computed; `make_fixtures.py` has written it."""

import json
import os
from functools import cache
from pathlib import Path

import numpy as np

# CI computes it anew.
FOLDER = Path(os.environ.get("KERASBNN_TEST_LARQ_FIXTURES", Path(__file__).parent))


@cache
def arrays():
    """Arrays by path."""
    with np.load(FOLDER / "fixtures.npz") as file:
        return dict(file)


def under(prefix):
    """Arrays whose path begins with this, by the rest of it."""
    found = {
        path.removeprefix(f"{prefix}/"): value
        for path, value in arrays().items()
        if path.startswith(f"{prefix}/")
    }
    assert found, prefix
    return found


def row(found, name):
    """The arrays `name0`, `name1` and so on."""
    count = sum(key.startswith(name) and key[len(name) :].isdigit() for key in found)
    return [found[f"{name}{i}"] for i in range(count)]


@cache
def content(name):
    """The content of one of the JSON files."""
    return json.loads((FOLDER / f"{name}.json").read_text())

"""Servers of small models for the tests of the protocol."""

from types import SimpleNamespace

import pytest

from kerasbnn.runtime import Interpreter
from kerasbnn.serve.models.datatypes import DTYPES
from tests.helpers.served_models import flattening_model, write_model

LIMIT = 100_000

CLASSES = [f"class {i}" for i in range(6)]


@pytest.fixture(scope="session")
def small_models(tmp_path_factory):
    """Return the folder of some models, and their interpreters by name."""
    folder = tmp_path_factory.mktemp("models")
    contents = {
        "row": flattening_model({"x": ("FP32", (-1, 4))}),
        "classes": flattening_model({"x": ("FP32", (-1, 2, 3))}),
        "all": flattening_model({n.lower(): (n, (-1, 2, 3)) for n in DTYPES}),
        "fixed": flattening_model({"x": ("INT32", (3, 2)), "y": ("BOOL", (3, 5))}),
    }
    for name, content in contents.items():
        labels = CLASSES if name == "classes" else None
        write_model(folder, content, name, "1", labels)
    write_model(folder, flattening_model({"x": ("FP32", (-1, 5))}), "row", "2")
    write_model(folder, flattening_model({"x": ("FP32", (-1, 6))}), "row", "10")
    interpreters = {name: Interpreter(content) for name, content in contents.items()}
    return SimpleNamespace(folder=folder, interpreters=interpreters)


@pytest.fixture(scope="session")
def small_server(small_models, serve_folder):
    """Return the address of a server of them, with small limits."""
    limits = {"max_body": LIMIT, "max_decompressed_body": LIMIT, "max_rows": 64}
    with serve_folder(
        model_dir=small_models.folder, body_timeout=2, **limits
    ) as address:
        yield address

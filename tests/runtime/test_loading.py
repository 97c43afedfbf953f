"""What `kerasbnn.runtime` loads: numpy and LiteRT, and never Keras."""

import json

import pytest

from tests.helpers.processes import run_python

HEAVY = {"keras", "tensorflow", "jax", "torch", "rich", "scipy", "matplotlib"}
LOADED = """
loaded = {name.partition(".")[0] for name in sys.modules}
print(json.dumps(sorted(loaded - set(sys.stdlib_module_names))))
"""


@pytest.mark.parametrize(
    "first",
    [
        "import kerasbnn; Interpreter = kerasbnn.Interpreter",
        "from kerasbnn import Interpreter",
        "from kerasbnn.runtime import Interpreter",
        "import kerasbnn.runtime as runtime; Interpreter = runtime.Interpreter",
    ],
)
def test_it_runs_without_keras(first, tmp_path):
    code = f"""
import json, sys, warnings
warnings.simplefilter("ignore")
{first}
from kerasbnn.runtime import self_test, status
values = self_test.values()
model = Interpreter(self_test.content())
model.predict([values["x"], values["residual_2"]])
str(status())
"""
    printed = run_python("-c", code + LOADED, folder=tmp_path)
    loaded = set(json.loads(printed.splitlines()[-1]))
    assert {"kerasbnn", "numpy", "ai_edge_litert"} <= loaded
    assert not HEAVY & loaded


def test_importing_loads_neither_numpy_nor_litert(tmp_path):
    code = "import json, sys; import kerasbnn.runtime; dir(kerasbnn.runtime)"
    loaded = json.loads(run_python("-c", code + LOADED, folder=tmp_path))
    assert not (HEAVY | {"numpy", "ai_edge_litert"}) & set(loaded)


MISSING_CODE = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import kerasbnn

status = kerasbnn.runtime.status()
assert status.implementation is None, status
assert "install" in status.advice, status
messages = []
for owner in (kerasbnn, kerasbnn.runtime):
    try:
        owner.Interpreter
    except ImportError as error:
        messages.append(str(error))
print(json.dumps(messages))
"""


@pytest.mark.parametrize("missing", ["ai_edge_litert", "flatbuffers"])
def test_without_litert_the_line_that_installs_it_is_named(missing, tmp_path):
    messages = json.loads(run_python("-c", MISSING_CODE, missing, folder=tmp_path))
    assert len(messages) == 2
    for message in messages:
        assert f"'{missing}" in message
        assert 'pip install "kerasbnn[runtime]"' in message


def test_unknown_names_are_refused():
    from kerasbnn import runtime

    assert set(runtime.__all__) <= set(dir(runtime))
    with pytest.raises(AttributeError, match="no attribute 'Interpretor'"):
        _ = runtime.Interpretor

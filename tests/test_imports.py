"""What `import kerasbnn` loads, and that every order of imports works."""

import importlib
import json
import os
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

import kerasbnn
from tests.helpers.modules import HAS_TFMOT, all_modules
from tests.helpers.processes import ROOT, run_python

BACKENDS = ("tensorflow", "jax", "torch")
BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
MODULES = [
    found.name
    for found in all_modules()
    if found.name.count(".") == 1 and not found.name.startswith("kerasbnn._")
]


def run_code(code, *arguments, folder):
    """Run code in a process of its own and return its last line of output, JSON."""
    printed = run_python("-c", code, *arguments, folder=folder, KERAS_BACKEND=BACKEND)
    return json.loads(printed.splitlines()[-1])


LOADED = """
import json, sys
loaded = {name.partition(".")[0] for name in sys.modules}
print(json.dumps(sorted(loaded - set(sys.stdlib_module_names))))
"""


def test_the_package_alone_loads_nothing_heavy(tmp_path):
    code = "import kerasbnn; dir(kerasbnn); kerasbnn.__version__;" + LOADED
    loaded = run_code(code, folder=tmp_path)
    assert "kerasbnn" in loaded
    assert not {"keras", "numpy", "rich", *BACKENDS} & set(loaded)


@pytest.mark.parametrize(
    "first", ["from kerasbnn import geometry", "import kerasbnn.geometry as geometry"]
)
def test_the_geometry_never_loads_keras(first, tmp_path):
    use = "geometry.binarization_angle_degrees([[1.0], [2.0]])"
    use += "; geometry.expected_angle_degrees(27)"
    loaded = run_code(f"{first}; {use};" + LOADED, folder=tmp_path)
    assert {"kerasbnn", "numpy"} <= set(loaded)
    assert not {"keras", "rich", "scipy", "matplotlib", *BACKENDS} & set(loaded)


def test_the_service_never_loads_keras(tmp_path):
    code = """
import asyncio, httpx
from kerasbnn.serve import Settings, create_app

async def ask():
    transport = httpx.ASGITransport(create_app(Settings()))
    async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
        inputs = {"name": "x", "shape": [1, 8, 8, 1], "datatype": "FP32"}
        inputs["data"] = [0.0] * 64
        answer = await client.get("/v2/models/digits")
        inputs["name"] = answer.json()["inputs"][0]["name"]
        body = {"inputs": [inputs]}
        answer = await client.post("/v2/models/digits/infer", json=body)
        assert answer.status_code == 200, answer.text
        assert (await client.get("/")).status_code == 200

asyncio.run(ask())
"""
    loaded = run_code(code + LOADED, folder=tmp_path)
    assert {"kerasbnn", "fastapi", "numpy"} <= set(loaded)
    assert not {"keras", "scipy", "matplotlib", "sklearn", *BACKENDS} & set(loaded)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_command_line_answers_without_keras(option, tmp_path):
    code = f"""
from kerasbnn import cli
try:
    cli.main(["{option}"])
except SystemExit as end:
    assert end.code in (0, None), end.code
"""
    loaded = run_code(code + LOADED, folder=tmp_path)
    assert not {"keras", "numpy", *BACKENDS} & set(loaded)


def test_the_public_names():
    assert set(dir(kerasbnn)) >= set(kerasbnn.__all__)
    assert kerasbnn.__all__ == sorted(kerasbnn.__all__)
    for name in kerasbnn.__all__:
        assert getattr(kerasbnn, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'QuantDens'"):
        _ = kerasbnn.QuantDens
    assert not hasattr(kerasbnn, "audit_everything")
    with pytest.raises(ImportError, match="cannot import name 'QuantDens'"):
        exec("from kerasbnn import QuantDens", {})


# Leaves one line of JSON per import order: the outputs of the model that was saved and
# the names that Keras knows, or the traceback.
ORDERS_CODE = """
import contextlib, importlib, json, os, sys, traceback

path, inputs, orders = sys.argv[1], json.loads(sys.argv[2]), json.loads(sys.argv[3])
# All that takes time is imported once, before the processes part. TensorFlow imports
# Keras by itself unless it is told that another one is used.
os.environ["TF_USE_LEGACY_KERAS"] = "1"
for name in (os.environ["KERAS_BACKEND"], "sklearn.base", "matplotlib.pyplot"):
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
del os.environ["TF_USE_LEGACY_KERAS"]
assert not {"keras", "kerasbnn"} & set(sys.modules)

def report(order):
    exec(order, {})
    import keras
    known = sorted(n for n in keras.saving.get_custom_objects() if "kerasbnn>" in n)
    model = keras.saving.load_model(path)
    outputs = keras.ops.convert_to_numpy(model(keras.ops.array(inputs))).tolist()
    return {"known": known, "outputs": outputs}

reports = {}
for order in orders:
    here, there = os.pipe()
    if os.fork() == 0:
        try:
            text = report(order)
        except BaseException:
            text = {"error": traceback.format_exc()}
        with os.fdopen(there, "w") as pipe:
            json.dump(text, pipe)
        os._exit(0)
    os.close(there)
    with os.fdopen(here) as pipe:
        reports[order] = json.loads(pipe.read() or '{"error": "the process died"}')
    os.wait()
print(json.dumps(reports))
"""


@pytest.mark.skipif(
    not hasattr(os, "fork"), reason="needs fork to start many processes"
)
def test_a_saved_model_loads_after_any_import_order(tmp_path):
    import keras

    keras.utils.set_random_seed(0)
    binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    model = keras.Sequential(
        [
            keras.Input((5,)),
            kerasbnn.QuantDense(4, **binary),
            kerasbnn.QuantDense(
                3, input_quantizer="ste_sign", metrics=["flip_ratio"], **binary
            ),
        ]
    )
    path = tmp_path / "model.keras"
    model.save(path)
    inputs = np.random.default_rng(0).normal(size=(2, 5)).round(3)
    expected = keras.ops.convert_to_numpy(model(inputs))

    orders = [
        "import kerasbnn, keras",
        "import keras, kerasbnn",
        "from kerasbnn import *",
        "from kerasbnn import QuantDense",
        "import kerasbnn.geometry, keras",
        "import kerasbnn.layers.dense, kerasbnn.quantizers",
        "import kerasbnn.quantizers.sign, kerasbnn.geometry",
        *(f"import {module}" for module in MODULES),
    ]
    reports = run_code(
        ORDERS_CODE,
        path,
        json.dumps(inputs.tolist()),
        json.dumps(orders),
        folder=tmp_path,
    )
    assert list(reports) == orders
    errors = {order: r["error"] for order, r in reports.items() if "error" in r}
    assert not errors, "\n".join(
        f"{order}:\n{error}" for order, error in errors.items()
    )
    for order, report in reports.items():
        np.testing.assert_allclose(
            report["outputs"], expected, rtol=1e-5, err_msg=order
        )
    # Importing Keras and kerasbnn is enough for Keras to know all that we register.
    for found in all_modules():
        importlib.import_module(found.name)
    registered = {
        name
        for name, what in keras.saving.get_custom_objects().items()
        if name.startswith("kerasbnn>") and what.__module__.startswith("kerasbnn")
    }
    assert registered
    for order, report in reports.items():
        assert registered <= set(report["known"]), order


BLOCKED_CODE = """
import json, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == sys.argv[1]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import kerasbnn
import kerasbnn.geometry

messages = []
for name in ("QuantDense", "QuantDense", "quantizers"):
    try:
        getattr(kerasbnn, name)
    except ImportError as error:
        messages.append([type(error).__name__, str(error)])
print(json.dumps(messages))
"""


@pytest.mark.parametrize("missing", ["keras", BACKEND])
def test_what_is_missing_is_named_with_the_line_that_installs_it(missing, tmp_path):
    messages = run_code(BLOCKED_CODE, missing, folder=tmp_path)
    assert len(messages) == 3
    for name, (kind, message) in zip(
        ("QuantDense", "QuantDense", "quantizers"), messages, strict=True
    ):
        assert kind == "ImportError"
        assert f"kerasbnn.{name} needs" in message
        assert f"{missing!r} is not installed" in message
        assert 'pip install "kerasbnn[tensorflow]"' in message


# What these export are modules; kerasbnn.larq has those of Larq.
NAMESPACES = ("kerasbnn", "kerasbnn.larq")


def test_no_module_bears_the_name_of_something_its_package_exports():
    # Importing such a module would put it in the place of the function.
    found = all_modules()
    packages = ["kerasbnn", *(item.name for item in found if item.ispkg)]
    assert {"kerasbnn.layers", "kerasbnn.quantizers", "kerasbnn.geometry"} <= {
        *packages
    }
    for item in found:
        parent, _, name = item.name.rpartition(".")
        package = importlib.import_module(parent)
        module = importlib.import_module(item.name)
        assert getattr(package, name) is module, item.name
        if parent not in NAMESPACES:
            assert name not in getattr(package, "__all__", ()), item.name
    others = [package for package in packages if package not in NAMESPACES]
    for package in map(importlib.import_module, others):
        if package.__name__ == "kerasbnn.tfmot" and not HAS_TFMOT:
            continue
        for name in getattr(package, "__all__", ()):
            assert not isinstance(getattr(package, name), types.ModuleType), name


PLANTS = {
    "geometry/theory/signs.py": ("import keras", "The geometry needs numpy"),
    "geometry/angles.py": ("import kerasbnn._checks", "lines below its own"),
    "geometry/report.py": ("import matplotlib", "The geometry needs numpy"),
    "runtime/pool.py": ("import keras", "The runtime and the reading of probes need"),
    "runtime/interpreter.py": (
        "import tensorflow",
        "The runtime and the reading of probes need",
    ),
    "probing/reading.py": (
        "import keras",
        "The runtime and the reading of probes need",
    ),
    "quantizers/base.py": ("from kerasbnn import layers", "lines below its own"),
    "../serve/gate.py": ("import keras", "The service needs neither Keras"),
    "../serve/geometry/monitor.py": (
        "from kerasbnn.auditing import audit",
        "The service needs neither Keras",
    ),
    "../serve/models/served_model.py": ("import scipy", "The service needs neither"),
}


@pytest.mark.parametrize("file", [None, *PLANTS])
def test_the_import_contracts_hold_and_can_break(file, tmp_path):
    for folder in ("kerasbnn", "serve"):
        shutil.copytree(
            ROOT / folder,
            tmp_path / folder,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    if file is not None:
        planted = tmp_path / "kerasbnn" / file
        planted.write_text(f"{planted.read_text()}\n{PLANTS[file][0]}\n")
    result = subprocess.run(
        [
            sys.executable,
            ROOT / ".ci" / "lint_imports.py",
            "--no-cache",
        ],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    broken = [line for line in result.stdout.splitlines() if " BROKEN" in line]
    if file is None:
        assert (result.returncode, broken) == (0, []), result.stdout
    else:
        assert result.returncode != 0
        assert any(PLANTS[file][1] in line for line in broken), result.stdout

"""How the native delegate is found, tested, and done without."""

import json
import re
import warnings

import numpy as np
import pytest
from ai_edge_litert.interpreter import load_delegate

from kerasbnn.runtime import (
    DelegateError,
    Interpreter,
    delegate,
    delegate_path,
    self_test,
    status,
)
from kerasbnn.runtime.composites import BITS, FLOAT, SIGN_OF_FLOAT
from tests.helpers.delegates import build_stub, needs_delegate
from tests.helpers.foreign_models import sum_model
from tests.helpers.processes import run_python
from tests.helpers.tflite_models import run
from tests.runtime import make_self_test


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """The only place where the delegate is looked for, in a process that is new."""
    monkeypatch.setattr(delegate, "_folders", lambda: [tmp_path])
    monkeypatch.setattr(delegate, "_loaded", None)
    monkeypatch.setattr(delegate, "_has_warned", False)
    monkeypatch.delenv(delegate.FORCE, raising=False)
    return tmp_path


def runs_without_delegate(match):
    """Check that files run, with one warning."""
    values = self_test.values()
    inputs = {name: values[name] for name in ("x", "residual_2")}
    with pytest.warns(UserWarning, match=match) as caught:
        model = Interpreter(self_test.content())
    assert [warning.filename for warning in caught] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Interpreter(self_test.content()).delegated == ()
    assert model.delegated == ()
    for name, found in model.predict(inputs).items():
        np.testing.assert_array_equal(found, values[name], err_msg=name)
    assert delegate.load_if_usable() is None
    assert delegate.implementation() is None


def test_without_the_library(folder):
    with pytest.raises(DelegateError, match=r"not installed.*C\+\+ compiler.*pip"):
        delegate_path()
    runs_without_delegate("several times slower.*is not installed.*compiler")
    found = status()
    assert (found.implementation, found.library) == (None, None)
    assert found.self_test == "not run"
    assert "compiler" in found.advice
    assert "not installed" in str(found)


def test_no_warning_where_the_delegate_is_of_no_use(folder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Interpreter(sum_model())
        Interpreter(self_test.content(), delegate=False)


def test_a_library_that_does_not_load(folder):
    (folder / f"{delegate.LIBRARY}.so").write_bytes(b"not a library")
    runs_without_delegate("does not load")
    found = status()
    assert found.library == str(folder / f"{delegate.LIBRARY}.so")
    assert "does not load" in found.reason


def test_a_delegate_that_takes_nothing_fails_its_test(folder):
    path = build_stub(folder, f"{delegate.LIBRARY}.so")
    assert delegate_path() == str(path.resolve())
    runs_without_delegate("'generic'.*failed its test.*does not compute layer 'y_0'")
    found = status()
    assert (found.implementation, found.self_test) == (None, "failed")
    assert found.available == ("generic",)
    assert "report" in found.advice


def test_a_forced_implementation_never_falls_back(folder, monkeypatch):
    monkeypatch.setenv(delegate.FORCE, "sse9")
    # Without the library, with one that does not know it, and with one that fails.
    for stub, match in (
        (False, "is not installed"),
        (True, "unknown implementation"),
    ):
        monkeypatch.setattr(delegate, "_loaded", None)
        if stub:
            build_stub(folder, f"{delegate.LIBRARY}.so")
        with pytest.raises(DelegateError, match=f"{delegate.FORCE}=sse9.*{match}"):
            Interpreter(self_test.content())
        assert status().forced == "sse9"
        assert status().implementation is None
    monkeypatch.setenv(delegate.FORCE, "generic")
    monkeypatch.setattr(delegate, "_loaded", None)
    with pytest.raises(DelegateError, match="failed its test"):
        Interpreter(self_test.content())
    # What needs no delegate runs.
    Interpreter(self_test.content(), delegate=False)
    Interpreter(sum_model())


def test_the_status_is_of_plain_values():
    found = status()
    values = json.loads(json.dumps(found.to_dict()))
    assert values["litert"] == found.litert
    assert re.fullmatch(r"\d+\.\d+.*", found.litert)
    for key in ("implementation", "self-test", "library", "ai-edge-litert"):
        assert re.search(f"^{key} ", str(found), re.M)


def test_the_small_file_is_of_every_kind():
    file = self_test.read_model_file(self_test.content(), "it")
    layers = [placed.composite for placed in file.composites]
    assert layers == make_self_test.LAYERS
    assert {layer.pad_value for layer in layers if layer.same} == {-1, 0, 1}
    assert {layer.input for layer in layers} == {BITS, SIGN_OF_FLOAT, FLOAT}
    assert {layer.weight_bits for layer in layers} == {1, 2}
    assert {layer.pool_first for layer in layers if layer.is_pooled} == {0, 1}


def test_the_small_file_is_what_its_script_makes():
    content, values = make_self_test.make()
    stored = self_test.values()
    assert list(stored) == list(values)
    for name, array in values.items():
        np.testing.assert_array_equal(stored[name], array, err_msg=name)
    made, found = (
        self_test.read_model_file(file, "it").composites
        for file in (content, self_test.content())
    )
    for one, other in zip(made, found, strict=True):
        for mine, theirs in zip(one.constants, other.constants, strict=True):
            np.testing.assert_array_equal(mine, theirs)


@needs_delegate
def test_the_delegate_computes_every_layer():
    found = status()
    assert (found.self_test, found.library) == ("passed", delegate_path())
    assert found.implementation in found.available
    model = Interpreter(self_test.content())
    assert model.delegated == model.composites


@needs_delegate
def test_the_delegate_in_the_interpreter_of_litert():
    values = self_test.values()
    inputs = {name: values[name] for name in ("x", "residual_2")}
    loaded = load_delegate(delegate_path())
    for name, found in run(self_test.content(), inputs, [loaded]).items():
        np.testing.assert_array_equal(found, values[name], err_msg=name)


@needs_delegate
@pytest.mark.parametrize("number", range(6))
def test_wrong_numbers_of_the_delegate_are_found(number, monkeypatch):
    values = self_test.values()
    values[f"y_{number}"] = values[f"y_{number}"].copy()
    values[f"y_{number}"].flat[0] += 1
    monkeypatch.setattr(self_test, "values", lambda: values)
    failure = self_test.failure_of(delegate.load_if_usable())
    assert failure is not None
    assert re.search(rf"^1 of \d+ values of 'y_{number}' are wrong", failure)


FORCED_CODE = """
import sys
from kerasbnn.runtime import DelegateError, Interpreter, self_test, status
try:
    print(Interpreter(self_test.content()).delegated)
except DelegateError as error:
    print("refused:", error)
print(status())
"""


@needs_delegate
def test_implementations_can_be_forced(tmp_path):
    for name in status().available:
        printed = run_python(
            "-c", FORCED_CODE, folder=tmp_path, **{delegate.FORCE: name}
        )
        assert "refused" not in printed
        assert re.search(rf"^implementation +{name}$", printed, re.M)
    printed = run_python("-c", FORCED_CODE, folder=tmp_path, **{delegate.FORCE: "sse9"})
    assert re.search(
        "^refused: .*no implementation 'sse9'.*there is .*generic", printed
    )

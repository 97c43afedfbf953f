"""Damaged and foreign files: an error in words, and never a crash."""

import json
import sys
import textwrap

import numpy as np
import pytest
from flatbuffers import flexbuffers

from kerasbnn.runtime import Interpreter, ModelError, self_test
from kerasbnn.tflite.graph import Graph
from tests.helpers.processes import run_python

CONTENT = self_test.content()


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "(is|are) empty"),
        (b"PK\x03\x04" + bytes(50), r"not a \.tflite file but a \.keras file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(50), "but an HDF5 file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
        (bytes(100), "Expected 'TFL3' at bytes 4 to 7"),
        (b"\x1c\0\0\0TFL3", "damaged or cut short"),
    ],
)
def test_other_files_are_named(content, match, tmp_path):
    with pytest.raises(ModelError, match=match):
        Interpreter(content)
    path = tmp_path / "file.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"file\.tflite") as caught:
        Interpreter(path)
    assert isinstance(caught.value, ValueError)


def with_attributes(**changes):
    """Return the small file with other attributes of its first composite."""
    graph = Graph(CONTENT)
    options = graph.subgraphs[0].raw.operators[0].builtinOptions2
    attributes = flexbuffers.Loads(bytes(bytearray(options.compositeAttributes)))
    attributes |= changes
    kept = {key: value for key, value in attributes.items() if value is not None}
    options.compositeAttributes = np.frombuffer(flexbuffers.Dumps(kept), np.uint8)
    return graph.to_bytes()


@pytest.mark.parametrize("delegate", [False, True])
@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"stride_h": 0}, "'y_0'.*`stride_h` is 0; expected 1 to"),
        ({"groups": 2}, "'y_0'.*do not split into 2 groups"),
        ({"groups": 0}, "`groups` is 0"),
        ({"pad_value": 2}, "`pad_value` is 2; expected -1 to 1"),
        ({"out_channels": -3}, "`out_channels` is -3"),
        ({"out_channels": 34}, "constant of shape"),
        ({"kernel_h": 2**40}, "`kernel_h` is"),
        ({"input": 3}, "`input` is 3"),
        ({"residual": 1}, "4 inputs and 1 outputs; expected 5 and 1"),
        ({"version": 2}, "version 2 is not known.*Install the kerasbnn"),
        ({"later": 1}, r"missing or unknown: \['later'\]"),
        ({"same": None}, r"missing or unknown: \['same'\]"),
    ],
)
def test_impossible_composites_are_refused(changes, match, delegate):
    with pytest.raises(ModelError, match=match):
        Interpreter(with_attributes(**changes), delegate=delegate)


def nested_vectors(levels):
    """Return a FlexBuffer of a vector that holds another one four times, and so on."""
    encoded = bytearray([1, 7, 1 << 2])  # A vector of one integer.
    place = 1
    for _ in range(levels):
        encoded.append(4)
        start = len(encoded)
        for _ in range(4):
            encoded.append(len(encoded) - place)
        encoded += bytes([10 << 2] * 4)
        place = start
    return bytes([*encoded, len(encoded) - place, 10 << 2, 1])


@pytest.mark.parametrize(
    ("encoded", "match"),
    [
        (nested_vectors(30), "no map of integers"),
        (flexbuffers.Dumps({"groups": [1, 2]}), "'groups' of a layer is no integer"),
        (flexbuffers.Dumps({str(i): i for i in range(257)}), "no map of integers"),
        (flexbuffers.Dumps(3), "no map of integers"),
    ],
    ids=["nested vectors", "a list", "many", "a number"],
)
def test_attributes_that_are_no_map_of_integers_are_refused(encoded, match):
    graph = Graph(CONTENT)
    options = graph.subgraphs[0].raw.operators[0].builtinOptions2
    options.compositeAttributes = np.frombuffer(encoded, np.uint8)
    with pytest.raises(ModelError, match=match):
        Interpreter(graph.to_bytes())


def test_metadata_that_is_not_json_is_refused():
    graph = Graph(CONTENT)
    graph.set_metadata("kerasbnn", b"\xff{")
    with pytest.raises(ModelError, match="metadata is not JSON"):
        Interpreter(graph.to_bytes())


FUZZ_CODE = textwrap.dedent(
    """
    import json, os, resource, sys, warnings
    import numpy as np
    from kerasbnn.runtime import Interpreter, ModelError, self_test

    # A changed size may ask for any amount of memory.
    resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
    warnings.simplefilter("ignore")
    content, rng = self_test.content(), np.random.default_rng(int(sys.argv[2]))
    Interpreter(content).close()
    values = self_test.values()
    x = [values["x"], values["residual_2"]]

    def damaged(number):
        if sys.argv[1] == "cut":
            return content[: rng.integers(8, len(content))]
        changed = bytearray(content)
        # Where the structure is: most other bytes are weights.
        for place in rng.integers(0, len(content), 1 + number % 3):
            changed[place] ^= 1 << rng.integers(8)
        return bytes(changed)

    results = {}
    for number in range(int(sys.argv[3])):
        given, (here, there) = damaged(number), os.pipe()
        if os.fork() == 0:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            try:
                model = Interpreter(given)
                model.predict(x if len(model.input_shape) == 2 else x[0])
                result = "ran"
            except (ModelError, ValueError, TypeError, MemoryError) as error:
                result = type(error).__name__
            except BaseException as error:
                result = repr(error)
            os.write(there, result.encode())
            os._exit(0)
        os.close(there)
        with os.fdopen(here) as pipe:
            result = pipe.read()
        _, status = os.wait()
        key = result if result else f"signal {os.WTERMSIG(status)}"
        results[key] = results.get(key, 0) + 1
    print(json.dumps(results))
    """
)


@pytest.mark.skipif(sys.platform != "linux", reason="needs fork and a memory limit")
@pytest.mark.parametrize(("kind", "count"), [("cut", 60), ("flip", 120)])
def test_damage_never_ends_the_process(kind, count, tmp_path):
    printed = run_python("-c", FUZZ_CODE, kind, 0, count, folder=tmp_path)
    results = json.loads(printed.splitlines()[-1])
    allowed = {"ModelError", "ValueError", "TypeError", "MemoryError"}
    if kind == "cut":
        assert results == {"ModelError": count}
    else:
        assert set(results) <= allowed | {"ran"}, results
        assert results["ModelError"] > 5

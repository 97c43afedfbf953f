"""Tests the native delegate on a small file, before anything else relies on it.

`tests/runtime/make_self_test.py` has made the file, and what numpy computes of it. It
holds a layer of each kind, with each padding, pooling, ternary weights, a residual,
and bits and floats going in and coming out.
"""

import io
from importlib.resources import files

import numpy as np

from kerasbnn.runtime.errors import ModelError
from kerasbnn.runtime.model_file import read_model_file
from kerasbnn.runtime.pool import Runner

MODEL = "self_test.tflite"
VALUES = "self_test.npz"


def content() -> bytes:
    """Return the bytes of the small file.

    Returns:
        A `.tflite` file with the inputs `x` and `residual_2` and the outputs `y_0`, ...

    Example:
        >>> from kerasbnn.runtime.self_test import content
        >>> content()[4:8]
        b'TFL3'
    """
    return files("kerasbnn.runtime").joinpath(MODEL).read_bytes()


def values() -> dict[str, np.ndarray]:
    """Return inputs for the small file and the outputs of a numpy reference.

    Returns:
        Array for each input and output, by name.

    Example:
        >>> from kerasbnn.runtime.self_test import values
        >>> values()["x"].dtype
        dtype('float32')
    """
    stored = files("kerasbnn.runtime").joinpath(VALUES).read_bytes()
    with np.load(io.BytesIO(stored)) as arrays:
        return dict(arrays)


def failure_of(delegate) -> str | None:
    """Run the small file with a delegate, twice, and compare.

    Args:
        delegate: LiteRT's object of the delegate.

    Returns:
        What went wrong, or None.
    """
    from ai_edge_litert.interpreter import Interpreter

    file = read_model_file(content(), MODEL)
    signature = next(iter(file.signatures.values()))
    expected = values()
    inputs = [expected[name] for name in signature.inputs]
    try:
        litert = Interpreter(
            model_content=content(), num_threads=1, experimental_delegates=[delegate]
        )
        runner = Runner(litert)
        batches = [inputs, [array[:1] for array in inputs]]
        results = [runner.run(signature, batch) for batch in batches]
    except (ModelError, RuntimeError, ValueError) as error:
        text = " ".join(str(error).split()).rstrip(".")
        return f"{text or 'LiteRT could not be joined with it'}."
    taken = taken_by_delegate(litert)
    for placed in file.composites:
        if placed.output not in taken:
            return f"it does not compute layer '{placed.label}'."
    for result in results:
        for name, found in zip(signature.outputs, result, strict=True):
            if not np.array_equal(found, expected[name][: len(found)]):
                wrong = int((found != expected[name][: len(found)]).sum())
                return f"{wrong} of {found.size} values of '{name}' are wrong."
    return None


def taken_by_delegate(litert) -> set[int]:
    """Return the tensors of the first subgraph that a delegate computes one by one.

    Args:
        litert: LiteRT's interpreter.

    Returns:
        Places of the tensors.
    """
    return {
        int(node["outputs"][0])
        for node in litert._get_ops_details()
        if node["op_name"] != "STABLEHLO_COMPOSITE" and len(node["outputs"]) == 1
    }

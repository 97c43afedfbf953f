"""Good requests of which a part is replaced at random: refused, or still good."""

import json

import hypothesis
import numpy as np
from hypothesis import strategies

from kerasbnn.serve.errors import ServiceError
from kerasbnn.serve.models.datatypes import DTYPES
from kerasbnn.serve.models.tensor_spec import TensorSpec
from kerasbnn.serve.protocol.requests import decode_request
from kerasbnn.serve.settings import Settings

SPECS = {
    "x": TensorSpec("x", "FP32", DTYPES["FP32"], (-1, 2)),
    "y": TensorSpec("y", "INT8", DTYPES["INT8"], (-1, 1)),
}
GOOD = {
    "id": "7",
    "parameters": {"a": 1},
    "inputs": [
        {"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [[1.5, 2]]},
        {
            "name": "y",
            "shape": [1, 1],
            "datatype": "INT8",
            "parameters": {"binary_data_size": 1},
        },
    ],
    "outputs": [{"name": "z", "parameters": {"binary_data": True, "a": None}}],
}
LIMITS = Settings()

values = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers(-(2**63), 2**64 - 1)
    | strategies.integers(-2, 3)
    | strategies.floats(allow_nan=False, allow_infinity=False)
    | strategies.text(max_size=5),
    lambda children: (
        strategies.lists(children, max_size=5)
        | strategies.dictionaries(strategies.text(max_size=5), children, max_size=3)
    ),
    max_leaves=8,
)


def places(value, path=()):
    """Return the paths of all parts of a value of JSON."""
    yield path
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield from places(value[key], (*path, key))


def replaced(value, path, new):
    """Return a copy of a value of JSON in which a part is another."""
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


def check(body, length):
    """Decode; anything but a request and a refusal fails."""
    try:
        request = decode_request(body, str(length), SPECS, LIMITS, ("z",))
    except ServiceError as error:
        refused = error
    else:
        dtypes = {name: array.dtype.str for name, array in request.arrays.items()}
        assert dtypes == {"x": "<f4", "y": "|i1"}
        assert request.arrays["x"].shape == (request.rows, 2)
        assert np.isfinite(request.arrays["x"]).all()
        return
    assert refused.status in (400, 413)
    assert len(refused.message) < 500


@hypothesis.given(strategies.sampled_from(list(places(GOOD))), values)
@hypothesis.settings(max_examples=500)
def test_any_part_may_be_anything(path, value):
    header = json.dumps(replaced(GOOD, path, value)).encode()
    check(header + b"\1", len(header))


@hypothesis.given(
    strategies.lists(
        strategies.tuples(strategies.integers(0, 2**16), strategies.integers(0, 255)),
        min_size=1,
        max_size=3,
    )
)
@hypothesis.settings(max_examples=500)
def test_any_byte_may_be_any_byte(changes):
    header = json.dumps(GOOD).encode()
    body = bytearray(header + b"\1")
    for place, value in changes:
        body[place % len(body)] = value
    check(bytes(body), len(header))


@hypothesis.given(strategies.binary(max_size=40), strategies.integers(0, 50))
@hypothesis.settings(max_examples=200)
def test_a_body_may_be_anything(body, length):
    check(body, length)


def test_the_good_one_is_taken():
    header = json.dumps(GOOD).encode()
    request = decode_request(header + b"\1", str(len(header)), SPECS, LIMITS)
    np.testing.assert_array_equal(request.arrays["x"], [[1.5, 2]])
    np.testing.assert_array_equal(request.arrays["y"], [[1]])

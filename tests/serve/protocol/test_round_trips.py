"""What is encoded and decoded, of all types and shapes, against numpy."""

import json
from types import SimpleNamespace

import hypothesis
import hypothesis.extra.numpy as numpy_strategies
import numpy as np
import pytest
from hypothesis import strategies
from tritonclient.utils import deserialize_bytes_tensor, triton_to_np_dtype

from kerasbnn.serve.models.datatypes import DTYPES, datatype_of, packed_strings
from kerasbnn.serve.models.tensor_spec import TensorSpec
from kerasbnn.serve.protocol.requests import decode_request
from kerasbnn.serve.protocol.responses import encode_response
from kerasbnn.serve.settings import Settings
from tests.serve.protocol.messages import (
    LENGTH,
    arrays_of,
    binary_request,
    json_request,
)

LIMITS = Settings()


def finite(datatype):
    """Return values of a datatype, with the boundary values of its range."""
    dtype = DTYPES[datatype]
    if dtype.kind != "f":
        return numpy_strategies.from_dtype(dtype)
    info = np.finfo(dtype)
    ends = [info.max, info.min, info.tiny, info.smallest_subnormal, -0.0, 1 + info.eps]
    values = numpy_strategies.from_dtype(dtype, allow_nan=False, allow_infinity=False)
    return values | strategies.sampled_from([dtype.type(end) for end in ends])


@strategies.composite
def tensors(draw):
    """Draw datatype and array of up to three inputs with the same number of rows."""
    rows = draw(strategies.integers(1, 4))
    drawn = {}
    for name in draw(strategies.sampled_from([("x",), ("x", "y"), ("b", "a", "ü\n")])):
        datatype = draw(strategies.sampled_from(list(DTYPES)))
        inner = draw(numpy_strategies.array_shapes(min_dims=0, max_dims=4, max_side=4))
        array = numpy_strategies.arrays(
            DTYPES[datatype], (rows, *inner), elements=finite(datatype)
        )
        drawn[name] = datatype, draw(array)
    return drawn


def specs_of(inputs, is_open=True):
    return {
        name: TensorSpec(
            name,
            datatype,
            array.dtype,
            (-1 if is_open else len(array), *array.shape[1:]),
        )
        for name, (datatype, array) in inputs.items()
    }


def assert_same(found, expected):
    """Compare bits, for -0 equals 0."""
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert found.tobytes() == expected.tobytes()
    assert found.flags.aligned
    assert found.flags.c_contiguous


@hypothesis.given(tensors(), strategies.booleans(), strategies.booleans())
@hypothesis.settings(max_examples=150)
def test_json_is_decoded(inputs, nested, is_open):
    body = json_request(inputs, nested)
    request = decode_request(body, None, specs_of(inputs, is_open), LIMITS)
    assert list(request.arrays) == list(inputs)
    for name, (_, array) in inputs.items():
        assert_same(request.arrays[name], array)
    rows = len(next(iter(inputs.values()))[1])
    assert request.rows == (rows if is_open else 1)


@hypothesis.given(tensors(), strategies.booleans())
@hypothesis.settings(max_examples=150)
def test_binary_data_is_decoded(inputs, as_bytes):
    body, headers = binary_request(inputs)
    length = headers[LENGTH].encode() if as_bytes else headers[LENGTH]
    request = decode_request(body, length, specs_of(inputs), LIMITS)
    for name, (_, array) in inputs.items():
        assert_same(request.arrays[name], array)


@hypothesis.given(tensors(), strategies.data())
@hypothesis.settings(max_examples=60)
def test_one_input_may_be_json_and_another_binary_data(inputs, data):
    entries, content = [], b""
    for name, (datatype, array) in inputs.items():
        entry = {"name": name, "shape": array.shape, "datatype": datatype}
        if data.draw(strategies.booleans()):
            entry["parameters"] = {"binary_data_size": array.nbytes}
            content += array.tobytes()
        else:
            entry["data"] = array.ravel().tolist()
        entries.append(entry)
    header = json.dumps({"inputs": entries}).encode()
    body = header + content
    request = decode_request(body, str(len(header)), specs_of(inputs), LIMITS)
    for name, (_, array) in inputs.items():
        assert_same(request.arrays[name], array)


@pytest.mark.parametrize("datatype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (3,), (2, 5), (2, 3, 4, 1)])
def test_a_body_may_be_nothing_but_data(rng, datatype, shape):
    array = rng.integers(0, 2, shape).astype(DTYPES[datatype])
    inputs = {"x": (datatype, array)}
    request = decode_request(array.tobytes(), "0", specs_of(inputs), LIMITS)
    assert_same(request.arrays["x"], array)
    assert request.binary
    assert request.rows == shape[0]


@hypothesis.given(tensors(), strategies.booleans(), strategies.text(max_size=9))
@hypothesis.settings(max_examples=150)
def test_answers_are_encoded(outputs, binary, request_id):
    model = SimpleNamespace(
        name="m", version="2", outputs=specs_of(outputs), labels=None
    )
    request = decode_request(
        json.dumps(
            {
                "id": request_id,
                "parameters": {"binary_data_output": binary},
                "inputs": [
                    {"name": "x", "shape": [1], "datatype": "INT8", "data": [1]}
                ],
            }
        ).encode(),
        None,
        {"x": TensorSpec("x", "INT8", np.dtype("int8"), (-1,))},
        LIMITS,
        model.outputs,
    )
    arrays = {name: array for name, (_, array) in outputs.items()}
    body, headers = encode_response(request, model, arrays)
    headers = dict(headers)
    length = headers.get(LENGTH.lower().encode())
    assert (length is not None) is binary
    kind = b"application/octet-stream" if binary else b"application/json"
    assert headers[b"content-type"] == kind
    document = json.loads(body[: len(body) if length is None else int(length)])
    assert document["model_name"] == "m"
    assert document["model_version"] == "2"
    assert document["id"] == request_id
    found = arrays_of(body, length, DTYPES)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert_same(found[name].astype(array.dtype), array)


@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_every_number_survives_as_json(rng, datatype):
    """Random bits: numbers of all magnitudes, with all of their digits."""
    dtype = DTYPES[datatype]
    array = np.frombuffer(rng.bytes(20_000 * dtype.itemsize), dtype)
    array = array[np.isfinite(array)].reshape(1, -1)
    spec = TensorSpec("y", datatype, dtype, (-1, array.shape[1]))
    model = SimpleNamespace(name="m", version="1", outputs={"y": spec}, labels=None)
    request = decode_request(
        json_request({"y": (datatype, array)}), None, {"y": spec}, LIMITS
    )
    assert_same(request.arrays["y"], array)
    body, _ = encode_response(request, model, {"y": array})
    assert_same(arrays_of(body, None, DTYPES)["y"], array)


@pytest.mark.parametrize("datatype", DTYPES)
def test_datatypes_have_the_names_of_the_protocol(datatype):
    assert datatype_of(np.dtype(triton_to_np_dtype(datatype))) == datatype
    assert datatype_of(DTYPES[datatype]) == datatype


@pytest.mark.parametrize("dtype", ["complex64", "datetime64[s]", "U3", "V8"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(ValueError, match="no type for"):
        datatype_of(np.dtype(dtype))


@hypothesis.given(strategies.lists(strategies.text()))
def test_texts_are_packed(texts):
    found = deserialize_bytes_tensor(packed_strings(texts))
    assert [text.decode() for text in found] == texts

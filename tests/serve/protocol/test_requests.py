"""What a request may say besides its inputs, and what its errors say."""

import json

import numpy as np
import pytest

from kerasbnn.serve.errors import ServiceError
from kerasbnn.serve.models.datatypes import DTYPES
from kerasbnn.serve.models.tensor_spec import TensorSpec
from kerasbnn.serve.protocol.requests import decode_request
from kerasbnn.serve.settings import Settings
from tests.serve.protocol.messages import binary_request, json_request

LIMITS = Settings(max_rows=8)


def spec(datatype="FP32", shape=(-1, 4), name="x"):
    return {name: TensorSpec(name, datatype, DTYPES[datatype], shape)}


def entry(data=(1, 2, 3, 4), shape=(1, 4), datatype="FP32", name="x", **entries):
    entries |= {"name": name, "shape": shape, "datatype": datatype, "data": data}
    return {k: v for k, v in entries.items() if v is not ...}


def decode(inputs, specs=None, length=None, limits=LIMITS, outputs=("y", "z"), **rest):
    body = inputs
    if not isinstance(body, bytes):
        body = json.dumps({"inputs": inputs, **rest}).encode()
    return decode_request(body, length, specs or spec(), limits, outputs)


def refused(*arguments, status=400, **options):
    with pytest.raises(ServiceError) as caught:
        decode(*arguments, **options)
    assert caught.value.status == status
    assert len(caught.value.message) < 500
    return caught.value.message


def test_what_is_left_out_or_null_has_its_default():
    for rest in ({}, {"id": None, "parameters": None, "outputs": None}):
        request = decode([entry(parameters=None)], **rest)
        assert request.id is None
        assert request.parameters == {}
        assert request.outputs is None
        assert not request.binary
        assert request.rows == 1
    assert decode([entry()], outputs=[]).outputs is None


def test_outputs_are_binary_data_as_asked():
    wanted = [
        {"name": "z"},
        {"name": "y", "parameters": {"binary_data": False, "classification": 3}},
    ]
    request = decode_request(
        json.dumps(
            {
                "inputs": [entry()],
                "outputs": wanted,
                "parameters": {"binary_data_output": True, "priority": 1},
            }
        ).encode(),
        None,
        spec(),
        LIMITS,
        ("y", "z"),
    )
    assert request.parameters["priority"] == 1
    z, y = request.outputs
    assert (z.name, z.binary, z.classes) == ("z", True, 0)
    assert (y.name, y.binary, y.classes) == ("y", False, 3)


def test_rows_up_to_the_limit_are_taken():
    data = np.zeros((8, 4)).tolist()
    assert decode([entry(data, (8, 4))]).rows == 8
    message = refused([entry([*data, [0] * 4], (9, 4))], status=413)
    assert "9 rows" in message
    assert "8 are the most" in message
    raw = np.zeros((9, 4), np.float32).tobytes()
    assert "9 rows" in refused(raw, length="0", status=413)
    # A first axis that is no batch has no limit.
    fixed = spec("FP32", (9, 4))
    assert decode(raw, fixed, length="0").rows == 9


@pytest.mark.parametrize(
    ("datatype", "data", "words"),
    [
        ("FP32", [True, 1, 2, 3], "numbers. Received: true"),
        ("FP32", [1.5, "2.5", 3, 4], "numbers. Received: '2.5'"),
        ("FP32", [None, 1, 2, 3], "numbers. Received: null"),
        ("FP32", [1, 2, 3, {}], "numbers. Received: {}"),
        ("FP32", [1, 2, 3, [4]], "numbers. Received: [4]"),
        ("FP32", [1, 2, 3, 1e39], "Received: 1e+39"),
        ("FP16", [1, 2, 3, -65520.0], "Received: -65520.0"),
        ("FP16", [1, 2, 3, 2**63], "Received: 9223372036854775808"),
        ("INT8", [1, 2, 3, 128], "-128 to 127. Received: 128"),
        ("INT32", [1, 2, 3, 1.0], "2147483647. Received: 1.0"),
        ("UINT64", [1, 2, 3, -1], "Received: -1"),
        ("INT64", [1, 2, 3, 2**63], "Received: 9223372036854775808"),
        ("UINT8", [False, 2, 3, 4], "from 0 to 255. Received: false"),
        ("BOOL", [0, 1, 0, 1], "true or false. Received: 0"),
        ("BOOL", [True, True, 1.0, True], "true or false. Received: 1.0"),
    ],
)
def test_values_of_another_kind_are_refused(datatype, data, words):
    for given in (data, [data]):
        inputs = [entry(given, datatype=datatype)]
        message = refused(inputs, spec(datatype))
        assert words in message
        assert message.startswith(f"Input 'x' is {datatype}: expected ")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ([], "0 on axis 0"),
        ([1, 2, 3], "3 on axis 0"),
        ([1, 2, 3, 4, 5, 6, 7, 8, 9], "9 on axis 0"),
        ([[1, 2, 3, 4], [5, 6, 7]], "3 and 4 on axis 1"),
        ([[1, 2, 3, 4], 5], "a value beside or instead of a list on axis 1"),
        ([1, 2], "a value beside or instead of a list on axis 1"),
        ([[[1, 2, 3, 4]], [[5, 6, 7, 8]]], "1 on axis 1"),
        ([[[1], [2], [3], [4]], [[5], [6], [7], [8]]], "Received: [1]"),
        ([[]] * 8, "8 on axis 0"),
        (..., "Received: nothing"),
        ("12345678", "Received: '12345678'"),
        ({"0": 1}, "Received: {'0': 1}"),
        (1.5, "Received: 1.5"),
    ],
)
def test_data_that_does_not_fit_the_shape_is_refused(data, words):
    message = refused([entry(data, (2, 4))])
    assert words in message
    assert "Input 'x'" in message


def test_scalars_have_one_value():
    x = spec("INT16", ())
    array = decode([entry([7], (), "INT16")], x).arrays["x"]
    assert array.shape == ()
    assert array == 7
    assert "Input 'x'" in refused([entry([7, 8], (), "INT16")], x)


def test_open_sizes_are_those_of_the_request():
    x = spec(shape=(-1, -1, 2))
    request = decode([entry(list(range(12)), (2, 3, 2))], x)
    assert request.arrays["x"].shape == (2, 3, 2)
    assert "shape [2, 0, 2]" in refused([entry([], (2, 0, 2))], x)
    assert "all sizes but that of the batch" in refused(bytes(8), x, length="0")


def test_all_inputs_have_as_many_rows():
    specs = spec() | spec("INT8", (-1, 1), "y")
    inputs = [entry(), entry([1, 2], (2, 1), "INT8", "y")]
    assert "[1, 2]" in refused(inputs, specs)
    assert "'y' INT8 [-1, 1]" in refused(inputs[:1], specs)
    assert "given twice" in refused([*inputs, inputs[0]], specs)
    inputs[1]["shape"], inputs[1]["data"] = (1, 1), [1]
    assert decode(inputs, specs).rows == 1


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("datatype", ["FP16", "FP32", "FP64"])
def test_values_that_are_not_finite_are_refused_unless_allowed(datatype, value):
    array = np.ones((2, 4), DTYPES[datatype])
    array[1, 2] = value
    body, headers = binary_request({"x": (datatype, array)})
    (length,) = headers.values()
    message = refused(body, spec(datatype), length=length)
    assert f"such as {value} at 6" in message
    assert "allow_non_finite" in message
    allowed = Settings(allow_non_finite=True)
    found = decode(body, spec(datatype), length=length, limits=allowed)
    np.testing.assert_array_equal(found.arrays["x"], array)
    # JSON has no such numbers.
    body = json_request({"x": (datatype, array)})
    assert "not JSON" in refused(body, spec(datatype), limits=allowed)
    # A null must not become one of them, nor a number that is too large.
    too_large = [[entry([1, 2, 3, None])], [entry([1, 2, 3, 1e39])]]
    for inputs in too_large:
        assert "Input 'x' is FP32" in refused(inputs, limits=allowed)


def test_truth_values_are_0_or_1():
    x = spec("BOOL", (-1, 2))
    body = bytes([0, 1])
    assert decode(body, x, length="0").arrays["x"].tolist() == [[False, True]]
    assert "Received: 2" in refused(bytes([0, 2]), x, length="0")


def test_binary_data_must_be_all_of_the_body():
    array = np.zeros((1, 4), np.float32)
    body, headers = binary_request({"x": ("FP32", array)})
    length = int(*headers.values())
    assert "1 bytes at the end" in refused(body + b"x", length=str(length))
    assert "takes 16 bytes, and 15 are left" in refused(body[:-1], length=str(length))
    assert "not JSON" in refused(body, length=str(length - 1))
    assert "not JSON" in refused(body, length=str(length + 1))
    assert "not JSON" in refused(body)
    too_long = refused(body, length=str(len(body) + 1))
    assert f"the body has {len(body)} bytes" in too_long
    for text in ("-1", "1.5", "many", "", "1" * 5000, "²", "1_0"):
        assert "must be a number of bytes" in refused(body, length=text)


@pytest.mark.parametrize("size", [15, 17, 0, -16, 16.0, "16", None, True, 2**63])
def test_a_wrong_size_of_binary_data_is_refused(size):
    inputs = [entry(..., parameters={"binary_data_size": size})]
    header = json.dumps({"inputs": inputs}).encode()
    message = refused(header + bytes(16), length=str(len(header)))
    assert "takes 16 bytes, and 16 are left" in message


def test_data_and_binary_data_exclude_each_other():
    inputs = [entry(parameters={"binary_data_size": 16})]
    header = json.dumps({"inputs": inputs}).encode()
    message = refused(header + bytes(16), length=str(len(header)))
    assert "exclude each other" in message


@pytest.mark.parametrize("size", [0, 1, 15, 17, 31])
def test_raw_data_must_be_whole_rows(size):
    message = refused(bytes(size), length="0")
    assert f"{size} bytes" in message
    assert "takes 16" in message


def test_raw_data_is_for_one_input_only():
    message = refused(bytes(16), spec() | spec(name="other"), length="0")
    assert "'other' FP32 [-1, 4]" in message


def test_deep_json_is_refused():
    def nested(depth):
        return [nested(depth - 1)] if depth else []

    assert decode([entry()], parameters={"a": nested(28)}).parameters
    message = refused([entry()], parameters={"a": nested(40)})
    assert "more than 32 deep" in message
    # orjson itself has a limit; beyond it nothing is built.
    assert "not JSON" in refused(b'{"inputs":' + b"[" * 100_000)
    deep = b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":'
    assert "Input 'x'" in refused(deep + b"[" * 900 + b"]" * 900 + b"}]}")


def test_data_may_be_as_deep_as_its_shape(rng):
    x = spec(shape=(-1, *[1] * 40, 3))
    array = rng.random((2, *[1] * 40, 3)).astype(np.float32)
    body = json_request({"x": ("FP32", array)}, nested=True)
    np.testing.assert_array_equal(decode(body, x).arrays["x"], array)


@pytest.mark.parametrize("value", [b"0,", b"[],", b"{},"])
def test_json_of_too_many_values_is_not_even_parsed(value):
    """Neither where it has too many bytes for the model, nor where it has not."""
    body = b'{"inputs":[' + value * 10**6 + b"1]}"
    message = refused(body, status=413)
    assert "no more than 40 values and lists in 8 rows" in message
    assert "enough" in message
    message = refused(body, spec(shape=(-1, 5000)), status=413)
    assert "0002 values" in message
    # An open size may be as large as the body.
    assert refused(body, spec(shape=(-1, -1)))


def test_json_of_spaces_is_not_even_parsed():
    body = b'{"inputs":' + b" " * 2**20 + b"[]}"
    longest = 2**20 + 40 * 64
    assert str(longest) in refused(body.ljust(longest + 1), status=413)
    assert "'inputs'" in refused(body.ljust(longest))


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("shape", [(784,), (28, 28), (16, 16, 3), (28, 28, 1)])
def test_as_many_rows_as_may_be_may_be_written_to_be_read(rng, shape, nested):
    array = -rng.random((100, *shape)) * 1e-300
    body = json_request({"x": ("FP64", array)}, nested=nested)
    body = json.dumps(json.loads(body), indent=4).encode()
    assert len(body) > 2 * 2**20
    limits = Settings(max_rows=100)
    found = decode(body, spec("FP64", (-1, *shape)), limits=limits)
    np.testing.assert_array_equal(found.arrays["x"], array)


def test_as_many_rows_as_may_be_may_be_nested(rng):
    """Also where each value is in lists of its own."""
    limits = Settings(max_rows=60)
    array = rng.random((60, 784, 1, 1, 1))
    body = json_request({"x": ("FP64", array)}, nested=True)
    assert len(body) > 2**20
    found = decode(body, spec("FP64", (-1, *array.shape[1:])), limits=limits)
    np.testing.assert_array_equal(found.arrays["x"], array)


def test_errors_are_short():
    long = "x" * 10**5
    for inputs in (
        [entry(name=long)],
        [entry(datatype=long)],
        [entry(shape=[1] * 10**5)],
        [entry(shape=long)],
        [entry(data=long)],
        [entry(data=[long] * 4)],
        [entry(data=[{long: long}] * 4)],
        [long],
        long,
        {long: long},
        [[long]],
        [{long: long}],
    ):
        refused(inputs)
    refused([entry()], id=[long])
    refused([entry()], parameters=long)

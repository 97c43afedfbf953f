"""All that NVIDIA's client asks for over REST, but for the repository of models."""

import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from kerasbnn._version import __version__
from kerasbnn.runtime import Interpreter
from kerasbnn.serve.models.datatypes import DTYPES
from kerasbnn.serve.models.repository import packaged_models
from tests.helpers.served_models import random_values
from tests.serve.protocol.conftest import CLASSES


@pytest.fixture
def client(small_server):
    with triton.InferenceServerClient(small_server.removeprefix("http://")) as found:
        yield found


def infer_input(name, array, datatype="FP32", binary=True):
    found = triton.InferInput(name, list(array.shape), datatype)
    found.set_data_from_numpy(array, binary_data=binary)
    return found


def test_server(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_server_metadata()
    assert metadata["name"] == "kerasbnn"
    assert metadata["version"] == __version__
    assert set(metadata["extensions"]) == {
        "binary_tensor_data",
        "classification",
        "statistics",
        "model_configuration",
    }


@pytest.mark.parametrize(("version", "width"), [("", 6), ("1", 4), ("2", 5), ("10", 6)])
def test_versions(client, version, width):
    """Without a version the last one answers, of numbers the highest."""
    assert client.is_model_ready("row", version)
    metadata = client.get_model_metadata("row", version)
    assert metadata == {
        "name": "row",
        "versions": ["1", "2", "10"],
        "platform": "kerasbnn",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, width]}],
        "outputs": [{"name": "flat_x", "datatype": "FP32", "shape": [-1, width]}],
    }
    config = client.get_model_config("row", version)
    assert config["name"] == "row"
    assert config["max_batch_size"] == 64
    dims = {"data_type": "TYPE_FP32", "dims": [width]}
    assert config["input"] == [{"name": "x", **dims}]
    assert config["output"] == [{"name": "flat_x", **dims}]
    array = np.arange(2 * width, dtype=np.float32).reshape(2, width)
    result = client.infer("row", [infer_input("x", array)], version)
    np.testing.assert_array_equal(result.as_numpy("flat_x"), array)
    assert result.get_response()["model_version"] == (version or "10")


def test_configuration_has_what_was_measured(client):
    parameters = client.get_model_config("row")["parameters"]
    found = {name: value["string_value"] for name, value in parameters.items()}
    assert int(found["batching_max_batch_size"]) == 1
    assert "batching is off" in found["batching_reason"]
    assert found["batching_threaded"] in ("true", "false")
    assert '"1":' in found["batching_milliseconds"]
    # Where the first axis is no batch there is no size of one.
    config = client.get_model_config("fixed")
    assert config["max_batch_size"] == 0
    assert config["input"][1] == {"name": "y", "data_type": "TYPE_BOOL", "dims": [3, 5]}


@pytest.mark.parametrize("compression", [None, "gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("rows", [1, 3, 64])
def test_all_datatypes(client, small_models, rng, compression, binary, rows):
    """The client itself cannot send FP16 as JSON."""
    interpreter = small_models.interpreters["all"]
    arrays = {n.lower(): random_values(rng, n, (rows, 2, 3)) for n in DTYPES}
    inputs = [
        infer_input(name.lower(), arrays[name.lower()], name, binary or name == "FP16")
        for name in DTYPES
    ]
    expected = interpreter.predict(arrays)
    outputs = [triton.InferRequestedOutput(name, binary) for name in expected]
    for wanted in (outputs, outputs[::-2], None):
        result = client.infer(
            "all",
            inputs,
            outputs=wanted,
            request_compression_algorithm=compression,
            response_compression_algorithm=compression,
        )
        sent = [output["name"] for output in result.get_response()["outputs"]]
        assert sent == list(
            expected if wanted is None else [output.name() for output in wanted]
        )
        for name in sent:
            found = result.as_numpy(name)
            assert found.dtype == expected[name].dtype
            np.testing.assert_array_equal(found, expected[name])


def test_sizes_that_are_no_batch(client, small_models, rng):
    interpreter = small_models.interpreters["fixed"]
    arrays = {
        "x": random_values(rng, "INT32", (3, 2)),
        "y": random_values(rng, "BOOL", (3, 5)),
    }
    inputs = [
        infer_input("y", arrays["y"], "BOOL", binary=False),
        infer_input("x", arrays["x"], "INT32"),
    ]
    result = client.infer("fixed", inputs)
    for name, expected in interpreter.predict(arrays).items():
        np.testing.assert_array_equal(result.as_numpy(name), expected)


@pytest.mark.parametrize("binary", [True, False])
def test_ids_parameters_and_time(client, binary):
    array = np.ones((1, 6), np.float32)
    result = client.infer(
        "row",
        [infer_input("x", array, binary=binary)],
        request_id="a request / 7 ü",
        priority=2,
        timeout=5_000_000,
        sequence_id=3,
        sequence_start=True,
        sequence_end=True,
        parameters={"user": "me", "number": 1.5, "flag": True},
        headers={"X-Extra": "1"},
        query_params={"a": 1},
    )
    assert result.get_response()["id"] == "a request / 7 ü"
    np.testing.assert_array_equal(result.as_numpy("flat_x"), array)


@pytest.mark.parametrize("batching", ["off", 8])
def test_many_at_once(small_models, serve_folder, rng, batching):
    arrays = [rng.random((1 + i % 5, 6), dtype=np.float32) for i in range(200)]
    with (
        serve_folder(model_dir=small_models.folder, batching=batching) as address,
        triton.InferenceServerClient(
            address.removeprefix("http://"), concurrency=8
        ) as client,
    ):
        waiting = [
            client.async_infer("row", [infer_input("x", array)], request_id=str(i))
            for i, array in enumerate(arrays)
        ]
        for i, (array, asked) in enumerate(zip(arrays, waiting, strict=True)):
            result = asked.get_result()
            assert result.get_response()["id"] == str(i)
            np.testing.assert_array_equal(result.as_numpy("flat_x"), array)
        (found,) = client.get_inference_statistics("row")["model_stats"]
    assert found["inference_count"] == sum(map(len, arrays))
    batches = [(b["batch_size"], b["compute_infer"]) for b in found["batch_stats"]]
    assert sum(rows * infer["count"] for rows, infer in batches) == sum(
        map(len, arrays)
    )
    assert found["execution_count"] == sum(infer["count"] for _, infer in batches)
    assert found["execution_count"] <= 200


@pytest.mark.parametrize("binary", [True, False])
def test_classes(client, rng, binary):
    array = rng.permutation(12).astype(np.float32).reshape(2, 2, 3)
    wanted = triton.InferRequestedOutput("flat_x", binary, class_count=3)
    result = client.infer("classes", [infer_input("x", array)], outputs=[wanted])
    output = result.get_output("flat_x")
    assert (output["datatype"], output["shape"]) == ("BYTES", [2, 3])
    texts = result.as_numpy("flat_x")
    for row, found in zip(array.reshape(2, 6), texts, strict=True):
        best = np.argsort(-row)[:3]
        expected = [f"{row[i]!s}:{i}:{CLASSES[i]}" for i in best]
        assert [t.decode() if binary else t for t in found] == expected


def test_answers_are_compressed_where_that_is_worth_it(client, rng):
    small, large = np.zeros((1, 6), np.float32), np.zeros((64, 6), np.float32)
    for encoding in ("gzip", "deflate"):
        for array, expected in ((small, None), (large, encoding)):
            result = client._post(
                "v2/models/row/infer",
                triton.InferenceServerClient.generate_request_body(
                    [infer_input("x", array, binary=False)]
                )[0],
                {"Accept-Encoding": encoding},
                None,
            )
            assert result.get("content-encoding") == expected
            result.read()


def test_statistics(small_server, serve_folder, small_models):
    with serve_folder(model_dir=small_models.folder) as address:
        name = address.removeprefix("http://")
        with triton.InferenceServerClient(name) as client:
            for rows in (1, 2, 2):
                array = np.ones((rows, 4), np.float32)
                client.infer("row", [infer_input("x", array)], "1")
            with pytest.raises(InferenceServerException):
                client.infer("row", [infer_input("y", array)], "1")
            (found,) = client.get_inference_statistics("row", "1")["model_stats"]
            (last,) = client.get_inference_statistics("row")["model_stats"]
            every = client.get_inference_statistics()["model_stats"]
    assert (found["name"], found["version"]) == ("row", "1")
    assert found["inference_count"] == 5
    assert found["execution_count"] == 3
    steps = found["inference_stats"]
    parts = ("queue", "compute_input", "compute_infer", "compute_output")
    assert {steps[part]["count"] for part in ("success", *parts)} == {3}
    assert steps["fail"]["count"] == 1
    assert steps["success"]["ns"] == sum(steps[part]["ns"] for part in parts)
    sizes = {b["batch_size"]: b["compute_infer"]["count"] for b in found["batch_stats"]}
    assert sizes == {1: 1, 2: 2}
    assert (last["version"], last["inference_count"]) == ("10", 0)
    assert len(every) == 6
    assert found in every


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.get_trace_settings(),
        lambda client: client.get_trace_settings("row"),
        lambda client: client.update_trace_settings(settings={"trace_level": "MAX"}),
        lambda client: client.update_trace_settings("row", {"trace_level": "MAX"}),
        lambda client: client.get_log_settings(),
        lambda client: client.update_log_settings({"log_info": True}),
        lambda client: client.get_system_shared_memory_status(),
        lambda client: client.register_system_shared_memory("r", "/key", 64),
        lambda client: client.unregister_system_shared_memory("r"),
        lambda client: client.get_cuda_shared_memory_status(),
        lambda client: client.register_cuda_shared_memory("r", b"handle", 0, 64),
        lambda client: client.unregister_cuda_shared_memory(),
        lambda client: client.get_model_repository_index(),
        lambda client: client.load_model("row"),
        lambda client: client.unload_model("row"),
    ],
)
def test_what_the_service_does_not_have_is_said(client, ask):
    with pytest.raises(InferenceServerException) as caught:
        ask(client)
    assert caught.value.status() == "404"
    assert caught.value.message().startswith("This service ")
    assert client.is_server_ready()


def test_errors_reach_the_user(client):
    array = np.ones((1, 6), np.float32)
    good = infer_input("x", array)
    assert not client.is_model_ready("none")
    assert not client.is_model_ready("row", "3")
    for call, words in [
        (lambda: client.infer("none", [good]), "no model 'none'"),
        (lambda: client.infer("row", [good], "3"), "no version '3'"),
        (lambda: client.infer("row", [infer_input("y", array)]), "no input 'y'"),
        (lambda: client.infer("row", [infer_input("x", array[:, :5])]), "[-1, 6]"),
        (lambda: client.infer("row", [good, good]), "given twice"),
        (
            lambda: client.infer(
                "row", [infer_input("x", array.astype(float), "FP64")]
            ),
            "is FP32",
        ),
        (lambda: client.infer("row", [infer_input("x", array * np.nan)]), "finite"),
        (
            lambda: client.infer(
                "row", [good], outputs=[triton.InferRequestedOutput("y")]
            ),
            "no output 'y'",
        ),
        (lambda: client.get_model_metadata("none"), "no model 'none'"),
        (lambda: client.get_model_config("row", "3"), "no version '3'"),
        (lambda: client.get_inference_statistics("none"), "no model 'none'"),
    ]:
        with pytest.raises(InferenceServerException, match=r"(?s).*") as caught:
            call()
        assert words in caught.value.message()
        assert caught.value.status() in ("400", "404")
    np.testing.assert_array_equal(client.infer("row", [good]).as_numpy("flat_x"), array)


def test_texts_are_refused(client):
    texts = np.array([[b"a"] * 6], object)
    with pytest.raises(InferenceServerException, match="takes no texts"):
        client.infer("row", [infer_input("x", texts, "BYTES")])


def test_a_request_of_data_only(client, rng):
    array = rng.random((3, 6), dtype=np.float32)
    response = client._post(
        "v2/models/row/infer",
        array.tobytes(),
        {"Inference-Header-Content-Length": "0"},
        None,
    )
    result = triton.InferResult(response, False)
    assert response.status_code == 200
    np.testing.assert_array_equal(result.as_numpy("flat_x"), array)


def test_the_packaged_digits(digits_server, rng):
    """Bit for bit what the interpreter computes."""
    (model,) = packaged_models().glob("digits/*/model.tflite")
    with (
        Interpreter(model) as interpreter,
        triton.InferenceServerClient(digits_server.removeprefix("http://")) as client,
    ):
        metadata = client.get_model_metadata("digits")
        (spec,), (output,) = metadata["inputs"], metadata["outputs"]
        for binary in (True, False):
            for rows in (1, 2, 9):
                array = rng.random((rows, *spec["shape"][1:]), dtype=np.float32)
                result = client.infer(
                    "digits",
                    [infer_input(spec["name"], array, binary=binary)],
                    outputs=[triton.InferRequestedOutput(output["name"], binary)],
                )
                np.testing.assert_array_equal(
                    result.as_numpy(output["name"]), interpreter.predict(array)
                )

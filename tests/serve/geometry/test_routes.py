"""The paths of the geometry on a real server."""

import gzip
import re
import shutil
import threading
import time

import httpx
import jsonschema_rs
import numpy as np
import pytest
import tritonclient.http as triton

from kerasbnn.geometry import GeometryReport
from kerasbnn.probing import Drift, Observation
from tests.probing.digits import DRIFTS, FOLDER, held_out, packaged

GEOMETRY = "/v2/models/digits/geometry"
INFER = "/v2/models/digits/infer"


def body_of(x):
    (name,) = packaged()[1].inputs
    tensor = {"name": name, "shape": list(x.shape), "datatype": "FP32"}
    return {"inputs": [{**tensor, "data": x.ravel().tolist()}]}


@pytest.fixture
def client(digits_server):
    with httpx.Client(base_url=digits_server, timeout=60) as client:
        yield client


@pytest.mark.parametrize("path", [GEOMETRY, "/v2/models/digits/versions/1/geometry"])
def test_at_the_export(client, path):
    values = client.get(path).json()
    assert (values["model_name"], values["model_version"]) == ("digits", "1")
    assert "reference" not in values
    assert GeometryReport.from_dict(values) == GeometryReport.from_json(
        FOLDER / "geometry.json"
    )


@pytest.mark.parametrize("name", ["clean", *DRIFTS])
@pytest.mark.parametrize("samples", [1, 64])
def test_given_inputs(client, name, samples):
    x = held_out()[:samples]
    if name != "clean":
        x = DRIFTS[name][0](x)
    found = client.post(GEOMETRY, json=body_of(x)).json()
    assert found["samples"] == samples
    warned = [part for part in found["layers"] + found["inputs"] if part["warnings"]]
    # It comes before all that is long.
    assert list(found)[2:4] == ["status", "drifted"]
    assert found["drifted"] == [part["name"] for part in warned]
    verdict = "drifted" if warned else "holds"
    assert found["status"] == (verdict if samples >= 64 else "collecting")
    kinds = {layer["name"]: layer["kinds"] for layer in found["layers"]}
    wanted = DRIFTS[name][1] if name != "clean" and samples >= 64 else {}
    for layer in kinds:
        assert set(kinds[layer]).issuperset(wanted.get(layer, []))
    assert set(found["drifted"]).issuperset(wanted)
    if not wanted:
        assert found["drifted"] == []
    elif name != "moved by 2":
        assert "image" in found["drifted"]
    expected = Drift.of(Observation.measure(*packaged(), x)).to_dict()
    for layer, own in zip(found["layers"], expected["layers"], strict=True):
        for figure, value in own["live"].items():
            close = value and pytest.approx(value, rel=1e-3, abs=1e-5)
            assert layer["live"][figure] == close


@pytest.mark.parametrize("version", ["", "/versions/1"])
def test_given_inputs_as_bytes(client, version):
    (name,) = packaged()[1].inputs
    x = -held_out()[:70]
    tensor = triton.InferInput(name, list(x.shape), "FP32")
    tensor.set_data_from_numpy(x, binary_data=True)
    body, length = triton.InferenceServerClient.generate_request_body([tensor])
    path = f"/v2/models/digits{version}/geometry"
    headers = {"Inference-Header-Content-Length": str(length)}
    found = client.post(path, content=body, headers=headers)
    assert found.status_code == 200
    as_json = client.post(path, json=body_of(x)).json()
    assert found.json()["layers"] == as_json["layers"]
    headers["Content-Encoding"] = "gzip"
    packed = client.post(path, content=gzip.compress(body), headers=headers)
    assert packed.json()["layers"] == as_json["layers"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda body: {}, "'inputs' must be a list"),
        (lambda body: {"inputs": []}, "'inputs' must be a list"),
        (lambda body: {"inputs": [{**body["inputs"][0], "shape": [1, 9]}]}, "shape"),
        (lambda body: {"inputs": [{**body["inputs"][0], "data": [1]}]}, "64"),
        (lambda body: {"inputs": [{**body["inputs"][0], "name": "y"}]}, "'y'"),
    ],
)
def test_bad_requests(client, change, words):
    found = client.post(GEOMETRY, json=change(body_of(held_out()[:1])))
    assert found.status_code == 400
    assert words in found.json()["error"]
    assert client.post(GEOMETRY, json=body_of(held_out()[:1])).status_code == 200


@pytest.mark.parametrize("ending", ["", "/live"])
@pytest.mark.parametrize("model", ["none", "digits/versions/2"])
def test_models_that_are_not_there(client, model, ending):
    found = client.get(f"/v2/models/{model}/geometry{ending}")
    assert found.status_code == 404
    assert set(found.json()) == {"error"}


def test_too_many_rows(client):
    x = np.zeros((1025, 8, 8, 1), np.float32)
    assert client.post(GEOMETRY, json=body_of(x)).status_code == 413


def test_a_model_without_geometry_says_how_to_get_it(serve_folder, tmp_path):
    bare = tmp_path / "bare.tflite"
    shutil.copy(FOLDER / "model.tflite", bare)
    with serve_folder(model_dir=bare) as address:
        for method, ending in (("GET", ""), ("GET", "/live"), ("POST", "")):
            url = f"{address}/v2/models/bare/geometry{ending}"
            found = httpx.request(method, url, json=body_of(held_out()[:1]))
            assert found.status_code == 404
            assert "kerasbnn export" in found.json()["error"]
        found = httpx.post(
            f"{address}/v2/models/bare/infer", json=body_of(held_out()[:1])
        )
        assert found.status_code == 200


def test_measuring_longer_than_allowed_is_a_504(serve_folder):
    with serve_folder(inference_timeout=0.001) as address:
        found = httpx.post(address + GEOMETRY, json=body_of(held_out()), timeout=60)
        assert found.status_code in (503, 504)
        assert set(found.json()) == {"error"}


def test_openapi_describes_what_is_answered(client):
    paths = client.get("/openapi.json").json()["paths"]
    for path, method, ending in (
        ("/v2/models/{model_name}/geometry", "get", ""),
        ("/v2/models/{model_name}/geometry/live", "get", "/live"),
        ("/v2/models/{model_name}/versions/{version}/geometry", "post", ""),
    ):
        described = paths[path][method]
        parameters = [one for one in described["parameters"] if one["in"] == "path"]
        assert parameters[0]["schema"]["enum"] == ["digits"]
        schema = described["responses"]["200"]["content"]["application/json"]["schema"]
        json = body_of(held_out()[:2]) if method == "post" else None
        found = client.request(method, GEOMETRY + ending, json=json)
        jsonschema_rs.validate(schema, found.json())
        assert {"400", "404", "503"} & set(described["responses"])


def serve(address, x, seconds):
    """Send digits one by one, for some time; return the live geometry."""
    end = time.monotonic() + seconds
    with httpx.Client(base_url=address, timeout=60) as client:
        number = 0
        while time.monotonic() < end:
            row = number % len(x)
            answer = client.post(INFER, json=body_of(x[row : row + 1]))
            assert answer.status_code == 200
            number += 1
        time.sleep(3)
        return client.get(GEOMETRY + "/live").json()


@pytest.mark.parametrize("name", ["clean", "moved by 2", "noise of 0.5", "inverted"])
def test_live_digits(serve_folder, name):
    x = held_out()
    if name != "clean":
        x = DRIFTS[name][0](x)
    with serve_folder(geometry_budget=0.2) as address:
        live = serve(address, x, 3)
        assert live["status"] == ("holds" if name == "clean" else "drifted")
        assert live["samples"] >= 64
        assert live["seen"] == live["measured"] + live["dropped"] + live["waiting"]
        assert live["failed"] == 0
        kinds = {layer["name"]: layer["kinds"] for layer in live["layers"]}
        warnings = [text for layer in live["layers"] for text in layer["warnings"]]
        if name == "clean":
            assert warnings == live["drifted"] == []
        else:
            assert live["drifted"][0] == "conv_1"
            assert live["drifted"][-1] == "image"
            for layer, wanted in DRIFTS[name][1].items():
                assert set(kinds[layer]).issuperset(wanted)
            assert any("training covariance" in text for text in warnings)


def test_without_a_budget_there_is_no_thread(serve_folder):
    with serve_folder(geometry_budget=0) as address:
        for _ in range(3):
            httpx.post(address + INFER, json=body_of(held_out()[:1]))
        live = httpx.get(f"{address}{GEOMETRY}/live").json()
        assert (live["sampling"], live["seen"], live["measured"]) == (False, 3, 0)
        assert (live["status"], live["drifted"]) == ("off", [])
        page = httpx.get(f"{address}/models/digits").text
        assert ">not measured<" in page
        assert not {">holds<", ">collecting<"} & set(re.findall(r">[a-z]+<", page))
        found = httpx.post(address + GEOMETRY, json=body_of(held_out()[:1]))
        assert found.json()["samples"] == 1


def test_requests_at_the_same_time(client):
    statuses = []

    def ask(path, method, rows):
        json = body_of(held_out()[:rows]) if method == "POST" else None
        statuses.append(client.request(method, path, json=json).status_code)

    calls = [
        (GEOMETRY, "POST", 100),
        (INFER, "POST", 1),
        (GEOMETRY + "/live", "GET", 0),
    ]
    threads = [threading.Thread(target=ask, args=call) for call in calls * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 18

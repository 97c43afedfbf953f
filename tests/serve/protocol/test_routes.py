"""Paths, what OpenAPI says of them, and the same answers without the gate."""

import asyncio

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from kerasbnn.serve import Settings, create_app
from kerasbnn.serve.models.datatypes import DTYPES
from kerasbnn.serve.protocol.routes import add_protocol
from tests.serve.protocol.messages import arrays_of, binary_request, json_request

LENGTH = "inference-header-content-length"


@pytest.fixture(scope="module")
def application(small_models):
    return create_app(Settings(model_dir=small_models.folder, batching="off"))


@pytest.fixture(scope="module")
def openapi(application):
    return application.openapi()


def ask(application, method, path, **options):
    """Ask an application without a server."""

    async def send():
        transport = httpx.ASGITransport(application)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://test"
        ) as client:
            return await client.request(method, path, **options)

    return asyncio.run(send())


@pytest.fixture(scope="module")
def routes_only(application):
    """Return an application that has the routes of the protocol and no gate."""
    plain = FastAPI()
    add_protocol(plain, application.state.service)
    return plain


PATHS = [
    "/v2",
    "/v2/health/live",
    "/v2/health/ready",
    "/v2/models/stats",
    *(
        f"/v2/models/{{model_name}}{version}{ending}"
        for version in ("", "/versions/{version}")
        for ending in ("", "/ready", "/config", "/stats", "/infer")
    ),
]


@pytest.mark.parametrize("path", PATHS)
def test_every_path_is_documented(openapi, path):
    method = "post" if path.endswith("/infer") else "get"
    operation = openapi["paths"][path][method]
    assert operation["summary"]
    assert operation["tags"] == ["Open Inference Protocol"]
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    assert schema["type"] == "object"
    assert schema["required"]
    # FastAPI's own error, which never happens.
    assert "422" not in operation["responses"]
    parameters = {p["name"]: p for p in operation.get("parameters", ())}
    if "{model_name}" in path:
        names = ["all", "classes", "fixed", "row"]
        assert parameters["model_name"]["schema"]["enum"] == names
        assert "404" in operation["responses"]
    if "{version}" in path:
        assert parameters["version"]["schema"]["enum"] == ["1", "10", "2"]


def test_infer_documents_its_errors(openapi):
    operation = openapi["paths"]["/v2/models/{model_name}/infer"]["post"]
    for status in ("400", "404", "408", "413", "415", "503", "504"):
        answer = operation["responses"][status]
        assert answer["description"]
        schema = answer["content"]["application/json"]["schema"]
        assert schema["required"] == ["error"]
    assert "application/octet-stream" in operation["responses"]["200"]["content"]
    assert set(operation["requestBody"]["content"]) == {
        "application/json",
        "application/octet-stream",
    }


def test_the_example_of_the_documentation_works(application, openapi):
    operation = openapi["paths"]["/v2/models/{model_name}/infer"]["post"]
    example = operation["requestBody"]["content"]["application/json"]["example"]
    answer = ask(application, "POST", "/v2/models/all/infer", json=example)
    assert answer.status_code == 200
    assert len(answer.json()["outputs"]) == len(DTYPES)


@pytest.mark.parametrize("version", ["", "/versions/2"])
@pytest.mark.parametrize("accept", ["identity", "gzip", "deflate"])
def test_infer_answers_the_same_without_its_short_way(
    application, routes_only, version, accept
):
    rows = 64
    width = 5 if version else 6
    array = np.arange(rows * width, dtype=np.float32).reshape(rows, width)
    inputs = {"x": ("FP32", array)}
    wanted = {"parameters": {"binary_data_output": True}}
    body, headers = binary_request(inputs, **wanted)
    headers["accept-encoding"] = accept
    path = f"/v2/models/row{version}/infer"
    answers = [
        ask(each, "POST", path, content=body, headers=headers)
        for each in (application, routes_only)
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert answer.headers.get("content-encoding", "identity") == accept
        found = arrays_of(answer.content, answer.headers[LENGTH], DTYPES)
        np.testing.assert_array_equal(found["flat_x"], array)
    first, second = ({k: a.headers[k] for k in a.headers} for a in answers)
    assert first.pop("x-request-id")
    assert first == second
    answer = ask(routes_only, "POST", path, content=json_request(inputs))
    assert answer.headers["content-type"] == "application/json"


def test_numbers_that_json_cannot_hold_are_binary_data(small_models):
    settings = Settings(model_dir=small_models.folder, allow_non_finite=True)
    application = create_app(settings)
    array = np.array([[1, np.nan, np.inf, -np.inf]], np.float32)
    path = "/v2/models/row/versions/1/infer"
    body, headers = binary_request({"x": ("FP32", array)})
    answer = ask(application, "POST", path, content=body, headers=headers)
    assert answer.status_code == 400
    assert "'flat_x' has values that are not finite" in answer.json()["error"]
    binary = {"binary_data_output": True}
    body, headers = binary_request({"x": ("FP32", array)}, parameters=binary)
    answer = ask(application, "POST", path, content=body, headers=headers)
    found = arrays_of(answer.content, answer.headers[LENGTH], DTYPES)
    np.testing.assert_array_equal(found["flat_x"], array)


@pytest.mark.parametrize(
    ("path", "methods"),
    [
        ("/v2", "GET"),
        ("/v2/models/row/infer", "POST"),
        ("/v2/models/row/geometry", "GET, POST"),
    ],
)
def test_another_method_is_told_which_there_are(application, path, methods):
    answer = ask(application, "DELETE", path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == methods


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models/row/infer", 405),
        ("PUT", "/v2/models/row/infer", 405),
        ("POST", "/v2/models/row", 405),
        ("GET", "/v2/models/none", 404),
        ("GET", "/v2/models/row/versions/3/config", 404),
        ("GET", "/v2/models/row/nothing", 404),
        ("POST", "/v2/repository/index", 404),
        ("POST", "/v2/repository/models/row/load", 404),
        ("GET", "/v1/models/row", 404),
    ],
)
def test_errors_have_the_form_of_the_protocol(application, method, path, status):
    answer = ask(application, method, path)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]


def test_readiness_follows_the_service(application):
    service = application.state.service
    assert not service.ready
    for path in ("/v2/health/ready", "/v2/models/row/ready"):
        assert not ask(application, "GET", path).json()["ready"]
    assert ask(application, "GET", "/v2/health/ready").status_code == 503
    assert ask(application, "GET", "/v2/health/live").json() == {"live": True}
    service.ready = True
    answer = ask(application, "GET", "/v2/health/ready")
    assert (answer.status_code, answer.json()) == (200, {"ready": True})
    service.ready = False


def test_a_request_may_say_how_long_it_may_take(application, monkeypatch):
    model = application.state.service.models.get("row", "1")

    async def slow(arrays):
        await asyncio.sleep(5)

    monkeypatch.setattr(model, "infer", slow)
    path = "/v2/models/row/versions/1/infer"
    inputs = {"x": ("FP32", np.zeros((1, 4), np.float32))}
    content = json_request(inputs, parameters={"timeout": 20_000})
    answer = ask(application, "POST", path, content=content)
    assert answer.status_code == 504
    assert "20000 us" in answer.json()["error"]
    fail = model.statistics.to_dict()["inference_stats"]["fail"]
    assert fail["count"] >= 1

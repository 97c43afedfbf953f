"""Predictions of a real server, against the interpreter itself."""

import base64
import io
import os
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from kerasbnn.runtime import Interpreter
from kerasbnn.serve.models.repository import packaged_models

from .pictures import encoded, png

FOLDER = packaged_models() / "digits" / "1"
PREDICT = "/v2/models/digits/predict"
DIGITS = load_digits()
RAW = np.rint(DIGITS.images / 16 * 255).astype(np.uint8)


@pytest.fixture(scope="module")
def client(digits_server):
    with httpx.Client(base_url=digits_server) as found:
        yield found


@pytest.fixture(scope="module")
def logits():
    """Return what the interpreter says of raw images of the right size."""
    interpreter = Interpreter(FOLDER / "model.tflite")
    scaling = interpreter.metadata["normalization"]

    def compute(raw):
        x = (raw.astype(np.float64) - scaling["mean"]) / scaling["std"]
        return interpreter.predict(x.reshape(-1, 8, 8, 1).astype(np.float32))

    return compute


def sent_in_all_ways(client, content, path=PREDICT):
    text = base64.b64encode(content).decode()
    yield client.post(path, files={"image": content})
    yield client.post(path, content=content, headers={"content-type": "image/png"})
    yield client.post(path, content=content)
    yield client.post(path, json={"image": text})
    yield client.post(path, json={"image": f"data:image/png;base64,{text}"})


def test_every_way_to_send_an_image_gives_what_the_interpreter_gives(client, logits):
    for raw in RAW[1500:1503]:
        expected = logits(raw)[0]
        for answer in sent_in_all_ways(client, encoded(raw)):
            assert answer.status_code == 200
            body = answer.json()
            assert (body["model_name"], body["model_version"]) == ("digits", "1")
            best = np.argsort(-expected)[:5]
            found = body["predictions"]
            assert [entry["index"] for entry in found] == best.tolist()
            assert [entry["label"] for entry in found] == [str(i) for i in best]
            np.testing.assert_array_equal(
                np.float32([entry["score"] for entry in found]), expected[best]
            )


def test_digits_that_the_model_has_not_seen_are_read(client):
    images, labels = RAW[-200:], DIGITS.target[-200:]
    found = [
        client.post(PREDICT, content=encoded(raw)).json()["predictions"][0]["index"]
        for raw in images
    ]
    assert np.mean(np.array(found) == labels) > 0.9


def test_a_large_photograph_of_a_digit(client):
    found = np.array(Image.fromarray(RAW[1501]).resize((900, 900)).convert("RGB"))
    answer = client.post(PREDICT, files={"image": encoded(found, "JPEG")})
    assert answer.json()["predictions"][0]["label"] == str(DIGITS.target[1501])


def test_how_many_predictions(client):
    content = encoded(RAW[0])
    for top in (1, 3, 10, 1000):
        answer = client.post(f"{PREDICT}?top={top}", content=content)
        assert len(answer.json()["predictions"]) == min(top, 10)
    long = ("00001", "9" * 5000, "000000001" + "0" * 5000)
    for top in ("0", "-1", "1001", "x", "", "1.5", "\u0663", *long):
        answer = client.post(PREDICT, params={"top": top}, content=content)
        assert answer.status_code == 400
        assert "'top'" in answer.json()["error"]


def test_a_page_of_another_site_may_not_predict(client):
    content = encoded(RAW[0])
    for sent, status in (
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://elsewhere.test"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"origin": str(client.base_url).rstrip("/")}, 200),
    ):
        answer = client.post(PREDICT, content=content, headers=sent)
        assert answer.status_code == status
        assert ("error" in answer.json()) is (status == 403)


def test_versions(client):
    content = encoded(RAW[0])
    path = "/v2/models/digits/versions/1/predict"
    expected = client.post(PREDICT, content=content).json()
    assert client.post(path, content=content).json() == expected
    for path in (
        "/v2/models/digits/versions/2/predict",
        "/v2/models/none/predict",
    ):
        answer = client.post(path, content=content)
        assert answer.status_code == 404
        assert "There" in answer.json()["error"] or "has no" in answer.json()["error"]
    assert client.get(PREDICT).status_code == 405


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"", "image/png", 400),
        (b"GIF89a", "image/png", 415),
        (encoded(RAW[0])[:60], "image/png", 400),
        (png(100_000, 100_000, b"0"), "image/png", 413),
        (b"{}", "application/json", 400),
        (b"<html>", "text/html", 415),
        (b"--b--", "multipart/form-data; boundary=b", 400),
        (b"--b--", "multipart/form-data", 400),
    ],
)
def test_what_cannot_be_predicted(client, content, kind, status):
    answer = client.post(PREDICT, content=content, headers={"content-type": kind})
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert client.post(PREDICT, content=encoded(RAW[0])).status_code == 200


@settings(max_examples=150, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(
        ["", "image/png", "image/jpeg", "application/json", "text/plain", "\xe4/\xff"]
        + ["multipart/form-data; boundary=x", "multipart/form-data; boundary=", ";;"]
    ),
    st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"--x\r\n", b"{"]),
)
def test_no_body_makes_the_service_fail(client, content, kind, start):
    headers = {b"content-type": kind.encode("latin-1")}
    answer = client.post(PREDICT, content=start + content, headers=headers)
    assert 400 <= answer.status_code < 500
    assert list(answer.json()) == ["error"]


def test_statistics_count_predictions(client):
    def counts():
        stats = client.get("/v2/models/digits/stats").json()["model_stats"][0]
        inference = stats["inference_stats"]
        return inference["success"]["count"], inference["fail"]["count"]

    success, fail = counts()
    client.post(PREDICT, content=encoded(RAW[0]))
    client.post(PREDICT, content=b"no image")
    assert counts() == (success + 1, fail + 1)


def test_more_images_at_once_than_may_wait(client, digits_server):
    large = np.zeros((3900, 4000), np.uint8)
    large[::2] = os.urandom(4000)[0]
    file = io.BytesIO()
    Image.fromarray(large).save(file, "PNG", compress_level=1)

    def send(_):
        return httpx.post(digits_server + PREDICT, content=file.getvalue(), timeout=60)

    with ThreadPoolExecutor(48) as pool:
        answers = list(pool.map(send, range(48)))
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 503}
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert refused.headers["retry-after"] == "1"
    assert client.post(PREDICT, content=encoded(RAW[0])).status_code == 200

"""Pages of models that came with less, or with names that mean harm."""

import json
import shutil

import httpx
import pytest

from kerasbnn.serve.models.repository import packaged_models

from ..prediction.pictures import encoded
from .documents import parsed
from .traffic import RAW

DIGITS = packaged_models() / "digits" / "1"
HARM = '"><script>alert(1)</script><img src=x onerror=alert(2)>&amp;{{ 7 * 7 }}'


@pytest.fixture
def folder(tmp_path):
    """Return a copy of the packaged model that may be changed."""
    shutil.copytree(DIGITS, tmp_path / "net" / "1")
    return tmp_path / "net" / "1"


def page(address, **form):
    path = f"{address}/models/net"
    answer = httpx.post(path, files=form) if form else httpx.get(path)
    assert answer.status_code == 200
    return answer.text


def test_names_are_escaped(folder, serve_folder):
    folder.joinpath("labels.txt").write_text("\n".join([HARM] * 10))
    path = folder / "geometry.json"
    values = json.loads(path.read_text())
    # Without it the monitor would compare names with those of the probe.
    del values["reference"]
    for layer in values["layers"]:
        layer |= {"name": HARM, "type": HARM, "quantizer": HARM}
        layer["verdicts"][0] |= {"kind": HARM, "reason": HARM}
    values["backend"] = HARM
    path.write_text(json.dumps(values))
    with serve_folder(model_dir=folder.parent.parent) as address:
        for text in (page(address), page(address, image=encoded(RAW[0]))):
            root = parsed(text)
            assert not root.all("script")
            assert all(
                "static/icon.svg" in i.attributes["src"] for i in root.all("img")
            )
            assert not any("onerror" in e.attributes for e in root.everything())
            assert HARM in root.text
        assert root.all("p", **{"class": "best"})[0].text == HARM


def test_a_file_alone(folder, tmp_path, serve_folder):
    alone = tmp_path / "net.tflite"
    shutil.copy(folder / "model.tflite", alone)
    with serve_folder(model_dir=alone) as address:
        text = parsed(page(address)).text
        assert "not measured" in text
        assert "Nothing is known of the layers" in text
        assert "came without a probe" in text
        assert "not measured" in httpx.get(address).text


def test_a_model_without_a_probe_shows_what_the_audit_said(folder, serve_folder):
    folder.joinpath("model.probe.tflite").unlink()
    with serve_folder(model_dir=folder.parent.parent) as address:
        root = parsed(page(address))
        assert len(root.all("svg", **{"class": "chart angles"})) == 4
        assert root.text.count("not measured") >= 5


def test_few_samples_and_no_budget(serve_folder):
    with serve_folder(geometry_budget=0) as address:
        text = httpx.get(f"{address}/models/digits").text
        assert "geometry_budget is 0" in text
    with serve_folder() as address:
        text = httpx.get(f"{address}/models/digits").text
        assert "collecting" in text
        assert "needs 64 live samples; 0 were measured" in text


def test_pages_need_a_key_where_there_are_some(serve_folder):
    key = "correct-horse-battery"
    with serve_folder(api_keys=(key,)) as address:
        for path in ("/", "/models/digits", "/docs", "/static/style.css"):
            answer = httpx.get(address + path)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Basic ")
            assert httpx.get(address + path, auth=("", key)).status_code == 200
            assert httpx.get(address + path, auth=("", "x" * 20)).status_code == 401


def test_links_behind_a_proxy_that_serves_a_part(serve_folder):
    import asyncio

    from kerasbnn.serve import Settings, create_app

    async def fetch():
        app = create_app(Settings(batching="off"))
        transport = httpx.ASGITransport(app, root_path="/bnn")
        async with httpx.AsyncClient(
            transport=transport, base_url="http://a"
        ) as client:
            return [await client.get(path) for path in ("/", "/models/digits", "/docs")]

    for answer in asyncio.run(fetch()):
        root = parsed(answer.text)
        for element in root.everything():
            for key in ("href", "src", "action", "data-openapi"):
                value = element.attributes.get(key, "#")
                assert value.startswith(("/bnn/", "#")), value

"""What a person may try on the page of a model."""

import io
import re
import shutil
import subprocess
import warnings
from datetime import UTC, datetime, timedelta

import httpx
import numpy as np
import pytest
from PIL import Image

from kerasbnn.datasets import load_digits
from kerasbnn.serve.models.repository import packaged_models

from ..make_digits_model import SEED
from .documents import parsed
from .traffic import RAW

DIGITS = packaged_models() / "digits" / "1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with two versions of a model of numbers, and one of digits."""
    import keras

    import kerasbnn

    path = tmp_path_factory.mktemp("models")
    for version, size in (("3", 5), ("12", 700)):
        x = keras.Input((size,), name="numbers")
        model = keras.Model(x, keras.layers.Dense(2)(x))
        (path / "net" / version).mkdir(parents=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            file = path / "net" / version / "model.tflite"
            kerasbnn.convert(model, file, verify_samples=False)
    shutil.copytree(DIGITS, path / "digits" / "1")
    return path


@pytest.fixture(scope="module")
def address(folder, serve_folder):
    with serve_folder(model_dir=folder) as found:
        yield found


def test_the_sample_is_the_first_held_out_digit(digits_server):
    content = httpx.get(f"{digits_server}/static/digit.png").content
    image = Image.open(io.BytesIO(content))
    assert (image.format, image.mode, image.size) == ("PNG", "L", (8, 8))
    held_out = (load_digits(SEED).x_test[0, :, :, 0] + 1) * 127.5
    np.testing.assert_array_equal(np.asarray(image), np.rint(held_out))
    assert any((np.asarray(image) == digit).all() for digit in RAW)


def test_the_sample_is_predicted_and_counted(digits_server):
    def count():
        stats = httpx.get(f"{digits_server}/v2/models/digits/stats").json()
        return stats["model_stats"][0]["inference_stats"]["success"]["count"]

    before = count()
    root = parsed(httpx.get(f"{digits_server}/models/digits").text)
    (form,) = root.all("form", **{"class": "sample"})
    answer = httpx.post(
        digits_server + str(form.attributes["action"]).partition("#")[0]
    )
    assert answer.status_code == 200
    (best,) = parsed(answer.text).all("p", **{"class": "best"})
    assert best.text == str(load_digits(SEED).y_test[0])
    assert count() == before + 1
    headers = {"Origin": "http://evil.test"}
    url = f"{digits_server}/models/digits?sample=digit"
    assert httpx.post(url, headers=headers).status_code == 403


def test_other_models_have_no_sample(address):
    root = parsed(httpx.get(f"{address}/models/digits").text)
    assert root.all("input")
    assert not root.all("form", **{"class": "sample"})
    assert "digit.png" in root.all("pre")[0].text
    assert httpx.post(f"{address}/models/digits?sample=digit").status_code == 400


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("version", ["3", "12"])
def test_the_command_for_numbers_is_answered(version, address):
    root = parsed(httpx.get(f"{address}/models/net/versions/{version}").text)
    assert not root.all("form")
    (pre,) = root.all("pre")
    (code,) = pre.all("code")
    (command,) = code.children
    assert isinstance(command, str)
    assert f"/v2/models/net/versions/{version}/infer" in command
    done = subprocess.run(["sh", "-ec", command], capture_output=True, text=True)
    assert '"outputs"' in done.stdout
    assert f'"model_version":"{version}"' in done.stdout
    refused = httpx.post(f"{address}/models/net/versions/{version}")
    assert refused.status_code == 400
    assert "does not take an image" in refused.text


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_the_commands_for_the_sample_are_answered(digits_server, tmp_path):
    root = parsed(httpx.get(f"{digits_server}/models/digits").text)
    (command,) = root.all("pre")[0].all("code")[0].children
    assert isinstance(command, str)
    done = subprocess.run(
        ["sh", "-ec", command], capture_output=True, text=True, cwd=tmp_path
    )
    label = load_digits(SEED).y_test[0]
    assert f'"predictions":[{{"label":"{label}"' in done.stdout


def test_versions_link_to_one_another(address):
    for path, others in (("net", ["3"]), ("net/versions/3", ["12"]), ("digits", [])):
        root = parsed(httpx.get(f"{address}/models/{path}").text)
        links = [a for a in root.all("a") if a.text in ("1", "3", "12")]
        assert [link.text for link in links] == others
        for link in links:
            linked = httpx.get(address + link.attributes["href"])
            title = parsed(linked.text).all("h1")[0].text
            assert title.endswith(f"version {link.text}")


@pytest.mark.parametrize("path", ["/", "/models/digits", "/models/net"])
def test_pages_say_when_they_were_made_and_write_code_as_code(path, address):
    text = parsed(httpx.get(address + path).text).text
    (hour, minute, second), *more = re.findall(
        r"As of (\d\d):(\d\d):(\d\d) UTC; reload", text
    )
    assert not more
    now = datetime.now(UTC)
    told = now.replace(hour=int(hour), minute=int(minute), second=int(second))
    apart = abs(now - told)
    assert min(apart, timedelta(days=1) - apart) < timedelta(seconds=30)
    assert "`" not in text

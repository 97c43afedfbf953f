"""The service that `docker compose up` starts: answers, limits, restarts."""

import json
import re
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import tritonclient.http
from sklearn.datasets import load_digits

from kerasbnn.runtime import Interpreter
from tests.container.engine import ROOT, Project, docker

DIGITS = ROOT / "serve/digits/digits/1/model.tflite"


@pytest.fixture(scope="module")
def images():
    """Real digits, as the model takes them, and what they show."""
    pixels, shown = load_digits(return_X_y=True)
    chosen = slice(0, 32)
    return (pixels[chosen].reshape(-1, 8, 8, 1) / 8 - 1).astype("float32"), shown[
        chosen
    ]


@pytest.fixture(scope="module")
def expected(images):
    """What the file gives here, outside of any container."""
    with Interpreter(DIGITS) as model:
        return model.predict(images[0])


def infer(project, images, **headers):
    tensor = {
        "name": "image",
        "shape": images.shape,
        "datatype": "FP32",
        "data": images.ravel().tolist(),
    }
    answer = project.get("/v2/models/digits/infer", {"inputs": [tensor]}, **headers)
    (output,) = answer["outputs"]
    return np.reshape(output["data"], output["shape"])


def test_publishes_on_the_loopback_address_only(service):
    for files in ([], ["--file", "docker/compose.yaml"]):
        text = docker("compose", *files, "config", "--format", "json")
        (port,) = json.loads(text)["services"]["serve"]["ports"]
        assert port["host_ip"] == "127.0.0.1"
        assert (port["published"], port["target"]) == ("8000", 8000)
    ports = service.inspect()["NetworkSettings"]["Ports"]
    assert ports == {
        "8000/tcp": [{"HostIp": "127.0.0.1", "HostPort": str(service.port)}]
    }


def test_predicts_what_the_file_predicts(service, images, expected):
    outputs = infer(service, images[0])
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)
    assert (outputs.argmax(axis=1) == images[1]).mean() > 0.9


def test_predicts_for_a_client_of_the_protocol(service, images, expected):
    client = tritonclient.http.InferenceServerClient(f"127.0.0.1:{service.port}")
    try:
        assert client.is_model_ready("digits")
        tensor = tritonclient.http.InferInput("image", images[0].shape, "FP32")
        tensor.set_data_from_numpy(images[0])
        name = client.get_model_metadata("digits")["outputs"][0]["name"]
        outputs = client.infer("digits", [tensor]).as_numpy(name)
    finally:
        client.close()
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-5)


def test_tells_the_geometry(service, images):
    report = service.get("/v2/models/digits/geometry")
    assert {layer["name"] for layer in report["layers"]}
    infer(service, images[0])
    deadline = time.monotonic() + 20
    while not service.get("/v2/models/digits/geometry/live")["samples"]:
        assert time.monotonic() < deadline, "no request was sampled"
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "digits"),
        ("/docs", "swagger"),
        ("/openapi.json", "/v2/models/"),
        ("/metrics", 'implementation="'),
    ],
)
def test_pages_and_their_files_are_there(service, path, words):
    page = read(service, path)
    assert words in page
    for linked in set(re.findall(r'(?:src|href)="(/[^"#?]*)', page)):
        assert read(service, linked)


def read(project, path):
    """Return the text of a page; an error unless its status is one of success."""
    with urllib.request.urlopen(project.address + path, timeout=10) as answer:
        return answer.read().decode("utf-8", "replace")


def test_has_no_rights(service):
    status = dict(
        line.split(":\t", 1)
        for line in service.python("print(open('/proc/1/status').read())").splitlines()
        if ":\t" in line
    )
    assert status["Uid"].split() == ["10001"] * 4
    assert status["Gid"].split() == ["10001"] * 4
    for kind in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        assert int(status[kind], 16) == 0, kind
    assert status["NoNewPrivs"].strip() == "1"
    assert status["Seccomp"].strip() == "2"


@pytest.mark.parametrize(
    "folder", ["/", "/opt/kerasbnn", "/models", "/etc", "/var", "/home"]
)
def test_writes_nowhere(service, folder):
    with pytest.raises(AssertionError, match="Read-only|Permission"):
        service.python(f"open('{folder}/written', 'w')")


def test_writes_temporary_files_that_do_not_run(service):
    service.python("open('/tmp/written', 'w').write('x')")
    with pytest.raises(AssertionError, match="Permission denied"):
        service.python(
            "import os, shutil, subprocess;"
            "shutil.copy('/bin/true', '/tmp/true'); os.chmod('/tmp/true', 0o755);"
            "subprocess.run(['/tmp/true'])"
        )


def test_memory_and_processes_are_limited(service):
    limits = service.inspect()["HostConfig"]
    assert limits["Memory"] == 2**30
    assert limits["PidsLimit"] == 256
    assert limits["ReadonlyRootfs"]
    assert not limits["Privileged"]
    assert limits["RestartPolicy"]["Name"] == "unless-stopped"


def test_takes_little_memory(service):
    lines = service.python("print(open('/proc/1/status').read())").splitlines()
    (resident,) = (int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
    print(f"{resident / 1024:.0f} MiB")
    assert resident < 150 * 1024


def test_logs_are_lines_of_json(service):
    # LiteRT says a word of its own, which nothing can silence.
    lines = [x for x in service.logs().splitlines() if not x.startswith("INFO: ")]
    assert lines
    for line in lines:
        assert json.loads(line)["message"]


def test_comes_back_when_its_process_is_killed(service, images, expected):
    before = service.inspect()
    service.kill()
    deadline = time.monotonic() + 30
    while service.inspect()["RestartCount"] == before["RestartCount"]:
        assert time.monotonic() < deadline, "the engine did not start it again"
        time.sleep(0.1)
    service.wait_until_healthy()
    after = service.inspect()
    assert after["Id"] == before["Id"]
    assert after["State"]["Pid"] != before["State"]["Pid"]
    np.testing.assert_allclose(
        infer(service, images[0]), expected, rtol=1e-5, atol=1e-5
    )


def test_ends_in_time_when_asked_to(service):
    begin = time.monotonic()
    service.compose("stop")
    seconds = time.monotonic() - begin
    state = service.inspect()["State"]
    service.compose("start")
    service.wait_until_healthy()
    print(f"{seconds:.1f} s, exit status {state['ExitCode']}")
    assert seconds < 10
    assert state["ExitCode"] in (0, 143)  # Not 137: it was not killed.
    assert not state["OOMKilled"]


def test_asks_for_keys_that_are_set(image, images):
    key = "a-key-for-the-test-only"
    with Project("kerasbnn-test-keys", KERASBNN_SERVE_API_KEYS=key) as project:
        with pytest.raises(urllib.error.HTTPError) as caught:
            infer(project, images[0])
        with caught.value as answer:
            assert answer.code == 401
            assert "key" in json.load(answer)["error"]
        infer(project, images[0], Authorization=f"Bearer {key}")
        assert key not in project.logs()


def test_a_folder_that_does_not_exist_is_an_error(image, tmp_path):
    folder = tmp_path / "none"
    with pytest.raises(AssertionError, match="none"):
        Project("kerasbnn-test-none", MODEL_DIR=str(folder)).__enter__()
    assert not folder.exists()

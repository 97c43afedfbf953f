"""Requests of the Open Inference Protocol, written without the service's code."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from kerasbnn.runtime import Interpreter

HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass(frozen=True)
class Request:
    """A request by POST.

    Attributes:
        path: Path of the URL.
        body: Body.
        headers: Headers.
    """

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)

    def content(self, host="127.0.0.1") -> bytes:
        """Return the bytes that go over the connection."""
        headers = {"Host": host, "Content-Length": len(self.body), **self.headers}
        lines = [f"POST {self.path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + self.body


class Model:
    """What the requests are made for.

    Args:
        folder: Folder of models, NAME/VERSION/model.tflite.

    Attributes:
        name: Name of the first model.
        path: Its file.
    """

    def __init__(self, folder):
        paths = sorted(Path(folder).glob("*/*/model.tflite"))
        if not paths:
            raise SystemExit(f"'{folder}' has no NAME/VERSION/model.tflite.")
        self.path = paths[0].resolve()
        self.name = self.path.parent.parent.name
        self._interpreter = Interpreter(self.path)
        (signature,) = self._interpreter.signatures.values()
        ((self.input, spec),) = signature.inputs.items()
        ((self.output, _),) = signature.outputs.items()
        self._shape = tuple(size for size in spec.shape if size is not None)

    @property
    def route(self) -> str:
        """Path that infers."""
        return f"/v2/models/{self.name}/infer"

    def images(self, rows=1, seed=0) -> np.ndarray:
        """Return images of random gray, each written with few digits, as data is."""
        rng = np.random.default_rng(seed)
        values = rng.integers(-8, 9, (rows, *self._shape)) / 8
        return values.astype(np.float32)

    def answer(self, images) -> np.ndarray:
        """Compute what a server has to answer."""
        return self._interpreter.predict(images)

    def in_json(self, images) -> Request:
        """Return a request whose numbers are text, and so are the answer's."""
        tensor = {**self._head(images), "data": images.ravel().tolist()}
        body = json.dumps({"inputs": [tensor]}, separators=(",", ":")).encode()
        return Request(self.route, body, {"Content-Type": "application/json"})

    def in_binary(self, images) -> Request:
        """Return a request whose numbers are bytes, and so are the answer's."""
        tensor = self._head(images)
        tensor["parameters"] = {"binary_data_size": images.nbytes}
        output = {"name": self.output, "parameters": {"binary_data": True}}
        text = {"inputs": [tensor], "outputs": [output]}
        head = json.dumps(text, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/octet-stream",
            HEADER_LENGTH: str(len(head)),
        }
        return Request(self.route, head + images.tobytes(), headers)

    def _head(self, images):
        return {"name": self.input, "shape": list(images.shape), "datatype": "FP32"}


def ask(address: str, request: Request):
    """Send a request once, and return status and body of the answer."""
    asked = urllib.request.Request(
        address + request.path, request.body, request.headers, method="POST"
    )
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as error:
        return error.code, error.read(), error.headers


def outputs_of(body: bytes, headers) -> np.ndarray:
    """Return the only output of an answer, as it is or from its bytes."""
    length = int(headers.get(HEADER_LENGTH, len(body)))
    (output,) = json.loads(body[:length])["outputs"]
    if "data" in output:
        values = np.array(output["data"], np.float32)
    else:
        values = np.frombuffer(body[length:], "<f4")
    return values.reshape(output["shape"])


def check_answers(address, model, request, images):
    """End the program where a server does not answer what the model does."""
    status, body, headers = ask(address, request)
    if status != 200:
        raise SystemExit(f"{address} answers {status}: {body[:500]!r}")
    np.testing.assert_allclose(
        outputs_of(body, headers), model.answer(images), rtol=1e-5, atol=1e-6
    )

"""Commands, numbers and code as the pages write them."""

import json
import math
import re
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import numpy as np
import pytest

from kerasbnn.serve.models.datatypes import DTYPES
from kerasbnn.serve.models.tensor_spec import TensorSpec
from kerasbnn.serve.page.commands import infer_command, predict_command
from kerasbnn.serve.page.figures import rows_of
from kerasbnn.serve.page.wording import with_code, with_minus

NAMES = ("x", "it's", '"a" $HOME `id`', "Größe \N{GRINNING FACE}", "a\\n%s\n")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@pytest.fixture
def listener():
    """Return an address, and a list of the requests that it has got."""
    found = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            size = int(self.headers["content-length"])
            found.append((self.path, self.rfile.read(size)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, format, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", found
    server.shutdown()
    thread.join()
    server.server_close()


@needs_curl
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(-1, 2), (-1, -1, 3), (-1,), (-1, 30, 70)])
@pytest.mark.parametrize("datatype", ["FP32", "BOOL", "INT8"])
def test_a_shell_sends_zeros(name, shape, datatype, listener):
    address, found = listener
    spec = TensorSpec(name, datatype, DTYPES[datatype], shape)
    second = TensorSpec("second", "FP32", np.dtype("float32"), (-1, 1))
    command = infer_command(f"{address}/v2/models/net/versions/7", [spec, second])
    subprocess.run(["sh", "-ec", command], check=True, capture_output=True)
    ((path, body),) = found
    assert path == "/v2/models/net/versions/7/infer"
    tensor, other = json.loads(body)["inputs"]
    sizes = [max(size, 1) for size in shape]
    assert tensor["name"] == name
    assert tensor["shape"] == sizes
    assert tensor["datatype"] == datatype
    zero = False if datatype == "BOOL" else 0
    assert json.dumps(tensor["data"]) == json.dumps([zero] * math.prod(sizes))
    assert other == {
        **{"name": "second", "shape": [1, 1], "datatype": "FP32", "data": [0]}
    }


def test_addresses_are_quoted():
    spec = TensorSpec("x", "FP32", np.dtype("float32"), (-1, 1))
    for command in (
        infer_command("http://a;id", [spec]),
        predict_command("http://a;id"),
    ):
        assert re.search(r"'http://a;id/\w+'", command)


def test_numbers_have_a_true_minus():
    assert with_minus("-0.5") == "\u22120.5"
    assert [with_minus(text) for text in ("0.5", "-", "", "+1")] == [
        *("0.5", "-", "", "+1")
    ]


def test_code_and_harm():
    assert with_code("`<b>` & `x") == "`&lt;b&gt;` &amp; `x"
    assert with_code("a `<b>` c") == "a <code>&lt;b&gt;</code> c"


@pytest.mark.parametrize(
    ("figure", "deviations", "warns"),
    [("correlation", -9.0, True), ("mean_correlation", -2.0, False)],
)
def test_rows_are_marked_by_the_rules_of_warnings(figure, deviations, warns):
    drift = {"change": -0.2, "spread": 0.02, "deviations": deviations}
    layer = {
        "kinds": ["correlation"],
        "live": {figure: -0.1},
        "reference": {figure: 0.1},
        "drift": {figure: drift},
    }
    (row,) = rows_of(layer)
    assert row.warns == warns
    assert (row.reference, row.live) == ("0.100", "\u22120.100")
    assert not rows_of({**layer, "kinds": []})[0].warns
    small = {**drift, "change": -0.01}
    assert not rows_of({**layer, "drift": {figure: small}})[0].warns

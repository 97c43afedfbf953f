"""What it takes to decode a request and to encode its answer, without a server.

    python -m tests.benchmarks.serving_protocol

Each figure is the least of many rounds. `orjson` is what parsing the JSON alone takes.
"""

import time
from types import SimpleNamespace

import numpy as np
import orjson

from kerasbnn.serve.models.datatypes import DTYPES
from kerasbnn.serve.models.tensor_spec import TensorSpec
from kerasbnn.serve.protocol.requests import decode_request
from kerasbnn.serve.protocol.responses import encode_response
from kerasbnn.serve.settings import Settings
from tests.benchmarks.machine import cpu_name
from tests.serve.protocol.messages import binary_request, json_request

ROUNDS, CALLS = 400, 100
CLASSES = 10
LIMITS = Settings()


def microseconds(function) -> float:
    """Measure a function."""
    least = float("inf")
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        for _ in range(CALLS):
            function()
        least = min(least, time.perf_counter() - begin)
    return least / CALLS * 1e6


def decoders(shape):
    """Return what decodes one row of a shape, by the form of the request."""
    array = np.random.default_rng(0).random((1, *shape), dtype=np.float32)
    spec = TensorSpec("x", "FP32", DTYPES["FP32"], (-1, *shape))
    inputs = {"x": ("FP32", array)}
    flat, nested = json_request(inputs), json_request(inputs, nested=True)
    binary, headers = binary_request(inputs)
    (length,) = (text.encode() for text in headers.values())
    raw = array.tobytes()

    def decode(body, length=None):
        return decode_request(body, length, {"x": spec}, LIMITS, ("y",))

    return {
        "orjson": lambda: orjson.loads(flat),
        "JSON, flat": lambda: decode(flat),
        "JSON, nested": lambda: decode(nested),
        "binary data": lambda: decode(binary, length),
        "nothing but data": lambda: decode(raw, b"0"),
    }


def encoders(request):
    """Return what encodes the scores of one row, by the form of the answer."""
    scores = np.random.default_rng(0).random((1, CLASSES), dtype=np.float32)
    spec = TensorSpec("y", "FP32", DTYPES["FP32"], (-1, CLASSES))
    model = SimpleNamespace(name="m", version="1", labels=None, outputs={"y": spec})

    def encoder(binary):
        request.binary = binary
        return encode_response(request, model, {"y": scores})

    return {
        "JSON": lambda: encoder(False),
        "binary data": lambda: encoder(True),
    }


def main():
    print(f"{cpu_name()}, one thread; microseconds\n")
    for shape in ((8, 8, 1), (784,)):
        print(f"decode {' x '.join(map(str, shape))} floats")
        functions = decoders(shape)
        for name, function in functions.items():
            print(f"  {name:18} {microseconds(function):6.1f}", flush=True)
    print(f"encode {CLASSES} floats")
    for name, function in encoders(functions["JSON, flat"]()).items():
        print(f"  {name:18} {microseconds(function):6.1f}", flush=True)


if __name__ == "__main__":
    main()

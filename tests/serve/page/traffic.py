"""Digits that are sent to a server, as they are or changed."""

import time

import httpx
import numpy as np
from sklearn.datasets import load_digits

DIGITS = load_digits()
RAW = np.rint(DIGITS.images / 16 * 255).astype(np.uint8)
LABELS = DIGITS.target
# The model was not trained on these.
TEST = slice(1198, None)


def send(address: str, raw: np.ndarray):
    """Send raw images to be inferred, and wait until all were measured."""
    x = ((raw.astype(np.float32) - 127.5) / 127.5).reshape(-1, 8, 8, 1)
    with httpx.Client(base_url=address) as client:
        metadata = client.get("/v2/models/digits").json()
        name = metadata["inputs"][0]["name"]
        for start in range(0, len(x), 32):
            part = x[start : start + 32]
            tensor = {"name": name, "datatype": "FP32", "shape": list(part.shape)}
            body = {"inputs": [{**tensor, "data": part.ravel().tolist()}]}
            client.post("/v2/models/digits/infer", json=body).raise_for_status()
        wait(client)


def wait(client: httpx.Client):
    """Wait until what was offered has been measured, and the answer shows it."""
    deadline = time.monotonic() + 60
    while True:
        live = client.get("/v2/models/digits/geometry/live").json()
        if not live["waiting"] and live["measured"] + live["dropped"] >= live["seen"]:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1.1)  # What the monitor says may be a second old.
    client.get("/v2/models/digits/geometry/live")

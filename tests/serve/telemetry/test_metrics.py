"""Metrics, read by the parser of another package."""

import json
import urllib.error
import urllib.request

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kerasbnn import runtime
from kerasbnn._version import __version__
from kerasbnn.serve.telemetry.metrics import BOUNDS, Metrics
from kerasbnn.serve.telemetry.model_metrics import FIGURES


def samples_of(text):
    """Return the value of each sample, by its name and labels."""
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def key(name, **labels):
    return (name, *sorted(labels.items()))


def test_counts_requests_and_their_durations():
    rng = np.random.default_rng(3)
    metrics, expected = Metrics([]), {}
    for _ in range(2000):
        route = f"/{rng.integers(3)}"
        status = int(rng.choice([200, 400, 503]))
        # On a bound, on either side of it, and anywhere.
        bound = rng.choice(BOUNDS)
        seconds = float(rng.choice([bound, bound * 1.001, bound * 0.999, 11.0]))
        metrics.observe(route, "", status, seconds)
        expected.setdefault(route, []).append((status, seconds))
    found = samples_of(metrics.text())
    for route, observed in expected.items():
        labels = {"model": "", "route": route}
        statuses = np.array([status for status, _ in observed])
        seconds = np.array([second for _, second in observed])
        for status in (200, 400, 503):
            name = key("kerasbnn_requests_total", **labels, status=str(status))
            assert found[name] == (statuses == status).sum()
        name = "kerasbnn_request_duration_seconds"
        for bound in BOUNDS:
            bucket = key(f"{name}_bucket", **labels, le=str(bound))
            assert found[bucket] == (seconds <= bound).sum()
        assert found[key(f"{name}_bucket", **labels, le="+Inf")] == len(observed)
        assert found[key(f"{name}_count", **labels)] == len(observed)
        assert found[key(f"{name}_sum", **labels)] == pytest.approx(seconds.sum())


def test_clients_cannot_make_series():
    metrics = Metrics([])
    for number in range(500):
        metrics.observe("/v2/models/{model_name}", f"made-up-{number}", 404, 0.001)
    text = metrics.text()
    assert "made-up" not in text
    labels = {"model": "other", "route": "/v2/models/{model_name}", "status": "404"}
    assert samples_of(text)[key("kerasbnn_requests_total", **labels)] == 500


def test_two_services_count_for_themselves():
    one, two = Metrics([]), Metrics([])
    one.observe("/v2", "", 200, 0.001)
    assert "requests_total{" in one.text()
    assert "requests_total{" not in two.text()


def test_says_what_serves():
    found = samples_of(Metrics([]).text())
    (build,) = (dict(k[1:]) for k in found if k[0] == "kerasbnn_build_info")
    assert build["version"] == __version__
    assert build["implementation"] == runtime.status().implementation
    assert found[("process_resident_memory_bytes",)] > 1e6
    assert found[("process_cpu_seconds_total",)] > 0


def read(address):
    with urllib.request.urlopen(f"{address}/metrics", timeout=30) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return samples_of(answer.read().decode())


def infer(address, rows, name="digits"):
    tensor = {
        "name": "image",
        "shape": [rows, 8, 8, 1],
        "datatype": "FP32",
        "data": [0.5] * (rows * 64),
    }
    request = urllib.request.Request(
        f"{address}/v2/models/{name}/infer", json.dumps({"inputs": [tensor]}).encode()
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_server_counts_what_it_answers(digits_server):
    before = read(digits_server)
    rows = [1, 3, 3, 8]
    assert [infer(digits_server, n) for n in rows] == [200] * 4
    assert infer(digits_server, 0) == 400
    assert infer(digits_server, 1, "none") == 404
    after = read(digits_server)
    model = {"model": "digits", "version": "1"}

    def increase(name, **labels):
        return after[key(name, **labels)] - before.get(key(name, **labels), 0)

    route = {"model": "digits", "route": "infer"}
    requests = "kerasbnn_requests_total"
    assert increase(requests, **route, status="200") == 4
    assert increase(requests, **route, status="400") == 1
    duration = "kerasbnn_request_duration_seconds"
    assert increase(f"{duration}_count", **route) == 5
    assert 0 < increase(f"{duration}_sum", **route) < 5
    assert increase("kerasbnn_rows_total", **model) == sum(rows)
    assert increase("kerasbnn_batch_rows_count", **model) == 4
    assert increase("kerasbnn_batch_rows_sum", **model) == sum(rows)
    assert increase("kerasbnn_batch_rows_bucket", **model, le="1.0") == 1
    assert increase("kerasbnn_batch_rows_bucket", **model, le="4.0") == 3
    assert increase("kerasbnn_compute_seconds_total", **model) > 0
    assert increase("kerasbnn_geometry_seen_total", **model) == sum(rows)
    assert after[key("kerasbnn_queued_rows", **model)] == 0
    assert increase("kerasbnn_rejected_requests_total", model="digits") == 0


def test_a_server_tells_the_figures_of_layers(digits_server):
    with urllib.request.urlopen(
        f"{digits_server}/v2/models/digits/geometry/live", timeout=30
    ) as answer:
        layers = json.load(answer)["layers"]
    found = read(digits_server)
    assert layers
    for layer in layers:
        labels = {"model": "digits", "version": "1", "layer": layer["name"]}
        warnings = key("kerasbnn_geometry_drift_warnings", **labels)
        assert found[warnings] == len(layer["warnings"])
        for figure in FIGURES:
            expected = layer["reference"][figure]
            name = f"kerasbnn_geometry_{figure}"
            value = found.get(key(name, **labels, source="reference"))
            assert value == expected


def test_metrics_need_a_key_where_keys_are_set(serve_folder):
    with serve_folder(api_keys="a-key-for-the-tests") as address:
        with pytest.raises(urllib.error.HTTPError) as caught:
            read(address)
        with caught.value as answer:
            assert answer.code == 401
            assert "a-key" not in answer.read().decode()
        request = urllib.request.Request(
            f"{address}/metrics",
            headers={"Authorization": "Bearer a-key-for-the-tests"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert b"kerasbnn_build_info" in answer.read()
        with urllib.request.urlopen(f"{address}/v2/health/ready") as answer:
            assert answer.status == 200

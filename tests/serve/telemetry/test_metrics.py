"""Metrics, read by the parser of another package."""

import urllib.request

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kerasbnn import runtime
from kerasbnn._version import __version__
from kerasbnn.serve.telemetry.metrics import BOUNDS, Metrics


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

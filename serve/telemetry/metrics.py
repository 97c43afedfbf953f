"""Metrics in the text format of Prometheus.

Counting a request adds to a few plain numbers; families of Prometheus are made of them
when someone asks.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import Response
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector

from .model_metrics import build_families, model_families

if TYPE_CHECKING:
    from ..application import Service
    from ..models.served_model import ServedModel

# Upper bounds in seconds, about two to a power of ten.
BOUNDS = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)
NO_MODEL = ""
# A model that does not exist; clients do not choose labels, so there are few series.
OTHER = "other"
OVERLOADED = 503


class Metrics:
    """Counts requests, and reads what the models count.

    Belongs to the event loop, but for `text`, which any thread may call.

    Args:
        models: The models of the service.

    Example:
        >>> from kerasbnn.serve.telemetry.metrics import Metrics
        >>> metrics = Metrics([])
        >>> metrics.observe("/v2", "", 200, 0.0002)
        >>> 'requests_total{model="",route="/v2",status="200"} 1.0' in metrics.text()
        True
    """

    def __init__(self, models: Iterable["ServedModel"]):
        self._models = models
        self._names = {model.name for model in models} | {NO_MODEL}
        self._requests: dict[tuple[str, str, int], _Requests] = {}
        self._durations: dict[tuple[str, str], _Durations] = {}
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def observe(self, route: str, model: str, status: int, seconds: float):
        """Count a request.

        Args:
            route: The route that took it, of a fixed set.
            model: Name of the model that was asked; "" for none.
            status: Status of the answer.
            seconds: What it took.
        """
        requests = self._requests.get((route, model, status))
        if requests is None:
            requests = self._new_requests(route, model, status)
        requests.count += 1
        durations = requests.durations
        durations.counts[bisect_left(BOUNDS, seconds)] += 1
        durations.seconds += seconds

    def text(self) -> str:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self._registry).decode()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics but those of the process."""
        yield from build_families()
        yield self._count()
        yield self._rejected()
        yield self._duration()
        yield from model_families(self._models)

    def describe(self) -> Iterator[Metric]:
        """Yield nothing: the names are known without running `collect`."""
        return iter(())

    def _new_requests(self, route, model, status):
        if model not in self._names:
            model = OTHER
        durations = self._durations.setdefault((route, model), _Durations())
        key = (route, model, status)
        return self._requests.setdefault(key, _Requests(durations))

    def _count(self):
        family = CounterMetricFamily(
            "kerasbnn_requests",
            "Requests that were answered",
            labels=("model", "route", "status"),
        )
        for (route, model, status), requests in sorted(self._requests.copy().items()):
            family.add_metric((model, route, str(status)), requests.count)
        return family

    def _rejected(self):
        family = CounterMetricFamily(
            "kerasbnn_rejected_requests",
            "Requests that were refused because too many waited (503)",
            labels=("model",),
        )
        counts = dict.fromkeys(sorted(self._names - {NO_MODEL}), 0)
        for (_, model, status), requests in self._requests.copy().items():
            if status == OVERLOADED:
                counts[model] = counts.get(model, 0) + requests.count
        for model, count in counts.items():
            family.add_metric((model,), count)
        return family

    def _duration(self):
        family = HistogramMetricFamily(
            "kerasbnn_request_duration_seconds",
            "From the head of a request to the end of its answer",
            labels=("model", "route"),
        )
        for (route, model), durations in sorted(self._durations.copy().items()):
            family.add_metric((model, route), durations.buckets(), durations.seconds)
        return family


def add_metrics(app: FastAPI, service: "Service"):
    """Add `GET /metrics`.

    Args:
        app: The application.
        service: What it shares.
    """

    # In a thread of Starlette's: the figures of the layers take milliseconds.
    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
        summary="Metrics in the text format of Prometheus",
        tags=["telemetry"],
    )
    def metrics():
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)


class _Requests:
    """Requests of a route and a model with one status."""

    __slots__ = ("count", "durations")

    def __init__(self, durations):
        self.count = 0
        self.durations = durations


class _Durations:
    """What requests of a route and a model took."""

    __slots__ = ("counts", "seconds")

    def __init__(self):
        self.counts = [0] * (len(BOUNDS) + 1)
        self.seconds = 0.0

    def buckets(self):
        """Return pairs of an upper bound and the requests below it."""
        total, found = 0, []
        for bound, count in zip((*map(str, BOUNDS), "+Inf"), self.counts, strict=True):
            total += count
            found.append((bound, total))
        return found

"""What models count, as families of Prometheus."""

import logging
import platform
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from kerasbnn import runtime
from kerasbnn._version import __version__

if TYPE_CHECKING:
    from ..models.served_model import ServedModel

logger = logging.getLogger(__name__)

MODEL = ("model", "version")
BATCH_BOUNDS = tuple(2**power for power in range(11))

# Figures of a layer: the name as a metric, and what it is.
FIGURES = {
    "correlation": "Correlation of dot products with binary and continuous weights",
    "saturated": "Fraction of a layer's inputs that pass no straight-through gradient",
    "sign_entropy": "Entropy of the signs of a layer's inputs, in bits",
    "input_mean": "Mean of a layer's inputs",
    "input_sd": "Standard deviation of a layer's inputs",
}

SAMPLING = {
    "seen": "Rows of live requests that were offered to be measured",
    "measured": "Rows of live requests whose geometry was measured",
    "dropped": "Rows of live requests that were not measured, to keep the budget",
    "failed": "Rows of live requests whose measurement failed",
    "cpu_seconds": "Processor time that measuring took",
}


def build_families() -> Iterator[Metric]:
    """Yield what serves: versions, and what computes the binary layers."""
    status = runtime.status()
    yield InfoMetricFamily(
        "kerasbnn_build",
        "Versions, and what computes the binary layers",
        {
            "version": __version__,
            "implementation": status.implementation or "none",
            "litert": status.litert,
            "python": platform.python_version(),
        },
    )


def model_families(models: Iterable["ServedModel"]) -> Iterator[Metric]:
    """Yield what each model has counted and measured.

    Args:
        models: The models.

    Yields:
        Families with the labels `model` and `version`.
    """
    models = list(models)
    yield from _traffic(models)
    live = [(model, _live(model)) for model in models if model.monitor is not None]
    yield from _sampling(live)
    yield from _layers(live)


def _traffic(models) -> Iterator[Metric]:
    rows = CounterMetricFamily(
        "kerasbnn_rows", "Rows of the requests that were answered", labels=MODEL
    )
    batches = HistogramMetricFamily(
        "kerasbnn_batch_rows", "Rows that were computed at once", labels=MODEL
    )
    seconds = CounterMetricFamily(
        "kerasbnn_compute_seconds", "Time that batches took", labels=MODEL
    )
    waiting = GaugeMetricFamily(
        "kerasbnn_queued_rows", "Rows that wait to be computed", labels=MODEL
    )
    limit = GaugeMetricFamily(
        "kerasbnn_max_batch_rows",
        "Most rows of several requests that are computed at once",
        labels=MODEL,
    )
    for model in models:
        labels = (model.name, model.version)
        statistics = model.statistics.to_dict()
        rows.add_metric(labels, statistics["inference_count"])
        sizes = {
            entry["batch_size"]: entry["compute_infer"]
            for entry in statistics["batch_stats"]
        }
        counts = {size: entry["count"] for size, entry in sizes.items()}
        total = sum(size * count for size, count in counts.items())
        batches.add_metric(labels, _buckets(counts), total)
        seconds.add_metric(labels, sum(e["ns"] for e in sizes.values()) / 1e9)
        waiting.add_metric(labels, model.batcher.queued_rows)
        limit.add_metric(labels, model.plan.max_batch)
    yield from (rows, batches, seconds, waiting, limit)


def _buckets(counts: Mapping[int, int]):
    found = [
        (str(float(bound)), sum(n for size, n in counts.items() if size <= bound))
        for bound in BATCH_BOUNDS
    ]
    return [*found, ("+Inf", sum(counts.values()))]


def _live(model) -> Mapping[str, Any]:
    try:
        return model.monitor.live()
    except Exception:
        # One model that cannot be measured does not hide the others.
        logger.exception("Model %s: the live geometry failed", model.name)
        return {}


def _sampling(live) -> Iterator[Metric]:
    for name, text in SAMPLING.items():
        family = CounterMetricFamily(f"kerasbnn_geometry_{name}", text, labels=MODEL)
        for model, found in live:
            if name in found:
                family.add_metric((model.name, model.version), found[name])
        yield family


def _layers(live) -> Iterator[Metric]:
    labels = (*MODEL, "layer")
    figures = {
        name: GaugeMetricFamily(
            f"kerasbnn_geometry_{name}", text, labels=(*labels, "source")
        )
        for name, text in FIGURES.items()
    }
    warnings = GaugeMetricFamily(
        "kerasbnn_geometry_drift_warnings",
        "Warnings that a layer's geometry is no longer that of the reference",
        labels=labels,
    )
    for model, found in live:
        for layer in found.get("layers", ()):
            key = (model.name, model.version, layer["name"])
            warnings.add_metric(key, len(layer["warnings"]))
            for name, family in figures.items():
                for source in ("live", "reference"):
                    value = layer[source].get(name)
                    if value is not None:
                        family.add_metric((*key, source), value)
    yield from (*figures.values(), warnings)

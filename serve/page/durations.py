"""What requests took, from the metrics of the service."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from markupsafe import Markup

from .charts import duration_histogram

if TYPE_CHECKING:
    from prometheus_client.core import Metric

FAMILY = "kerasbnn_request_duration_seconds"
_ROUTES = ("infer", "predict")


def durations_of(families: Iterable["Metric"], model: str) -> list[tuple[float, int]]:
    """Read what the inferences and the predictions of a model took.

    Args:
        families: Families of metrics, as `Metrics.collect` yields them.
        model: Name of the model.

    Returns:
        Pairs of an upper bound in seconds and the requests between it and the one
        before.
    """
    below: dict[float, int] = {}
    family = next((found for found in families if found.name == FAMILY), None)
    for sample in family.samples if family else ():
        is_asked = sample.labels["route"].rsplit("/")[-1] in _ROUTES
        if sample.name.endswith("_bucket") and is_asked:
            if sample.labels["model"] == model:
                bound = float(sample.labels["le"])
                below[bound] = below.get(bound, 0) + int(sample.value)
    found, before = [], 0
    for bound, count in sorted(below.items()):
        found.append((bound, count - before))
        before = count
    return found


def histogram_of(durations: list[tuple[float, int]], model: str) -> Markup:
    """Draw what requests took.

    Args:
        durations: As `durations_of` returns them.
        model: Name of the model.

    Returns:
        The chart; nothing where there was no request.
    """
    used = [place for place, (_, count) in enumerate(durations) if count]
    if not used:
        return Markup("")
    first, last = max(used[0] - 1, 0), min(used[-1] + 1, len(durations) - 1)
    shown = durations[first : last + 1]
    start = durations[first - 1][0] if first else 0.0
    bounds = [_written(start), *(_written(bound) for bound, _ in shown)]
    return duration_histogram([count for _, count in shown], bounds, model)


def _written(seconds: float) -> str:
    if math.isinf(seconds):
        return "\N{INFINITY}"
    return f"{1000 * seconds:g}"

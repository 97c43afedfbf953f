"""What a model has answered, ready to be shown."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from kerasbnn.geometry.views.wording import ABSENT

from .charts import stacked_times

if TYPE_CHECKING:
    from ..models.served_model import ServedModel

# Steps of a request, in their order, as the statistics of the protocol name them.
STEPS = {
    "compute_input": "decode",
    "queue": "wait",
    "compute_infer": "compute",
    "compute_output": "encode",
}


@dataclass(frozen=True)
class Traffic:
    """What a model has answered.

    Attributes:
        requests: Requests that were answered.
        errors: Requests that were refused or failed.
        rows: Rows of the answered ones.
        batches: Batches that were computed.
        rows_per_batch: Mean rows of a batch, in words.
        waiting: Rows that wait now.
        latency: Mean time of a request, in words.
        steps: The steps that it is made of, as a chart.
        has_errors: Whether there are any.
    """

    requests: str
    errors: str
    rows: str
    batches: str
    rows_per_batch: str
    waiting: str
    latency: str
    steps: Markup
    has_errors: bool

    @classmethod
    def of(cls, model: "ServedModel") -> "Traffic":
        """Read the statistics of a model.

        Args:
            model: The model.

        Returns:
            What it has answered.
        """
        found = model.statistics.to_dict()
        stats = found["inference_stats"]
        count, batches = stats["success"]["count"], found["execution_count"]
        rows = found["inference_count"]
        steps = {
            name: stats[key]["ns"] / count / 1e6 if count else 0.0
            for key, name in STEPS.items()
        }
        return cls(
            requests=f"{count:,}",
            errors=f"{stats['fail']['count']:,}",
            rows=f"{rows:,}",
            batches=f"{batches:,}",
            rows_per_batch=f"{rows / batches:.1f}" if batches else ABSENT,
            waiting=f"{model.batcher.queued_rows:,}",
            latency=milliseconds(
                stats["success"]["ns"] / count / 1e6 if count else None
            ),
            steps=stacked_times(steps) if count else Markup(""),
            has_errors=stats["fail"]["count"] > 0,
        )


def milliseconds(value: float | None) -> str:
    """Write a time.

    Args:
        value: Milliseconds, or None.

    Returns:
        Text with a unit.

    Example:
        >>> from kerasbnn.serve.page.traffic import milliseconds
        >>> milliseconds(0.2514), milliseconds(1234.0), milliseconds(None)
        ('0.251 ms', '1.23 s', '-')
    """
    if value is None:
        return ABSENT
    return f"{value / 1000:.3g} s" if value >= 1000 else f"{value:.3g} ms"

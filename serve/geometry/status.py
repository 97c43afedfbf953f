"""Whether the geometry holds, in one word."""

from typing import Any

from kerasbnn.probing import Drift
from kerasbnn.probing.drift import COLLECTING

DRIFTED, HOLDS, OFF = "drifted", "holds", "off"
STATUSES = (COLLECTING, HOLDS, DRIFTED, OFF)


def answer_of(drift: Drift) -> dict[str, Any]:
    """Write a comparison with the reference for a client, the verdict first.

    Args:
        drift: The comparison.

    Returns:
        What `Drift.to_dict` returns, with a `status` of `"collecting"`, `"holds"` or
        `"drifted"`, and as `drifted` the names of the layers and inputs that warn.

    Example:
        >>> from kerasbnn.probing import Drift
        >>> from kerasbnn.serve.geometry.status import answer_of
        >>> answer_of(Drift(samples=64, layers=(), inputs=()))["status"]
        'holds'
    """
    parts = (*drift.layers, *drift.inputs)
    drifted = list(dict.fromkeys(part.name for part in parts if part.warnings))
    status = drift.status
    if status != COLLECTING:
        status = DRIFTED if drifted else HOLDS
    verdict = {"status": status, "drifted": drifted}
    return verdict | drift.to_dict() | verdict
